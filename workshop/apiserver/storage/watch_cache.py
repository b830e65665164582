"""One list and one watch of etcd a resource serve all clients' reads and watches.

    etcd ── list, then watch ──> WatchCache ──> items     key -> Item            lists, gets
                                    │     └───> window    the last events        watches that start a little back
                                    └─────────> CacheWatch, one a client         each event is shared by all of them

A read is as fresh as it asks for: any state will do (`resourceVersion=0`), not older than a revision (`wait_for`),
or consistent: `consistent()` asks etcd for its revision and waits until the cache has seen all up to there, which
etcd's progress notifications tell even when nothing of this resource changed.

Items hold encoded bytes. `decode` makes of them, when first needed, what selectors look at; it is kept.

Upstream: `staging/src/k8s.io/apiserver/pkg/storage/cacher` (KEP-2340: consistent reads from cache).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import aclosing
from random import Random
from typing import Any, Literal, NamedTuple

from sortedcontainers import SortedDict

from workshop.apiserver.storage.interface import (
    Compacted,
    Event,
    FutureRevision,
    Progress,
    Storage,
    StorageError,
    Timeout,
    Unavailable,
)
from workshop.clock import SYSTEM, Clock

log = logging.getLogger("watch-cache")

#: Events kept for watches that start in the past.
WINDOW = 2048
#: Events a client may be behind before its watch is ended; it then comes back and starts anew.
MAX_BEHIND = 4096
#: Seconds between two requests for progress while a consistent read waits, and how long such a read waits.
PROGRESS_INTERVAL, FRESH_TIMEOUT = 0.1, 3.0

Decode = Callable[[str, bytes, int], Any]


class Item:
    """An object: key, encoded bytes, revision; `view` is what `decode` made of it, made when first asked for.

    `encoded` is a place for renderings that several answers share (by content type, say).
    """

    __slots__ = ("_decode", "_view", "encoded", "key", "revision", "value")

    def __init__(self, key: str, value: bytes, revision: int, decode: Decode) -> None:
        self.key, self.value, self.revision = key, value, revision
        self.encoded: dict[Any, bytes] = {}
        self._decode: Decode | None = decode
        self._view: Any = None

    @property
    def view(self) -> Any:
        if self._decode is not None:
            self._view, self._decode = self._decode(self.key, self.value, self.revision), None
        return self._view


class CacheEvent(NamedTuple):
    """One change. `item` is the object after it, for a deletion its last state with the deletion's revision.
    `previous` is the object before it, None for a creation."""

    type: Literal["put", "delete"]
    item: Item
    previous: Item | None
    revision: int


class Page(NamedTuple):
    """A part of a prefix in key order, and the revision it is of."""

    items: list[Item]
    revision: int
    more: bool
    remaining: int


class CacheWatch:
    """One client's watch: iterate over lists of events. Ends with Unavailable when it fell too far behind.

    `revision` is how far the client has been told: what a bookmark may say once all was taken.
    """

    def __init__(self, cache: WatchCache, prefix: str, pending: Iterable[CacheEvent], revision: int) -> None:
        self._cache, self._prefix = cache, prefix
        self._pending: deque[CacheEvent] = deque(pending)
        self._something = asyncio.Event()
        self._error: StorageError | None = None
        self._seen = revision
        if self._pending:
            self._something.set()

    @property
    def revision(self) -> int:
        """Every event up to here has been handed out."""
        if not self._pending and self._error is None:
            self._seen = max(self._seen, self._cache.revision)
        return self._seen

    def offer(self, event: CacheEvent) -> None:
        """The cache has an event."""
        if not event.item.key.startswith(self._prefix) or event.revision <= self._seen:
            return
        if len(self._pending) >= MAX_BEHIND:
            self.end(Unavailable("the watch's client is too slow"))
            return
        self._pending.append(event)
        self._something.set()

    def end(self, error: StorageError) -> None:
        """Let the client take what is there, then raise `error`."""
        self._error = self._error or error
        self._cache.forget(self)
        self._something.set()

    def __aiter__(self) -> CacheWatch:
        return self

    async def __anext__(self) -> list[CacheEvent]:
        await self._something.wait()
        if self._pending:
            batch = list(self._pending)
            self._pending.clear()
            self._seen = batch[-1].revision
            if self._error is None:
                self._something.clear()
            return batch
        assert self._error is not None
        raise self._error

    async def aclose(self) -> None:
        self._cache.forget(self)


class HistoryWatch:
    """A watch that starts before the cache's window: it is etcd's own. Same shape as a CacheWatch."""

    def __init__(self, storage: Storage, prefix: str, revision: int, decode: Decode) -> None:
        self._batches = storage.watch(prefix, revision + 1)
        self._decode = decode
        self.revision = revision

    def __aiter__(self) -> HistoryWatch:
        return self

    async def __anext__(self) -> list[CacheEvent]:
        while True:
            batch = await anext(self._batches)
            if isinstance(batch, Progress):
                self.revision = max(self.revision, batch.revision)
                continue
            self.revision = batch[-1].revision
            return [_event(event, self._decode) for event in batch]

    async def aclose(self) -> None:
        await self._batches.aclose()  # type: ignore[attr-defined]


class WatchCache:
    """The objects under `prefix`. `run` fills it and keeps it filled; reads raise Unavailable or Timeout until
    `ready` is set, and while etcd cannot be reached go on with what is there."""

    def __init__(
        self,
        storage: Storage,
        prefix: str,
        decode: Decode = lambda key, value, revision: None,
        clock: Clock = SYSTEM,
        random: Random | None = None,
        window: int = WINDOW,
    ) -> None:
        self.storage, self.prefix = storage, prefix
        self.items: SortedDict[str, Item] = SortedDict()
        self.revision = 0
        self.ready = asyncio.Event()
        self._decode, self._clock, self._random = decode, clock, random or Random(prefix)
        self._window: deque[CacheEvent] = deque(maxlen=window)
        self._oldest = 0  # a watch may start after this revision: everything since is in the window
        self._watches: dict[CacheWatch, None] = {}
        self._moved: asyncio.Future[None] | None = None

    # Filling

    async def run(self) -> None:
        """For ever: list, watch, and after a break go on from the last revision, or list again if it is gone."""
        delay = 0.02
        while True:
            try:
                if not self.ready.is_set():
                    await self._relist()
                delay = 0.02
                await self._follow()
            except Compacted:
                self.ready.clear()
            except StorageError as error:
                log.debug("%s: %s", self.prefix, error)
                await self._clock.sleep(delay * (1 + self._random.random()))
                delay = min(delay * 2, 1.0)

    async def _relist(self) -> None:
        """Start from what is there now. Open watches may have missed something, so they end; clients begin again."""
        found = await self.storage.list(self.prefix)
        self.items = SortedDict((kv.key, Item(kv.key, kv.value, kv.mod_revision, self._decode)) for kv in found.items)
        self._window.clear()
        self._oldest = found.revision
        for watch in list(self._watches):
            watch.end(Unavailable("the watch cache began anew"))
        self._advance(found.revision)
        self.ready.set()

    async def _follow(self) -> None:
        async with aclosing(self.storage.watch(self.prefix, self.revision + 1)) as batches:  # type: ignore[type-var]
            async for batch in batches:
                if isinstance(batch, Progress):
                    self._advance(batch.revision)
                else:
                    for event in batch:
                        self._apply(event)
                    self._advance(batch[-1].revision)

    def _apply(self, event: Event) -> None:
        previous = self.items.get(event.key)
        if event.type == "delete":
            self.items.pop(event.key, None)
            last = previous.value if previous is not None else event.prev_value or b""
            item = Item(event.key, last, event.revision, self._decode)
        else:
            item = self.items[event.key] = Item(event.key, event.value, event.revision, self._decode)
        change = CacheEvent(event.type, item, previous, event.revision)
        if len(self._window) == self._window.maxlen:
            self._oldest = self._window[0].revision
        self._window.append(change)
        for watch in list(self._watches):
            watch.offer(change)

    def _advance(self, revision: int) -> None:
        """Everything up to `revision` is in the cache."""
        if revision > self.revision:
            self.revision = revision
            if self._moved is not None and not self._moved.done():
                self._moved.set_result(None)
            self._moved = None

    # Reading

    def get(self, key: str) -> Item | None:
        item: Item | None = self.items.get(key)
        return item

    def list(self, prefix: str = "", start_after: str | None = None, limit: int = 0) -> Page:
        """A page of the keys under `prefix` (all: ""), as the cache is now."""
        prefix = prefix or self.prefix
        low = self.items.bisect_left(prefix) if start_after is None else self.items.bisect_right(start_after)
        high = self.items.bisect_left(prefix + "\U0010ffff")
        stop = min(high, low + limit) if limit else high
        items = [self.items[key] for key in self.items.islice(low, stop)] if stop > low else []
        return Page(items, self.revision, stop < high, max(high - stop, 0))

    async def wait_ready(self, timeout: float = FRESH_TIMEOUT) -> None:
        """Raises Timeout."""
        if self.ready.is_set():
            return
        await self._within(self.ready.wait(), timeout, f"{self.prefix} is not filled yet")

    async def wait_for(self, revision: int, timeout: float = FRESH_TIMEOUT) -> None:
        """Return when the cache has seen all up to `revision`, asking for progress meanwhile.

        Raises FutureRevision if it does not within `timeout`: it has not happened, or not been told.
        """
        await self.wait_ready(timeout)
        until = self._clock.monotonic() + timeout
        while self.revision < revision:
            left = until - self._clock.monotonic()
            if left <= 0:
                raise FutureRevision(revision)
            await self.storage.request_progress()
            if self.revision < revision:
                await self._next_move(min(PROGRESS_INTERVAL, left))

    async def consistent(self, timeout: float = FRESH_TIMEOUT) -> int:
        """Return when the cache holds all that had been written when this was called; the revision.

        Raises Timeout (then read etcd directly), Unavailable.
        """
        revision = await self.storage.current_revision()
        try:
            await self.wait_for(revision, timeout)
        except FutureRevision as late:
            raise Timeout(f"{self.prefix} is behind etcd") from late
        return revision

    async def _next_move(self, timeout: float) -> None:
        """Return when the revision moves, or after `timeout`."""
        if self._moved is None:
            self._moved = asyncio.get_running_loop().create_future()
        pause = asyncio.ensure_future(self._clock.sleep(timeout))
        try:
            await asyncio.wait([self._moved, pause], return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()

    async def _within(self, wait: Any, timeout: float, problem: str) -> None:
        waiting, pause = asyncio.ensure_future(wait), asyncio.ensure_future(self._clock.sleep(timeout))
        try:
            await asyncio.wait([waiting, pause], return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise Timeout(problem)
        finally:
            waiting.cancel()
            pause.cancel()

    # Watching

    def watch(self, revision: int, prefix: str = "") -> CacheWatch | HistoryWatch:
        """All events after `revision` of keys under `prefix`; 0 is from now on (take the list first, and there is
        no gap as long as nothing is awaited between).

        Close it with `aclose()`. A revision before the window is served from etcd's history, whose watch raises
        Compacted when it is gone. Ask `wait_for(revision)` first: a revision from the future waits for it.
        """
        prefix = prefix or self.prefix
        if revision and revision < self._oldest:
            return HistoryWatch(self.storage, prefix, revision, self._decode)
        start = revision or self.revision
        missed = [event for event in self._window if event.revision > start and event.item.key.startswith(prefix)]
        watch = CacheWatch(self, prefix, missed, start)
        self._watches[watch] = None
        return watch

    def forget(self, watch: CacheWatch) -> None:
        """The watch is over."""
        self._watches.pop(watch, None)


def _event(event: Event, decode: Decode) -> CacheEvent:
    previous = None
    if event.prev_value is not None:
        previous = Item(event.key, event.prev_value, event.revision, decode)
    if event.type == "delete":
        return CacheEvent(
            "delete", Item(event.key, event.prev_value or b"", event.revision, decode), previous, event.revision
        )
    return CacheEvent("put", Item(event.key, event.value, event.revision, decode), previous, event.revision)
