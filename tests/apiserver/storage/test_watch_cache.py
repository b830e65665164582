"""The watch cache over storage in memory: freshness, windows, slow clients, breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.etcd_servers import running
from workshop.apiserver.storage.etcd3 import Etcd3Storage
from workshop.apiserver.storage.interface import Batch, Compacted, FutureRevision, Unavailable
from workshop.apiserver.storage.memory import MemoryStorage
from workshop.apiserver.storage.watch_cache import MAX_BEHIND, CacheWatch, HistoryWatch, WatchCache


class Breakable(MemoryStorage):
    """Its watches end when `break_watches` is called, as when etcd is killed."""

    def __init__(self) -> None:
        super().__init__()
        self.lists = 0

    async def list(self, *args: Any, **kwargs: Any) -> Any:
        self.lists += 1
        return await super().list(*args, **kwargs)

    def break_watches(self) -> None:
        for queue in self._watches:
            queue.put_nowait(None)


@asynccontextmanager
async def filled(storage: MemoryStorage, **kwargs: Any) -> AsyncIterator[WatchCache]:
    cache = WatchCache(storage, "/pods/", **kwargs)
    running = asyncio.ensure_future(cache.run())
    try:
        await cache.wait_ready()
        yield cache
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def take(watch: Any, count: int) -> list[tuple[str, str, int]]:
    found: list[tuple[str, str, int]] = []
    async with asyncio.timeout(5):
        while len(found) < count:
            found += [(event.type, event.item.key, event.revision) for event in await anext(watch)]
    return found


async def test_a_consistent_read_sees_what_was_written_before() -> None:
    storage = MemoryStorage()
    async with filled(storage) as cache:
        for i in range(10):
            await storage.create(f"/pods/{i}", b"x")
        last = await storage.create("/elsewhere", b"x")
        assert await cache.consistent() == last
        page = cache.list()
        assert (len(page.items), page.revision, page.more) == (10, last, False)


async def test_pages() -> None:
    storage = MemoryStorage()
    for name in ("ns1/a", "ns1/b", "ns1/c", "ns2/a"):
        await storage.create(f"/pods/{name}", b"x")
    async with filled(storage) as cache:
        page = cache.list("/pods/ns1/", limit=2)
        assert [item.key for item in page.items] == ["/pods/ns1/a", "/pods/ns1/b"]
        assert (page.more, page.remaining) == (True, 1)
        rest = cache.list("/pods/ns1/", start_after="/pods/ns1/b", limit=2)
        assert [item.key for item in rest.items] == ["/pods/ns1/c"] and not rest.more


async def test_a_revision_that_has_not_happened_is_refused() -> None:
    async with filled(MemoryStorage()) as cache:
        with pytest.raises(FutureRevision):
            await cache.wait_for(1000, timeout=0.02)


async def test_a_watch_from_the_window_misses_and_doubles_nothing() -> None:
    storage = MemoryStorage()
    async with filled(storage) as cache:
        first = await storage.create("/pods/a", b"1")
        second = await storage.update("/pods/a", b"2", first)
        await cache.consistent()
        watch = cache.watch(first)
        assert isinstance(watch, CacheWatch)
        await storage.delete("/pods/a", second)
        await storage.create("/pods/b", b"1")
        assert await take(watch, 3) == [
            ("put", "/pods/a", second),
            ("delete", "/pods/a", second + 1),
            ("put", "/pods/b", second + 2),
        ]
        assert watch.revision == second + 2


async def test_a_watch_from_before_the_window_reads_history() -> None:
    storage = MemoryStorage()
    async with filled(storage, window=2) as cache:
        revisions = [await storage.create(f"/pods/{i}", b"x") for i in range(6)]
        await cache.consistent()
        watch = cache.watch(revisions[0])
        assert isinstance(watch, HistoryWatch)
        assert [revision for _, _, revision in await take(watch, 5)] == revisions[1:]
        await watch.aclose()
        await storage.compact(revisions[4])
        gone = cache.watch(revisions[0])
        with pytest.raises(Compacted):
            await anext(gone)


async def test_the_edge_of_the_window_is_exact() -> None:
    storage = MemoryStorage()
    async with filled(storage, window=2) as cache:
        revisions = [await storage.create(f"/pods/{i}", b"x") for i in range(4)]
        await cache.consistent()
        inside, outside = cache.watch(revisions[1]), cache.watch(revisions[0])
        assert isinstance(inside, CacheWatch) and isinstance(outside, HistoryWatch)
        assert [revision for _, _, revision in await take(inside, 2)] == revisions[2:]
        await outside.aclose()


async def test_all_watches_share_one_item_and_its_view() -> None:
    made: list[str] = []

    def decode(key: str, value: bytes, revision: int) -> str:
        made.append(key)
        return value.decode()

    storage = MemoryStorage()
    async with filled(storage, decode=decode) as cache:
        watches = [cache.watch(0) for _ in range(3)]
        await storage.create("/pods/a", b"hello")
        items = [(await anext(watch))[0].item for watch in watches]
        assert all(item is items[0] for item in items)
        assert [item.view for item in items] == ["hello"] * 3
        assert made == ["/pods/a"], "decoded once, and only when asked for"


async def test_a_slow_client_is_ended_not_buffered_for_ever() -> None:
    storage = MemoryStorage()
    async with filled(storage) as cache:
        watch = cache.watch(0)
        for i in range(MAX_BEHIND + 10):
            await storage.create(f"/pods/{i}", b"")
        await cache.consistent()
        assert len(await take(watch, 1)) == MAX_BEHIND
        with pytest.raises(Unavailable):
            await anext(watch)


async def test_after_a_break_it_goes_on_without_listing_again() -> None:
    storage = Breakable()
    async with filled(storage) as cache:
        watch = cache.watch(0)
        await storage.create("/pods/a", b"1")
        assert len(await take(watch, 1)) == 1
        storage.break_watches()
        await storage.create("/pods/b", b"1")
        assert [key for _, key, _ in await take(watch, 1)] == ["/pods/b"]
        assert storage.lists == 1


async def test_after_a_break_beyond_compaction_it_lists_anew_and_watches_end() -> None:
    storage = Breakable()
    async with filled(storage) as cache:
        watch = cache.watch(0)
        original = storage.watch

        async def compacted(prefix: str, start_revision: int) -> AsyncIterator[Batch]:
            storage.watch = original  # type: ignore[method-assign]
            raise Compacted(start_revision + 1)
            yield []

        storage.watch = compacted  # type: ignore[method-assign, assignment]
        storage.break_watches()
        with pytest.raises(Unavailable):
            async with asyncio.timeout(5):
                await anext(watch)
        await storage.create("/pods/b", b"1")
        await cache.consistent()
        assert [item.key for item in cache.list().items] == ["/pods/b"]
        assert storage.lists == 2


async def test_over_a_real_etcd_that_is_killed(tmp_path: Any) -> None:
    """The cache goes on from where it was; an open watch neither misses nor doubles."""
    async with running("ours", tmp_path / "etcd") as etcd:
        storage = Etcd3Storage([etcd.endpoint])
        async with filled(storage) as cache:  # type: ignore[arg-type]
            watch = cache.watch(0)
            expected = []
            for round in range(3):
                for i in range(20):
                    expected.append(await storage.create(f"/pods/{round}-{i}", b"x"))
                await storage.create(f"/elsewhere/{round}", b"x")
                assert len(cache.list().items) <= await cache.consistent(), "asked of etcd, told by progress"
                assert len(cache.list().items) == 20 * (round + 1)
                etcd.kill()
                await etcd.start()
            assert [revision for _, _, revision in await take(watch, 60)] == expected
        await storage.close()
