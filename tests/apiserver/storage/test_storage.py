"""One suite over every implementation of Storage: in memory, over our etcd, over Debian's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from tests.etcd_servers import KINDS, Kept, running
from workshop.apiserver.storage.compaction import compact_once
from workshop.apiserver.storage.etcd3 import Etcd3Storage, consistent_progress, prefix_end
from workshop.apiserver.storage.interface import (
    Compacted,
    Conflict,
    Event,
    FutureRevision,
    KeyExists,
    NotFound,
    Progress,
    TooLarge,
    Unavailable,
)
from workshop.apiserver.storage.memory import MemoryStorage


@pytest.fixture(params=["memory", *KINDS])
async def storage(request: pytest.FixtureRequest, kept: Kept) -> AsyncIterator[Any]:
    if request.param == "memory":
        yield MemoryStorage()
        return
    opened = Etcd3Storage([kept.endpoint(request.param)])
    yield opened
    await opened.close()
    await kept.empty(request.param)


async def events(watch: Any, count: int) -> list[Event]:
    """The next `count` events of a watch."""
    found: list[Event] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            batch = await anext(watch)
            if not isinstance(batch, Progress):
                found += batch
    return found


async def test_keys_are_created_once(storage: Any) -> None:
    revision = await storage.create("/pods/a", b"1")
    assert (await storage.get("/pods/a")) == ("/pods/a", b"1", revision)
    with pytest.raises(KeyExists):
        await storage.create("/pods/a", b"2")
    assert await storage.get("/pods/b") is None


async def test_an_update_needs_the_revision_it_saw(storage: Any) -> None:
    first = await storage.create("/pods/a", b"1")
    second = await storage.update("/pods/a", b"2", first)
    assert second > first
    with pytest.raises(Conflict) as conflict:
        await storage.update("/pods/a", b"3", first)
    assert conflict.value.current == ("/pods/a", b"2", second)
    with pytest.raises(Conflict) as missing:
        await storage.update("/pods/b", b"3", first)
    assert missing.value.current is None


async def test_deleting_returns_what_was_there(storage: Any) -> None:
    with pytest.raises(NotFound):
        await storage.delete("/pods/a", 1)
    first = await storage.create("/pods/a", b"1")
    with pytest.raises(Conflict):
        await storage.delete("/pods/a", first + 5)
    deleted = await storage.delete("/pods/a", first)
    assert deleted == ("/pods/a", b"1", first + 1)
    assert await storage.get("/pods/a") is None
    assert (await storage.get("/pods/a", revision=first)) == ("/pods/a", b"1", first)


async def test_lists_come_in_pages_of_one_revision(storage: Any) -> None:
    for name in "abcde":
        await storage.create(f"/pods/{name}", name.encode())
    await storage.create("/podsx", b"not under the prefix")
    page = await storage.list("/pods/", limit=2)
    assert [item.key for item in page.items] == ["/pods/a", "/pods/b"]
    assert (page.more, page.remaining) == (True, 3)
    await storage.create("/pods/bb", b"after the first page")
    rest = await storage.list("/pods/", revision=page.revision, limit=3, start_after="/pods/b")
    assert [item.key for item in rest.items] == ["/pods/c", "/pods/d", "/pods/e"]
    assert (rest.more, rest.remaining, rest.revision) == (False, 0, page.revision)
    assert await storage.count("/pods/") == 6


async def test_a_watch_has_every_event_with_what_was_before(storage: Any) -> None:
    first = await storage.create("/pods/a", b"1")
    async with aclosing(storage.watch("/pods/", first)) as watch:
        await events(watch, 1)
        second = await storage.update("/pods/a", b"2", first)
        await storage.create("/other/a", b"x")
        await storage.delete("/pods/a", second)
        changed, deleted = await events(watch, 2)
    assert changed == Event("put", "/pods/a", b"2", b"1", second, False)
    assert deleted == Event("delete", "/pods/a", b"", b"2", second + 2, False)


async def test_a_watch_from_now_says_that_it_stands(storage: Any) -> None:
    await storage.create("/pods/a", b"1")
    async with aclosing(storage.watch("/pods/", 0)) as watch:
        assert isinstance(await anext(watch), Progress)
        revision = await storage.create("/pods/b", b"2")
        assert await events(watch, 1) == [Event("put", "/pods/b", b"2", None, revision, True)]


async def test_progress_comes_after_all_events(storage: Any) -> None:
    if not (await storage.status()).consistent_progress:
        return  # older than 3.4.31: its progress notifications may overtake events
    async with aclosing(storage.watch("/pods/", 0)) as watch:
        assert isinstance(await anext(watch), Progress)
        last = 0
        for i in range(20):
            last = await storage.create(f"/pods/{i}", b"")
        await storage.create("/elsewhere", b"")
        await storage.request_progress()
        seen: list[int] = []
        async with asyncio.timeout(60):
            while not isinstance(batch := await anext(watch), Progress):
                seen += [event.revision for event in batch]
    assert len(seen) == 20 and seen[-1] == last
    assert batch.revision == last + 1


async def test_what_is_compacted_cannot_be_read(storage: Any) -> None:
    first = await storage.create("/pods/a", b"1")
    second = await storage.update("/pods/a", b"2", first)
    await storage.update("/pods/a", b"3", second)
    await storage.compact(second)
    with pytest.raises(Compacted):
        await storage.list("/pods/", revision=first)
    with pytest.raises(Compacted):
        await storage.compact(second)
    with pytest.raises(Compacted):
        async with asyncio.timeout(60), aclosing(storage.watch("/pods/", first)) as watch:
            async for _ in watch:
                pass
    assert [item.value for item in (await storage.list("/pods/", revision=second)).items] == [b"2"]
    with pytest.raises(FutureRevision):
        await storage.list("/pods/", revision=second + 100)


async def test_one_of_two_servers_compacts(storage: Any) -> None:
    first = await storage.create("/pods/a", b"1")
    a = await compact_once(storage, 0, 0)
    b = await compact_once(storage, 0, 0)
    second = await storage.update("/pods/a", b"2", first)
    assert a[0] == b[0] == 1
    a = await compact_once(storage, *a)
    assert a[0] == 2
    b = await compact_once(storage, *b)
    assert b[0] == 2, "the other one came first, this one only takes note"
    with pytest.raises(Compacted):
        await storage.get("/pods/a", revision=first - 1 or 1)
    assert (await storage.get("/pods/a")).mod_revision == second


async def test_a_value_that_is_too_large_is_refused(storage: Any) -> None:
    with pytest.raises(TooLarge):
        await storage.create("/pods/a", b"x" * 1_600_000)
    with pytest.raises(TooLarge):
        await storage.create("/pods/a", b"x" * 3_000_000)


async def test_keys_with_a_time_to_live_share_leases(storage: Any) -> None:
    revision = await storage.create("/events/a", b"1", lease_ttl=3600)
    await storage.update("/events/a", b"2", revision, lease_ttl=3600)
    await storage.create("/events/b", b"1", lease_ttl=3600)
    assert [item.value for item in (await storage.list("/events/")).items] == [b"2", b"1"]


@pytest.mark.parametrize("kind", KINDS)
async def test_watches_end_and_reads_go_on_when_etcd_is_killed(kind: str, tmp_path: Any) -> None:
    async with running(kind, tmp_path / "etcd") as etcd:
        storage = Etcd3Storage([etcd.endpoint])
        revision = await storage.create("/pods/a", b"1")
        watch = storage.watch("/pods/", 0)
        await anext(watch)
        etcd.kill()
        with pytest.raises(Unavailable):
            async with asyncio.timeout(60):
                await anext(watch)
        await etcd.start()
        assert (await storage.get("/pods/a")) == ("/pods/a", b"1", revision)
        async with aclosing(storage.watch("/pods/", revision)) as again:
            assert (await events(again, 1))[0].revision == revision
        await storage.close()


async def test_a_write_that_one_member_cannot_be_given_is_given_to_another(kept: Kept) -> None:
    storage = Etcd3Storage(["127.0.0.1:1", kept.endpoint("ours")])
    assert await storage.create("/pods/a", b"1") > 0
    await storage.close()
    await kept.empty("ours")
    nowhere = Etcd3Storage(["127.0.0.1:1", "127.0.0.1:2"])
    with pytest.raises(Unavailable):
        await nowhere.create("/pods/a", b"1")
    await nowhere.close()


async def test_after_closing_everything_is_unavailable() -> None:
    storage = Etcd3Storage(["127.0.0.1:1"])
    await storage.close()
    with pytest.raises(Unavailable):
        await storage.get("/a")


def test_which_versions_give_consistent_progress() -> None:
    assert [v for v in ("3.4.23", "3.4.31", "3.5.0", "3.5.12", "3.5.13", "3.6.5", "?") if consistent_progress(v)] == [
        "3.4.31",
        "3.5.13",
        "3.6.5",
    ]


def test_the_end_of_a_prefix() -> None:
    assert prefix_end(b"/pods/") == b"/pods0"
    assert prefix_end(b"a\xff\xff") == b"b"
    assert prefix_end(b"\xff") == b"\x00"
