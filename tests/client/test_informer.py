"""An informer follows the server, whatever happens to the connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from tests.fake_api import FakeApi
from tests.virtual_clock import VirtualClock, settle
from workshop.api.meta import Key, name
from workshop.api.resources import resource
from workshop.client.informer import Informer, InformerFactory
from workshop.client.store import Store, by_namespace, by_node_name

PODS = resource("pods")
WEB = "/api/v1/namespaces/default/pods"


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


class Followed:
    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.clock = VirtualClock()
        self.informer = Informer(api.client(), PODS, clock=self.clock, random=Random(1))
        self.seen: list[str] = []
        self.informer.add_handler(
            lambda o: self.seen.append(f"+{name(o)}"),
            lambda old, new: self.seen.append(f"~{name(new)}"),
            lambda o: self.seen.append(f"-{name(o)}"),
        )


@asynccontextmanager
async def following(api: FakeApi) -> AsyncIterator[Followed]:
    followed = Followed(api)
    task = asyncio.ensure_future(followed.informer.run())
    try:
        await settle()
        yield followed
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await followed.informer._client.close()


@pytest.mark.parametrize("watch_list", [True, False])
async def test_first_everything_then_every_change(watch_list: bool) -> None:
    api = FakeApi(watch_list)
    api.put(WEB, pod("a"))
    async with following(api) as f:
        await asyncio.wait_for(f.informer.synced.wait(), 60)
        api.put(WEB, pod("b"))
        api.put(WEB, pod("b", nodeName="n1"))
        api.remove(f"{WEB}/a")
        await settle()
        assert f.seen == ["+a", "+b", "~b", "-a"]
        kept = f.informer.store.get(Key("default", "b"))
        assert kept is not None
        assert (kept["kind"], kept["spec"]) == ("Pod", {"nodeName": "n1"})


async def test_a_cut_watch_resumes_without_gap_and_without_double() -> None:
    api = FakeApi()
    async with following(api) as f:
        api.put(WEB, pod("a"))
        await settle()
        api.cut_watches()
        await settle()
        api.put(WEB, pod("b"))
        await f.clock.advance(3)
        assert f.seen == ["+a", "+b"]
        lists = [r for r in api.requests if r[0] == "GET"]
        assert len(lists) == 2  # the watch, and the watch again


async def test_gone_means_fetch_again_and_tell_of_what_vanished() -> None:
    api = FakeApi()
    async with following(api) as f:
        api.put(WEB, pod("a"))
        api.put(WEB, pod("b"))
        await settle()
        api.down = True
        api.cut_watches()
        await settle()
        api.remove(f"{WEB}/a")
        api.put(WEB, pod("c"))
        api.compact()
        api.down = False
        await f.clock.advance(5)
        assert f.seen == ["+a", "+b", "-a", "+c"]


async def test_a_server_that_is_away_is_looked_for_again_soon() -> None:
    api = FakeApi()
    api.down = True
    async with following(api) as f:
        assert not f.informer.synced.is_set()
        await f.clock.advance(0.5)
        api.down = False
        await f.clock.advance(2.0)
        assert f.informer.synced.is_set()


async def test_a_handler_that_fails_does_not_blind_the_others(caplog: pytest.LogCaptureFixture) -> None:
    api = FakeApi()
    async with following(api) as f:
        late: list[str] = []
        f.informer.add_handler(lambda o: 1 / 0)  # type: ignore[arg-type, return-value]
        f.informer.add_handler(lambda o: late.append(name(o)))
        api.put(WEB, pod("a"))
        await settle()
        assert late == ["a"]
        assert "a handler of pods failed" in caplog.text


async def test_a_factory_shares() -> None:
    api = FakeApi()
    api.put(WEB, pod("a"))
    factory = InformerFactory(api.client(), clock=VirtualClock(), random=Random(1))
    one, two = factory.informer(PODS), factory.informer(PODS)
    other = factory.informer(PODS, field_selector="metadata.name=b")
    assert one is two
    assert one is not other
    factory.start()
    await asyncio.wait_for(factory.wait_for_sync(), 60)
    assert len(one.store) == 1
    assert len(other.store) == 0
    await factory.stop()


def test_an_index_follows_each_change() -> None:
    store = Store()
    store.put(Key("default", "a"), pod("a", nodeName="n1"))
    store.add_index("node", by_node_name)
    store.add_index("node", by_namespace)  # the first one counts
    store.put(Key("default", "b"), pod("b"))
    assert [name(o) for o in store.by_index("node", "n1")] == ["a"]
    store.put(Key("default", "b"), pod("b", nodeName="n1"))
    store.put(Key("default", "a"), pod("a", nodeName="n2"))
    assert [name(o) for o in store.by_index("node", "n1")] == ["b"]
    store.remove(Key("default", "b"))
    assert store.by_index("node", "n1") == []
    with pytest.raises(KeyError):
        store.by_index("colour", "red")
