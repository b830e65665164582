"""What a write of a Service takes and gives back, as one transaction.

The registry calls `begin_create` or `begin_update` after admission, stores the Service, and then commits; if storing
fails it rolls back. What a write takes is taken before the Service is stored, what it gives up is given back after.
A dry run looks, and takes nothing.

Upstream: `pkg/registry/core/service/storage/{storage,alloc}.go`.
"""

from __future__ import annotations

import ipaddress
import json
import logging
from collections.abc import Sequence
from random import Random

from workshop.api import errors
from workshop.api.meta import Obj, creation_timestamp
from workshop.api.resources import resource
from workshop.apiserver.allocators import families
from workshop.apiserver.allocators.families import invalid
from workshop.apiserver.allocators.ips import AllocationError, IpAllocator, RangeFull
from workshop.apiserver.allocators.ports import PortAllocator
from workshop.apiserver.storage.interface import Storage, StorageError
from workshop.clock import Clock

logger = logging.getLogger(__name__)

#: An address is taken a moment before its Service is stored, perhaps by another server: too young to be a leak (s).
YOUNG = 60.0
#: Seconds, as upstream's.
REPAIR_EVERY = 180.0


class Transaction:
    """What one write took, and what it will give back."""

    def __init__(self, owner: ServiceAllocator, dry_run: bool) -> None:
        self._owner = owner
        self.dry_run = dry_run
        self.taken_ips: list[str] = []
        self.taken_ports: list[int] = []
        self.freed_ips: list[str] = []
        self.freed_ports: set[int] = set()

    async def commit(self) -> None:
        """The Service is stored."""
        if self.dry_run:
            return
        await self._owner.ports.release(self.freed_ports)
        for ip in self.freed_ips:
            await self._owner.release_ip(ip)

    async def rollback(self) -> None:
        """The Service is not stored."""
        if self.dry_run:
            return
        await self._owner.ports.release(self.taken_ports)
        for ip in self.taken_ips:
            await self._owner.release_ip(ip)


