"""Do the members hold the same data? The leader asks each for the hash of its store, and an alarm stops writes
where one differs: better no answer than two.

Members can only be compared at a revision that both know, and when both were compacted at the same one.

Upstream: `server/etcdserver/corrupt.go`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import NamedTuple

from workshop.clock import Clock
from workshop.etcd import errors, state
from workshop.etcd.mvcc.store import hash_of
from workshop.etcd.node import Node
from workshop.etcd.peer.doors import Handler
from workshop.etcd.peer.transport import Transport
from workshop.wire import etcd_pb2 as pb

log = logging.getLogger("etcd")

PATH = "/members/hashkv"


class Hash(NamedTuple):
    """Of a store at `revision`; `current` is how far that store had come."""

    hash: int
    revision: int
    compacted: int
    current: int


def suspects(own: Hash, others: Mapping[int, Hash]) -> list[int]:
    """Members whose store cannot be what the log made, seen from a leader with `own`."""
    return [
        member
        for member, other in sorted(others.items())
        if other.current > own.current
        or other.compacted > own.compacted
        or ((other.revision, other.compacted) == (own.revision, own.compacted) and other.hash != own.hash)
    ]


class CorruptionCheck:
    """One member's part in it."""

    def __init__(self, node: Node, transport: Transport) -> None:
        self._node, self._transport = node, transport

    def routes(self) -> dict[tuple[str, str], Handler]:
        return {("POST", PATH): self._answer}

    async def hash(self, revision: int = 0) -> Hash:
        """Raises Compacted, FutureRevision."""
        store = self._node.machine.store
        store.check_revision(revision)
        at, compacted = revision or store.revision, store.compacted
        records = store.history.copy()
        current = store.revision
        return Hash(await asyncio.to_thread(hash_of, records, compacted, at), at, compacted, current)

    async def _answer(self, rest: str, body: bytes) -> tuple[int, bytes]:
        try:
            found = await self.hash(int(json.loads(body)["revision"]))
        except (ValueError, KeyError, TypeError):
            return 400, b"error unmarshalling request"
        except errors.EtcdError as refused:
            return 400, str(refused).encode()
        return 200, json.dumps(found._asdict()).encode()

    async def _others(self, revision: int) -> dict[int, Hash]:
        """What the others say; who says nothing is not there."""
        found = {}
        for member in list(self._node.cluster.members):
            if member == self._node.raft.id:
                continue
            try:
                status, body = await self._transport.request(
                    member, "POST", PATH, json.dumps({"revision": revision}).encode()
                )
                if status == 200:
                    found[member] = Hash(**json.loads(body))
            except (OSError, EOFError, TimeoutError, ValueError, TypeError) as error:
                log.warning("cannot get the hash of member %x: %s", member, error)
        return found

    async def check(self) -> list[int]:
        """The leader's look at all members; those that it does not trust have an alarm then."""
        await self._node.read_barrier()
        first = await self.hash()
        others = await self._others(first.revision)
        await self._node.read_barrier()  # what others may know meanwhile this member knows too
        store = self._node.machine.store
        found = suspects(
            first._replace(current=store.revision, compacted=max(first.compacted, store.compacted)), others
        )
        for member in found:
            if member not in self._node.machine.alarms.get(pb.CORRUPT, ()):
                log.error("the data of member %x differs from the leader's at revision %d", member, first.revision)
                alarm = pb.AlarmRequest(action=pb.AlarmRequest.ACTIVATE, memberID=member, alarm=pb.CORRUPT)
                await self._node.propose(state.ALARM, alarm)
        return found

    async def differs_from_others(self) -> bool:
        """A member's look at the others before it serves (`--experimental-initial-corrupt-check`)."""
        own = await self.hash()
        others = (await self._others(own.revision)).values()
        same = [other for other in others if (other.revision, other.compacted) == (own.revision, own.compacted)]
        return any(other.hash != own.hash for other in same)

    async def run(self, clock: Clock, interval: float) -> None:
        """The leader's look, again and again; never returns."""
        while True:
            await clock.sleep(interval)
            if self._node.leads:
                try:
                    await self.check()
                except errors.EtcdError as refused:
                    log.warning("the members' data cannot be compared: %s", refused)
