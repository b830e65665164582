"""Storage in memory, with the same semantics: for tests, and for a cluster that is simulated in one process."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator
from operator import itemgetter

from sortedcontainers import SortedDict

from workshop.apiserver.storage import compaction
from workshop.apiserver.storage.interface import (
    Batch,
    Compacted,
    Conflict,
    Event,
    FutureRevision,
    KeyExists,
    KeyValue,
    ListResult,
    NotFound,
    Progress,
    StorageStatus,
    TooLarge,
    Unavailable,
    check_message,
)
from workshop.clock import SYSTEM, Clock

MAX_REQUEST = 1_572_864
Version = tuple[int, bytes | None]  # revision, value; None: deleted then


class MemoryStorage:
    """Times to live are looked at when somebody writes or reads: a key never outlives its time in an answer."""

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._versions: SortedDict[str, list[Version]] = SortedDict()
        self._events: list[Event] = []
        self._revision, self._compacted = 1, 0
        self._expiry: dict[str, float] = {}
        self._watches: set[asyncio.Queue[Batch | None]] = set()
        self._compactions = 0
        self._closed = False

    # Inside

    def _current(self, key: str) -> KeyValue | None:
        return self._at(key, self._revision)

    def _at(self, key: str, revision: int) -> KeyValue | None:
        versions = self._versions.get(key, [])
        place = bisect_right(versions, revision, key=itemgetter(0))
        if not place:
            return None
        mod_revision, value = versions[place - 1]
        return KeyValue(key, value, mod_revision) if value is not None else None

    def _write(self, key: str, value: bytes | None, lease_ttl: int = 0) -> int:
        if value is not None:
            check_message(len(value) + len(key))
        if value is not None and len(value) + len(key) > MAX_REQUEST:
            raise TooLarge("etcdserver: request is too large")
        old = self._current(key)
        self._revision += 1
        self._versions.setdefault(key, []).append((self._revision, value))
        self._expiry.pop(key, None)
        if lease_ttl:
            self._expiry[key] = self._clock.monotonic() + lease_ttl
        event = Event(
            "delete" if value is None else "put",
            key,
            value or b"",
            old.value if old else None,
            self._revision,
            old is None and value is not None,
        )
        self._events.append(event)
        for queue in self._watches:
            queue.put_nowait([event])
        return self._revision

    def _open(self) -> None:
        if self._closed:
            raise Unavailable("storage is closed")
        now = self._clock.monotonic()
        for key in [key for key, expiry in self._expiry.items() if expiry <= now]:
            self._write(key, None)

    def _check(self, revision: int) -> int:
        if revision > self._revision:
            raise FutureRevision(revision)
        if 0 < revision < self._compacted:
            raise Compacted(self._compacted)
        return revision or self._revision

    # Storage

    async def create(self, key: str, value: bytes, lease_ttl: int = 0) -> int:
        self._open()
        if self._current(key) is not None:
            raise KeyExists(key, self._revision)
        return self._write(key, value, lease_ttl)

    async def get(self, key: str, revision: int = 0, serializable: bool = False) -> KeyValue | None:
        self._open()
        return self._at(key, self._check(revision))

    async def list(self, prefix: str, revision: int = 0, limit: int = 0, start_after: str | None = None) -> ListResult:
        self._open()
        at = self._check(revision)
        keys = self._versions.irange(start_after or prefix, inclusive=(start_after is None, True))
        found = []
        for key in keys:
            if not key.startswith(prefix):
                break
            item = self._at(key, at)
            if item is not None:
                found.append(item)
        items = found[:limit] if limit else found
        return ListResult(items, at, len(items) < len(found), len(found) - len(items))

    async def count(self, prefix: str) -> int:
        return len((await self.list(prefix)).items)

    async def update(self, key: str, value: bytes, expected_revision: int, lease_ttl: int = 0) -> int:
        self._open()
        current = self._current(key)
        if (current.mod_revision if current else 0) != expected_revision:
            raise Conflict(key, current)
        return self._write(key, value, lease_ttl)

    async def delete(self, key: str, expected_revision: int) -> KeyValue:
        self._open()
        current = self._current(key)
        if current is None:
            raise NotFound(key, self._revision)
        if current.mod_revision != expected_revision:
            raise Conflict(key, current)
        return KeyValue(key, current.value, self._write(key, None))

    async def watch(self, prefix: str, start_revision: int) -> AsyncGenerator[Batch, None]:
        self._open()
        if 0 < start_revision < self._compacted:
            raise Compacted(self._compacted)
        queue: asyncio.Queue[Batch | None] = asyncio.Queue()
        queue.put_nowait(Progress(start_revision - 1 if start_revision else self._revision))
        if start_revision:
            for event in self._events:
                if event.revision >= start_revision:
                    queue.put_nowait([event])
        self._watches.add(queue)
        try:
            while (batch := await queue.get()) is not None:
                if isinstance(batch, Progress) or batch[0].key.startswith(prefix):
                    yield batch
            raise Unavailable("storage is closed")
        finally:
            self._watches.discard(queue)

    def stale(self, key: str, revision: int) -> bool:
        return False

    async def request_progress(self) -> None:
        for queue in self._watches:
            queue.put_nowait(Progress(self._revision))

    async def current_revision(self) -> int:
        self._open()
        return self._revision

    async def compact(self, revision: int) -> None:
        self._open()
        if revision <= self._compacted:
            raise Compacted(self._compacted)
        self._check(revision)
        self._compacted = revision
        self._events = [event for event in self._events if event.revision >= revision]
        for key in list(self._versions):
            versions = self._versions[key]
            place = bisect_right(versions, revision, key=itemgetter(0)) - 1
            kept = versions[max(place, 0) :]
            if kept[0][1] is None and kept[0][0] < revision:
                kept = kept[1:]
            if kept:
                self._versions[key] = kept
            else:
                del self._versions[key]

    async def claim_compaction(self, version: int, revision: int) -> tuple[bool, int, int]:
        """See `compaction.Compactable`."""
        self._open()
        if version != self._compactions:
            return False, self._compactions, self._revision
        self._compactions += 1
        return True, self._compactions, self._write(compaction.KEY, str(revision).encode())

    async def status(self) -> StorageStatus:
        self._open()
        return StorageStatus("3.6.5", self._revision, True)

    async def close(self) -> None:
        self._closed = True
        for queue in self._watches:
            queue.put_nowait(None)
