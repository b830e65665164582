"""ClusterIPs: who holds an address is written in the store, as an IPAddress object named after it.

Creating the object is the allocation, so two API servers never give away the same address; the set in memory only
saves them from trying taken ones.

Upstream: `pkg/registry/core/service/ipallocator/ipallocator.go`.
"""

from __future__ import annotations

import ipaddress
import json
from random import Random
from uuid import UUID

from workshop.api.meta import Obj
from workshop.api.resources import resource
from workshop.apiserver.allocators.bands import pick, static_band
from workshop.apiserver.bootstrap.run import encode
from workshop.apiserver.bootstrap.system import ip_address
from workshop.apiserver.storage.interface import Conflict, KeyExists, NotFound, Storage
from workshop.clock import Clock, rfc3339

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class AllocationError(Exception):
    """The address or port cannot be had; the message says why in upstream's words."""


class RangeFull(AllocationError):
    def __init__(self) -> None:
        super().__init__("range is full")


class IpAllocator:
    """Addresses of one range, for Services."""

    def __init__(self, network: Network, storage: Storage, clock: Clock, random: Random) -> None:
        self.network = network
        self._storage = storage
        self._clock = clock
        self._random = random
        self._first = int(network[1])
        # IPv4 keeps its last address for broadcasts
        self._last = int(network[-2]) if network.version == 4 else int(network[-1])
        self._band = static_band(network.num_addresses, least=16, most=256, share=16)
        self._used: set[int] = set()

    @property
    def family(self) -> str:
        return f"IPv{self.network.version}"

    async def load(self) -> dict[str, Obj]:
        """Learn what is taken; the IPAddress objects of this range by name."""
        prefix = resource("ipaddresses.networking.k8s.io").storage_key()
        found = {kv.key.removeprefix(prefix): json.loads(kv.value) for kv in (await self._storage.list(prefix)).items}
        mine = {name: obj for name, obj in found.items() if ipaddress.ip_address(name) in self.network}
        self._used = {int(ipaddress.ip_address(name)) for name in mine}
        return mine

    async def allocate(self, ip: str, namespace: str, service: str, dry_run: bool = False) -> None:
        """Take this very address. Raises AllocationError."""
        address = ipaddress.ip_address(ip)
        if address.version != self.network.version or not self._first <= int(address) <= self._last:
            raise AllocationError("the provided network does not match the current range")
        if dry_run:
            taken = await self._storage.get(self._key(str(address))) is not None
        else:
            taken = not await self._create(str(address), namespace, service)
        if taken:
            self._used.add(int(address))
            raise AllocationError("provided IP is already allocated")

    async def allocate_next(self, namespace: str, service: str, dry_run: bool = False) -> str:
        """Take a free address. Raises RangeFull."""
        while True:
            number = pick(self._first, self._last, self._band, self._used, self._random)
            if number is None:
                raise RangeFull
            address = str(ipaddress.ip_address(number) if self.network.version == 4 else ipaddress.IPv6Address(number))
            if dry_run or await self._create(address, namespace, service):
                return address
            self._used.add(number)  # somebody else took it

    async def _create(self, address: str, namespace: str, service: str) -> bool:
        obj = ip_address(address, namespace, service)
        created = {
            "uid": str(UUID(int=self._random.getrandbits(128), version=4)),
            "creationTimestamp": rfc3339(self._clock.now()),
        }
        obj["metadata"] |= created
        number = int(ipaddress.ip_address(address))
        known = number in self._used
        self._used.add(number)  # before the wait: nobody in this process tries it meanwhile
        try:
            await self._storage.create(self._key(address), encode(obj))
        except KeyExists:
            return False
        except BaseException:
            if not known:
                self._used.discard(number)
            raise
        return True

    async def release(self, ip: str) -> None:
        """Give the address back; no error if nobody holds it."""
        key = self._key(str(ipaddress.ip_address(ip)))
        while (current := await self._storage.get(key)) is not None:
            try:
                await self._storage.delete(key, current.mod_revision)
            except Conflict:
                continue
            except NotFound:
                break
        self._used.discard(int(ipaddress.ip_address(ip)))

    @staticmethod
    def _key(address: str) -> str:
        return resource("ipaddresses.networking.k8s.io").storage_key(None, address)
