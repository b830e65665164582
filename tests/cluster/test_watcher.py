"""The observer that stays: told by the kernel, and not looking while nobody looks."""

import asyncio
import json
import os
import signal
import subprocess
import sys

import pytest

from workshop.cluster import procfs, sockets, watcher
from workshop.cluster.inotify import Tree
from workshop.cluster.layout import Layout
from workshop.cluster.plan import make

WAIT = 60.0


def sleeping():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


sleeper = pytest.fixture(sleeping, name="sleeper")
successor = pytest.fixture(sleeping, name="successor")


@pytest.fixture
def layout(tmp_path):
    for part in ("nodes/node-1/run", "run"):
        (tmp_path / part).mkdir(parents=True)
    return Layout("w", tmp_path)


def container(layout, process):
    """What a shim writes about a container."""
    folder = layout.node("node-1") / "run" / "sandbox-1"
    (folder / "c" / "one").mkdir(parents=True, exist_ok=True)
    (folder / "sandbox.json").write_text(json.dumps({"status": {"uid": "pod-1", "name": "web"}}))
    state = {"pid": process.pid, "start": procfs.stat(process.pid).start}
    draft = folder / "c" / "one" / ".state"
    draft.write_text(json.dumps(state))
    draft.rename(folder / "c" / "one" / "state.json")


class Watching:
    """A Watcher that runs, and what it saw at each change."""

    def __init__(self, layout):
        self.changes: asyncio.Queue = asyncio.Queue()
        self.plan = make("w", str(layout.root), mode="plain", block=7, nodes=1)
        self.watcher = watcher.Watcher(
            layout, lambda: self.plan, lambda: self.changes.put_nowait(self.watcher.observed())
        )

    async def __aenter__(self):
        self.task = asyncio.ensure_future(self.watcher.run())
        assert await self.next() == {}  # the plan's components, none of which runs
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def next(self):
        return await asyncio.wait_for(self.changes.get(), WAIT)


async def test_a_container_is_seen_to_come_and_to_end_without_a_look(layout, sleeper, monkeypatch):
    monkeypatch.setattr(watcher, "LOOK_SECONDS", None)  # only the kernel's word counts
    async with Watching(layout) as watching:
        container(layout, sleeper)
        assert await watching.next() == {"pod-1": 1}
        sleeper.send_signal(signal.SIGKILL)
        assert await watching.next() == {}


async def test_an_end_and_the_start_that_answers_it_are_two_changes_however_close(layout, sleeper, successor):
    async with Watching(layout) as watching:
        container(layout, sleeper)
        assert await watching.next() == {"pod-1": 1}
        sleeper.kill()
        sleeper.wait()
        container(layout, successor)  # before the watcher had a turn, and the files are read before the pidfd is
        watching.watcher._files()
        watching.watcher.look()
        assert [await watching.next(), await watching.next()] == [{}, {"pod-1": 1}]
        assert watching.watcher.containers[0]["pid"] == successor.pid


async def test_proc_is_left_alone_while_nobody_looks(layout, sleeper, monkeypatch):
    looks = []
    monkeypatch.setattr(watcher.observer, "states", lambda plan, rows: looks.append(1) or [])
    monkeypatch.setattr(watcher, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(watcher, "RETRY_SECONDS", 1000.0)
    seen = asyncio.Queue()
    found = watcher.Watcher(layout, lambda: make("w", "/x", mode="plain", block=7), lambda: seen.put_nowait(1))
    task = asyncio.ensure_future(found.run())
    try:
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(looks) == 1
        loop = asyncio.get_running_loop()
        end = loop.time() + 0.3
        while loop.time() < end:  # noqa: ASYNC110  that nothing happens has no event
            await asyncio.sleep(0.05)
        assert len(looks) == 1, "nobody looks, nothing is read"
        found.looking = True
        found.look_soon()
        while len(looks) < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_component_that_is_paused_shows_as_such_at_the_next_look(layout, sleeper, monkeypatch):
    row = {"name": "etcd", "program": "etcd", "node": None, "pid": sleeper.pid, "start": procfs.stat(sleeper.pid).start,
           "state": "running", "restarts": 0, "since": None, "exit": None}  # fmt: skip
    monkeypatch.setattr(watcher, "LOOK_SECONDS", 0.01)
    async with Watching(layout) as watching:
        watching.watcher._supervised = {"etcd": row}
        watching.watcher.looking = True
        watching.watcher.look_soon()
        states = []
        for wanted, number in (("running", None), ("paused", signal.SIGSTOP), ("running", signal.SIGCONT), ("ended", signal.SIGKILL)):  # fmt: skip
            if number is not None:
                os.kill(sleeper.pid, number)
            while not states or states[-1] != wanted:
                await watching.next()
                states.append(watching.watcher.processes[0]["state"])
                watching.watcher._supervised = {"etcd": row}


def test_a_tree_follows_only_the_names_it_was_given(tmp_path):
    tree = Tree(tmp_path, ("*", "run"))
    try:
        (tmp_path / "node").mkdir()
        assert tree.changed()
        for name in ("run", "volumes"):
            (tmp_path / "node" / name).mkdir()
        assert tree.changed()
        (tmp_path / "node" / "volumes" / "x").mkdir()
        assert not tree.changed()
        (tmp_path / "node" / "run" / "x").touch()
        assert tree.changed() and not tree.changed()
    finally:
        tree.close()


def test_connections_are_counted_once_by_where_they_lead():
    service, pod, client = ("127.7.128.9", 80), ("127.7.0.2", 80), ("127.0.0.1", 50000)
    rows = [
        (service, ("0.0.0.0", 0), 10),
        (pod, ("0.0.0.0", 0), 10),
        (client, service, 1),
        (service, client, 1),
        (("127.0.0.1", 50001), pod, 1),
        (pod, ("127.0.0.1", 50001), 1),
        (("127.0.0.1", 50002), service, 6),
        (service, ("127.0.0.1", 50003), 6),
    ]
    assert sockets.counts(rows) == {service: (1, 2), pod: (1, 0)}


def test_a_real_connection_is_found_in_this_machines_table():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        accepted, _ = server.accept()
        with accepted:
            found = sockets.counts(sockets.parse(sockets.of_process(os.getpid())))
            assert found[server.getsockname()] == (1, 0)
