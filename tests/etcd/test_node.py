"""The loop's promise: nobody hears of a write before it is on disk, and one fsync serves all who waited."""

from __future__ import annotations

import asyncio
import threading
from random import Random
from typing import Any

from workshop.clock import SYSTEM
from workshop.etcd import state
from workshop.etcd.lease import Lessor
from workshop.etcd.node import Node
from workshop.etcd.raft import Configuration, Raft, Ready
from workshop.etcd.replica import Replica
from workshop.etcd.surroundings import Timing
from workshop.wire import etcd_pb2 as pb


class SlowDisk:
    """A write-ahead log whose fsync waits for leave."""

    def __init__(self) -> None:
        self.leave = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.frames: list[int] = []

    def save(self, ready: Ready) -> None:
        self.begun.release()
        assert self.leave.acquire(timeout=60)
        self.frames.append(len(ready.entries))

    def close(self) -> None:
        pass


async def test_a_write_is_told_only_when_it_is_on_disk_and_groups_share_an_fsync() -> None:
    disk: Any = SlowDisk()
    machine = state.StateMachine(1, Lessor())
    heard: list[bytes] = []
    machine.on_change = lambda changes: heard.extend(record.key for record in changes)
    raft = Raft(1, Configuration(frozenset({1})), Random(1))
    node = Node(Replica(raft, machine), disk, SYSTEM, Timing())
    running = asyncio.ensure_future(node.run())
    loop = asyncio.get_running_loop()

    async def begun() -> None:
        assert await loop.run_in_executor(None, lambda: disk.begun.acquire(timeout=60))

    await begun()
    disk.leave.release()  # the leader's own empty entry
    await asyncio.wait_for(node.ready.wait(), 60)

    first = node.propose(state.PUT, pb.PutRequest(key=b"a"))
    await begun()
    later = [node.propose(state.PUT, pb.PutRequest(key=b"%d" % i)) for i in range(50)]
    await asyncio.sleep(0)
    assert not first.done() and not heard and machine.store.get(b"a") is None
    disk.leave.release()
    assert (await asyncio.wait_for(first, 60)).revision == 2
    assert heard == [b"a"]
    assert not any(future.done() for future in later)
    await begun()
    disk.leave.release()
    answers = await asyncio.wait_for(asyncio.gather(*later), 60)
    assert [answer.revision for answer in answers] == list(range(3, 53)), "each knows its own revision"
    assert disk.frames == [1, 1, 50], "fifty waited for the disk, and one fsync served them"
    node.stop()
    await asyncio.wait_for(running, 60)