class ServiceAllocator:
    """Addresses and node ports of all Services of a cluster."""

    def __init__(
        self, ranges: Sequence[str], ports: tuple[int, int], storage: Storage, clock: Clock, random: Random
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._ips = {
            a.family: a for a in (IpAllocator(ipaddress.ip_network(r), storage, clock, random) for r in ranges)
        }
        self.ports = PortAllocator(*ports, storage, random)

    async def repair(self) -> None:
        """Learn what Services hold, give objects to addresses without one, drop those that nobody holds."""
        await self.ports.repair(self._held_ports)
        held: dict[str, tuple[str, str]] = {}
        for service in await self._services():
            for ip in families.cluster_ips(service["spec"]):
                held[str(ipaddress.ip_address(ip))] = (service["metadata"]["namespace"], service["metadata"]["name"])
        for allocator in self._ips.values():
            known = await allocator.load()
            for ip, owner in held.items():
                if ip not in known and ipaddress.ip_address(ip) in allocator.network:
                    logger.warning("ClusterIP %s of Service %s/%s had no IPAddress", ip, *owner)
                    await allocator.allocate(ip, *owner)
            for ip in known.keys() - held.keys():
                if creation_timestamp(known[ip]) < self._clock.now() - YOUNG:
                    logger.warning("IPAddress %s belongs to no Service", ip)
                    await allocator.release(ip)

    async def repair_periodically(self) -> None:
        """For ever: a server that died between taking and storing leaves a port behind."""
        while True:
            await self._clock.sleep(REPAIR_EVERY)
            try:
                await self.repair()
            except StorageError as error:
                logger.warning("cannot repair the allocations of Services: %s", error)

    async def _services(self) -> list[Obj]:
        kind = resource("services")
        return [json.loads(kv.value) for kv in (await self._storage.list(kind.storage_key())).items]

    async def _held_ports(self) -> set[int]:
        return set().union(*(families.node_ports(service["spec"]) for service in await self._services()))

    async def release_ip(self, ip: str) -> None:
        """Give an address back to its range."""
        allocator = self._ips.get(families.family_of(ip))
        if allocator is not None:
            await allocator.release(ip)

    async def begin_create(self, service: Obj, dry_run: bool = False) -> Transaction:
        """Fill in `service`'s addresses and ports. Raises ApiError, having taken nothing."""
        return await self._begin(service, None, dry_run)

    async def begin_update(self, new: Obj, old: Obj, dry_run: bool = False) -> Transaction:
        """The same for a change of a Service. `families.prepare` has run on `new` before."""
        return await self._begin(new, old, dry_run)

    async def after_delete(self, service: Obj) -> None:
        """The Service is gone: what it held is free."""
        await self.ports.release(families.node_ports(service["spec"]))
        for ip in families.cluster_ips(service["spec"]):
            await self.release_ip(ip)

    async def _begin(self, new: Obj, old: Obj | None, dry_run: bool) -> Transaction:
        transaction = Transaction(self, dry_run)
        try:
            families.init_families(new, old, list(self._ips))
            await self._take_ips(new, old, transaction)
            await self._take_ports(new, old, transaction)
        except BaseException:
            await transaction.rollback()
            raise
        if old is not None:
            before, after = set(families.cluster_ips(old["spec"])), set(families.cluster_ips(new["spec"]))
            transaction.freed_ips = sorted(before - after)
            families.drop_type_dependent(new, old)
            transaction.freed_ports = families.node_ports(old["spec"]) - families.node_ports(new["spec"])
        return transaction

    async def _take_ips(self, new: Obj, old: Obj | None, transaction: Transaction) -> None:
        spec = new["spec"]
        if spec.get("type") == "ExternalName" or families.is_headless(spec):
            return
        held = families.cluster_ips(old["spec"]) if old else []
        ips: list[str] = list(spec.get("clusterIPs") or ())
        for i, family in enumerate(spec["ipFamilies"]):
            wanted = ips[i] if i < len(ips) else ""
            if wanted and (wanted in held or not families.family_of(wanted)):
                continue  # it has it already; or it is no address, which validation refuses
            taken = await self._take_ip(new, family, wanted, transaction)
            ips[i : i + 1] = [taken]
        spec["clusterIPs"], spec["clusterIP"] = ips, ips[0]

    async def _take_ip(self, service: Obj, family: str, wanted: str, transaction: Transaction) -> str:
        allocator = self._ips[family]
        namespace, name = service["metadata"].get("namespace", ""), service["metadata"].get("name", "")
        try:
            if wanted:
                await allocator.allocate(wanted, namespace, name, transaction.dry_run)
            else:
                wanted = await allocator.allocate_next(namespace, name, transaction.dry_run)
        except RangeFull as e:
            raise errors.internal(f"failed to allocate a serviceIP for Service {errors.quote(name)}: {e}") from None
        except AllocationError as e:
            why = f"failed to allocate IP {wanted}: {e}"
            problem = invalid("spec.clusterIPs", service["spec"].get("clusterIPs") or [wanted], why)
            raise errors.invalid("Service", name, [problem]) from None
        transaction.taken_ips.append(wanted)
        return wanted

    async def _take_ports(self, new: Obj, old: Obj | None, transaction: Transaction) -> None:
        spec = new["spec"]
        held = families.node_ports(old["spec"]) if old else set()
        if families.has_node_ports(spec):
            if old is not None and (twice := families.doubled_port(spec)):
                raise errors.failure(500, "", f"duplicate nodePort: {twice}")
            # TCP and UDP of one port share a node port
            by_port = {p.get("port"): p["nodePort"] for p in reversed(spec.get("ports") or ()) if p.get("nodePort")}
            for i, port in enumerate(spec.get("ports") or ()):
                named = port.get("nodePort")
                if not named and not families.wants_node_ports(spec):
                    continue
                number = named or by_port.get(port.get("port"))
                if number is None:
                    port["nodePort"] = by_port[port.get("port")] = await self._next_port(transaction)
                else:
                    port["nodePort"] = number
                    if number not in held and number not in transaction.taken_ports:
                        await self._take_port(new, number, f"spec.ports[{i}].nodePort", transaction)
        if families.needs_health_check(spec) and not (old and families.needs_health_check(old["spec"])):
            await self._take_health_check(spec, transaction)

    async def _take_port(self, service: Obj, number: int, field: str, transaction: Transaction) -> None:
        try:
            await self.ports.allocate(number, transaction.dry_run)
        except AllocationError as e:
            name = service["metadata"].get("name", "")
            raise errors.invalid("Service", name, [invalid(field, number, str(e))]) from None
        transaction.taken_ports.append(number)

    async def _take_health_check(self, spec: Obj, transaction: Transaction) -> None:
        wanted = spec.get("healthCheckNodePort")
        if not wanted:
            spec["healthCheckNodePort"] = await self._next_port(transaction)
            return
        try:
            await self.ports.allocate(wanted, transaction.dry_run)
        except AllocationError as e:
            why = f"failed to allocate requested HealthCheck NodePort {wanted}: {e}"
            raise errors.internal(why) from None
        transaction.taken_ports.append(wanted)

    async def _next_port(self, transaction: Transaction) -> int:
        try:
            port = await self.ports.allocate_next(transaction.taken_ports, transaction.dry_run)
        except RangeFull as e:
            raise errors.internal(f"failed to allocate a nodePort: {e}") from None
        transaction.taken_ports.append(port)
        return port
