"""Node ports: one record in the store says which are taken; a write that expects its revision takes one.

So two API servers on one etcd never give away the same port: whoever is late reads the record again and picks anew.
The record is upstream's (`/registry/ranges/servicenodeports`, a RangeAllocation): bit n of `data`, a big-endian
number, stands for the n-th port of `range`.

    {"range": "30000-32767", "data": "BQ=="}        5 = 0b101: 30000 and 30002 are taken

Upstream: `pkg/registry/core/service/portallocator/allocator.go`, `pkg/registry/core/service/allocator/storage`, and
for `repair` `portallocator/controller/repair.go`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Awaitable, Callable, Collection, Set
from random import Random

from workshop.apiserver.allocators.bands import pick, static_band
from workshop.apiserver.allocators.ips import AllocationError, RangeFull
from workshop.apiserver.bootstrap.run import encode
from workshop.apiserver.storage.interface import Conflict, KeyValue, Storage

logger = logging.getLogger(__name__)

KEY = "/registry/ranges/servicenodeports"
#: A port that no Service holds may belong to one that is just being written: it is freed when so many repairs in a
#: row have found it.
REPAIRS_BEFORE_CLEANUP = 3


def pack(first: int, last: int, used: Collection[int]) -> bytes:
    """The record of the ports `used` among `first..last`."""
    bits = sum(1 << (port - first) for port in used if first <= port <= last)
    data = base64.b64encode(bits.to_bytes((bits.bit_length() + 7) // 8, "big")).decode()
    head = {"kind": "RangeAllocation", "apiVersion": "v1", "metadata": {}}
    return encode({**head, "range": f"{first}-{last}", "data": data})


def unpack(record: bytes) -> set[int]:
    """The ports that a record says are taken, whichever its range is.

    >>> sorted(unpack(b'{"range": "30000-32767", "data": "BQ=="}'))
    [30000, 30002]
    """
    obj = json.loads(record)
    bits = int.from_bytes(base64.b64decode(obj.get("data") or ""), "big")
    first = int(obj["range"].partition("-")[0])
    return {first + n for n in range(bits.bit_length()) if bits >> n & 1}


class PortAllocator:
    """Ports `first..last`, both included. `used` is what the record said when it was last read or written."""

    def __init__(self, first: int, last: int, storage: Storage, random: Random) -> None:
        self._first = first
        self._last = last
        self._storage = storage
        self._random = random
        self._band = static_band(last - first + 1, least=16, most=128, share=32)
        self._revision = 0
        self._lock = asyncio.Lock()
        self._leaks: dict[int, int] = {}
        self.used: set[int] = set()

    async def allocate(self, port: int, dry_run: bool = False) -> None:
        """Take this very port. Raises AllocationError; a dry run, as upstream's, does not look at the range."""
        if not dry_run and not self._first <= port <= self._last:
            ports = f"{self._first}-{self._last}"
            raise AllocationError(f"provided port is not in the valid range. The range of valid ports is {ports}")

        def with_it(used: Set[int]) -> Set[int]:
            if port in used:
                raise AllocationError("provided port is already allocated")
            return used | {port}

        await self._change(with_it, dry_run)

    async def allocate_next(self, avoid: Collection[int] = (), dry_run: bool = False) -> int:
        """Take a free port that is none of `avoid`. Raises RangeFull."""
        picked = 0

        def with_one_more(used: Set[int]) -> Set[int]:
            nonlocal picked
            port = pick(self._first, self._last, self._band, used | set(avoid), self._random)
            if port is None:
                raise RangeFull
            picked = port
            return used | {port}

        await self._change(with_one_more, dry_run)
        return picked

    async def release(self, ports: Collection[int]) -> None:
        """Give ports back."""
        if ports:
            await self._change(lambda used: used - set(ports))

    async def repair(self, held: Callable[[], Awaitable[set[int]]]) -> None:
        """Make the record agree with what Services hold; `held` is asked after the record was read, so that what is
        taken and stored in between is no leak."""
        async with self._lock:
            await self._read()
            wanted = await held()
            leaked = self.used - wanted
            self._leaks = {port: self._leaks.get(port, 0) + 1 for port in leaked}
            gone = {port for port, seen in self._leaks.items() if seen > REPAIRS_BEFORE_CLEANUP}
            for port in gone:
                logger.warning("the node port %d appears to have leaked: cleaning up", port)
            try:
                await self._write((self.used | wanted) - gone)
            except Conflict as faster:  # the next repair will do it
                self._learn(faster.current)

    # --- the record

    async def _change(self, change: Callable[[Set[int]], Set[int]], dry_run: bool = False) -> None:
        """Write `change(used)`, again while others were faster. What it raises counts only if the record is fresh."""
        async with self._lock:
            fresh = dry_run
            if dry_run:
                await self._read()
            while True:
                try:
                    new = change(self.used)
                except AllocationError:
                    if fresh:
                        raise
                    await self._read()
                    fresh = True
                    continue
                if dry_run:
                    return
                try:
                    await self._write(new)
                    return
                except Conflict as faster:
                    self._learn(faster.current)
                    fresh = True

    async def _write(self, used: Set[int]) -> None:
        if used == self.used and self._revision:
            return
        record = pack(self._first, self._last, used)
        self._revision = await self._storage.update(KEY, record, self._revision)
        self.used = set(used)

    async def _read(self) -> None:
        self._learn(await self._storage.get(KEY))

    def _learn(self, record: KeyValue | None) -> None:
        self._revision = record.mod_revision if record else 0
        self.used = unpack(record.value) if record else set()
