"""Trace lines: told only while somebody listens, tied together by versions, and without effect on who tells."""

import asyncio

import pytest

from workshop import trace
from workshop.api.resources import resource
from workshop.client.controller import Controller
from workshop.client.informer import Informer
from workshop.client.workqueue import RateLimitingQueue
from workshop.clock import SYSTEM
from workshop.cluster.tracing import listening

from .fake_api import FakeApi

PODS = resource("pods")
COLLECTION = "/api/v1/namespaces/default/pods"


@pytest.fixture(autouse=True)
def _no_sink_is_left():
    yield
    trace.install(None)


async def until(condition):
    """Let the loop turn until `condition()` holds; a turn costs microseconds."""
    for _ in range(10_000_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to be")


async def test_lines_flow_only_while_somebody_listens(tmp_path):
    listeners = trace.Listeners(tmp_path / trace.FOLDER, "etcd")
    listeners.start()
    assert not trace.enabled()
    trace.emit("lost", number=1)
    lines: asyncio.Queue = asyncio.Queue()
    async with listening(tmp_path, lines.put_nowait):
        await until(trace.enabled)  # inotify tells the loop
        trace.emit("etcd.commit", revision=7)
        line = await asyncio.wait_for(lines.get(), 60)
        assert (line["event"], line["process"], line["revision"]) == ("etcd.commit", "etcd", 7)
    await until(lambda: not trace.enabled())


async def test_a_listener_that_died_or_does_not_read_holds_up_nobody(tmp_path):
    folder = tmp_path / "t"
    folder.mkdir()
    listeners = trace.Listeners(folder, "x")
    accepted: asyncio.Future = asyncio.get_running_loop().create_future()

    async def deaf(reader, writer):
        reader._transport.pause_reading()
        accepted.set_result(writer)

    server = await asyncio.start_unix_server(deaf, str(folder / "deaf.sock"), limit=1024)
    (folder / "dead.sock").touch()
    listeners.look()
    theirs = await asyncio.wait_for(accepted, 60)
    for _ in range(3000):
        trace.emit("noise", text="x" * 1000)
    await asyncio.sleep(0)
    (outbox,) = listeners.open.values()
    assert outbox.dropped > 0
    outbox.close()
    theirs.transport.abort()
    server.close()
    await server.wait_closed()


async def act(api):
    """A controller that labels each pod once. → the requests that it made"""
    client = api.client()
    informer = Informer(client, PODS)
    queue: RateLimitingQueue = RateLimitingQueue(SYSTEM)
    done = asyncio.Event()
    informer.add_handler(lambda pod: queue.add((pod["metadata"]["namespace"], pod["metadata"]["name"])))

    async def reconcile(key):
        informer.store.by_index("namespace", key[0])
        await client.patch(PODS, key[1], {"metadata": {"labels": {"seen": "yes"}}}, key[0])
        done.set()

    running = [
        asyncio.ensure_future(informer.run()),
        asyncio.ensure_future(Controller("labels", queue, reconcile).run()),
    ]
    await informer.synced.wait()
    api.put(COLLECTION, {"metadata": {"name": "web", "namespace": "default"}})
    await asyncio.wait_for(done.wait(), 60)
    version = api.objects[f"{COLLECTION}/web"]["metadata"]["resourceVersion"]
    await until(lambda: informer.store.list()[0]["metadata"]["resourceVersion"] == version)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return [*api.requests]


async def test_a_reconcile_tells_what_it_read_and_what_it_wrote():
    seen = []
    trace.install(lambda event, fields: seen.append((event, fields)))
    await act(FakeApi())
    events = [fields["version"] for event, fields in seen if event == "informer.event"]
    (span,) = [fields for event, fields in seen if event == "controller.reconcile"]
    assert span["read"] == [("Pod", "default", "web", events[0])]
    assert [(w["method"], w["version"]) for w in span["wrote"]] == [("PATCH", events[1])]
    assert span["controller"] == "labels"


async def test_a_controller_does_the_same_whether_it_is_watched_or_not():
    alone = await act(FakeApi())
    trace.install(lambda event, fields: None)
    assert await act(FakeApi()) == alone
