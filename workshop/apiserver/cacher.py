"""The watch cache: all of the store in memory, as bytes that are ready to serve, and one watch that keeps it so.

One etcd watch on the whole prefix feeds every kind's shelf, so one number says how far the cache has come: a list that
must be consistent asks etcd for its revision and waits until the cache has reached it (upstream asks for a
progress notification when nothing happens; so do we). Readers pay nothing for writers: an entry is immutable, and the
same bytes go to each watcher.

    etcd watch ──> Cacher._apply ──> Shelf "pods/"     {key: Stored}  + watchers
                                 └─> Shelf "configmaps/" …

A bounded window of past events lets a watch begin at an old resourceVersion. Older than the window is 410 Expired.

Upstream: `staging/src/k8s.io/apiserver/pkg/storage/cacher`, which keeps one cache and one watch a resource.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, suppress

from workshop.api import errors
from workshop.apiserver.storage.interface import (
    Compacted,
    Conflict,
    Event,
    KeyExists,
    Progress,
    Storage,
    StorageError,
)
from workshop.clock import Clock

from .shelf import Change, Sees, Shelf, Stored, Watcher

logger = logging.getLogger(__name__)

CONSISTENT_READ_TIMEOUT = 3.0
BARRIER = "workshop/barrier"
ASK_AGAIN = 0.1
"""Seconds after which progress is asked for anew: the question is lost with the connection that it was asked on."""


class Cacher:
    """Everything under `prefix` (`/registry/`), kept up to date by one watch."""

    def __init__(self, storage: Storage, clock: Clock, prefix: str = "/registry/") -> None:
        self._storage = storage
        self._clock = clock
        self._prefix = prefix
        self._shelves: dict[str, Shelf] = {}
        self._moved = asyncio.Event()
        self.revision = 0
        self.trusts_progress = True
        self._question: asyncio.Future[int] | None = None
        self._asking: asyncio.Future[int] | None = None
        self.ready = asyncio.Event()

    def shelf(self, prefix: str) -> Shelf:
        """The shelf of `/registry/pods/`. Shelves are made when first asked for or first written."""
        found = self._shelves.get(prefix)
        if found is None:
            found = self._shelves[prefix] = Shelf(prefix)
            found.oldest = self.revision
        return found

    def drop(self, prefix: str) -> None:
        """Let go of the last changes of a kind that is served no more. One of that name later begins anew."""
        shelf = self._shelves.get(prefix)
        if shelf is not None and not shelf.items and not shelf.everybody():
            del self._shelves[prefix]

    async def run(self) -> None:
        """Fill, then follow, for ever. A store that is away is waited for; a compacted past is read anew."""
        pause = 0.02
        while True:
            try:
                start = await self._fill()
                self.ready.set()
                pause = 0.02
                await self._follow(start)
            except Compacted:
                logger.info("the watch cache fell behind a compaction: reading everything again")
                self._forget()
            except StorageError as error:
                logger.debug("the store is away: %s", error)
                await self._clock.sleep(pause)
                pause = min(pause * 2, 1.0)

    def _forget(self) -> None:
        """Start anew. Watchers are cut off: what they missed cannot be told any more."""
        self.ready.clear()
        self._cut_watchers()
        self._shelves.clear()
        self.revision = 0

    def _cut_watchers(self) -> None:
        for shelf in self._shelves.values():
            for watcher in shelf.everybody():
                watcher.close()

    async def _fill(self) -> int:
        """Read everything, once; the revision from which to follow."""
        if self.revision:
            return self.revision
        self._forget()  # what an attempt that broke off has left
        self.trusts_progress = (await self._storage.status()).consistent_progress
        after: str | None = None
        revision = 0
        while True:
            page = await self._storage.list(self._prefix, revision, 2_000, after)
            revision = page.revision
            for kv in page.items:
                shelf = self.shelf(self._shelf_of(kv.key))
                shelf.items[kv.key] = Stored(kv.key, kv.value, kv.mod_revision)
            if not page.more:
                break
            after = page.items[-1].key
        self._cut_watchers()  # whoever came while the shelves were being filled has seen half of them
        for shelf in self._shelves.values():
            shelf.oldest = revision
        self._advance(revision)
        return revision

    async def _follow(self, start: int) -> None:
        async with aclosing(self._storage.watch(self._prefix, start + 1)) as batches:
            async for batch in batches:
                if isinstance(batch, Progress):
                    if self.trusts_progress:
                        self._advance(batch.revision)
                else:
                    for event in batch:
                        self._apply(event, len(batch) == 1)
                    self._advance(batch[-1].revision)

    def _apply(self, event: Event, alone: bool) -> None:
        shelf = self.shelf(self._shelf_of(event.key))
        old: Stored | None = shelf.items.get(event.key)
        if event.type == "put":
            new = Stored(event.key, event.value, event.revision)
            change = Change(event.revision, "MODIFIED" if old else "ADDED", new, old)
        elif old is not None and event.prev_value is not None:
            change = Change(event.revision, "DELETED", Stored(event.key, event.prev_value, event.revision), old)
        else:
            return
        shelf.put(change, alone)

    def _shelf_of(self, key: str) -> str:
        """`/registry/pods/default/web-0` → `/registry/pods/`; three prefixes of upstream's have two parts."""
        rest = key[len(self._prefix) :]
        first, _, after = rest.partition("/")
        if first == "services" or "." in first:
            return f"{self._prefix}{first}/{after.partition('/')[0]}/"
        return f"{self._prefix}{first}/"

    def _advance(self, revision: int) -> None:
        if revision > self.revision:
            self.revision = revision
            self._moved.set()
            self._moved = asyncio.Event()

    async def wait_until(self, revision: int, timeout: float = CONSISTENT_READ_TIMEOUT) -> None:
        """Return when the cache has seen `revision`. Raises ApiError 504 when it does not in time."""
        if self.revision >= revision:
            return
        try:
            async with asyncio.timeout(timeout):
                if not self.trusts_progress and await self._barrier() < revision:
                    raise errors.resource_version_too_large(revision, self.revision)
                while self.revision < revision:
                    if self.trusts_progress:
                        await self._storage.request_progress()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(ASK_AGAIN):
                            while self.revision < revision:
                                await self._moved.wait()
        except TimeoutError:
            raise errors.resource_version_too_large(revision, self.revision) from None

    async def consistent(self) -> int:
        """Bring the cache up to what the store holds at this moment; the revision of that."""
        revision = await (self._newest() if self.trusts_progress else self._barrier())
        await self.wait_until(revision)
        return self.revision

    async def _newest(self) -> int:
        """The store's revision at this moment. One question to etcd serves all who come before it is put; whoever comes
        while it is on its way shares the next one, since the answer under way may be older than what he asks for."""
        if self._question is None:
            self._question = asyncio.ensure_future(self._ask(self._asking))
            self._question.add_done_callback(_look_at)  # all who asked may have gone
        return await asyncio.shield(self._question)

    async def _ask(self, before: asyncio.Future[int] | None) -> int:
        if before is not None and not before.done():
            await asyncio.wait([before])
        self._asking, self._question = self._question, None
        return await self._storage.current_revision()

    async def _barrier(self) -> int:
        """Write a key of our own; when its event comes, all earlier ones have come.

        For an etcd whose word on progress is worth nothing: there only events tell how far the watch is. The revision
        is that of a write that began after this call.
        """
        key = self._prefix + BARRIER
        while True:
            current = await self._storage.get(key)
            try:
                if current is None:
                    return await self._storage.create(key, b"{}")
                return await self._storage.update(key, b"{}", current.mod_revision)
            except KeyExists:
                continue
            except Conflict as faster:
                if faster.current is not None:  # somebody wrote it since we looked: that does as well
                    return faster.current.mod_revision

    def watch(
        self, prefix: str, revision: int, scope: str = "", alone: bool = False, sees: Sees | None = None
    ) -> tuple[list[Change], Watcher]:
        """The changes of the shelf after `revision` that are known, and a watcher for those to come, of which it hears
        what is in its scope. Raises ApiError 410."""
        shelf = self.shelf(prefix)
        past = shelf.since(revision)
        watcher = Watcher(shelf, scope, alone, sees)
        shelf.enter(watcher)
        return past, watcher

    async def watch_from(
        self, prefix: str, revision: int, scope: str = "", alone: bool = False, sees: Sees | None = None
    ) -> tuple[list[Change], Watcher]:
        """`watch`, also from before the window: what the cache has forgotten etcd still knows, until it is compacted.

        So a client's resourceVersion outlives this server. Raises ApiError 410.
        """
        if revision >= self.shelf(prefix).oldest:
            return self.watch(prefix, revision, scope, alone, sees)
        now, watcher = self.watch(prefix, self.revision, scope, alone, sees)
        try:
            return await self._history(prefix, revision, self.revision) + now, watcher
        except Compacted:
            watcher.close()
            oldest = self.shelf(prefix).oldest
            raise errors.gone_expired(f"too old resource version: {revision} ({oldest})") from None
        except BaseException:
            watcher.close()
            raise

    async def _history(self, prefix: str, after: int, until: int) -> list[Change]:
        """The changes in (`after`, `until`] as etcd tells them. Raises Compacted also where nobody can say whether
        all of them have come: progress of an etcd before 3.4.31 overtakes events."""
        if not self.trusts_progress:
            raise Compacted(until)
        found: list[Change] = []
        async with aclosing(self._storage.watch(prefix, after + 1)) as batches:
            await self._storage.request_progress()
            async for batch in batches:
                if isinstance(batch, Progress):
                    if batch.revision >= until:
                        return found
                    await self._storage.request_progress()
                    continue
                found += [change for event in batch if event.revision <= until and (change := _past(event))]
                if batch[-1].revision >= until:
                    return found
        return found


def _past(event: Event) -> Change | None:
    """An event of etcd's history. What was there before has no revision that anybody asks for."""
    old = Stored(event.key, event.prev_value, event.revision) if event.prev_value is not None else None
    if event.type == "put":
        return Change(
            event.revision, "MODIFIED" if old else "ADDED", Stored(event.key, event.value, event.revision), old
        )
    return Change(event.revision, "DELETED", old, old) if old is not None else None


def _look_at(question: asyncio.Future[int]) -> None:
    if not question.cancelled():
        question.exception()
