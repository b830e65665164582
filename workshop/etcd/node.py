"""A member's loop: what clients propose goes through consensus and disk into the state machine.

    propose ──> raft ──> ready: entries ──> write-ahead log, one fsync for all (in a thread)
                          │                                   │
                          └ committed ──> state machine ──> answers, watches      meanwhile

While the disk works, proposals of other clients gather, and the next fsync takes them all: the slower the disk, the
bigger the group. Nobody is answered before the own entry is on disk and committed.

A cluster of one does not tick: it has nobody to send a heartbeat to, and sleeps until somebody wants something.

Upstream: `server/etcdserver/raft.go`, `server.go`.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from workshop.clock import Clock
from workshop.etcd import errors, snapshot, state
from workshop.etcd.mvcc.operations import Message
from workshop.etcd.raft import LEADER, Entry, Raft, Ready
from workshop.etcd.wal import WriteAheadLog
from workshop.wire import etcd_pb2 as pb

log = logging.getLogger("etcd")

#: Proposals that may wait; more are refused.
MAX_PENDING = 20_000
#: A snapshot is also made when the log has grown by so many bytes.
SNAPSHOT_BYTES = 64 << 20


class Node:
    """Owns raft, log, state machine and their files. `run` until `stop` is called, or the disk fails."""

    def __init__(
        self,
        raft: Raft,
        wal: WriteAheadLog,
        machine: state.StateMachine,
        snapshots: Path,
        clock: Clock,
        snapshot_count: int,
    ) -> None:
        self.raft, self.machine = raft, machine
        self.applied = raft.log.applied
        self._wal, self._snapshots, self._clock, self._snapshot_count = wal, snapshots, clock, snapshot_count
        self._disk = ThreadPoolExecutor(1, "wal")
        self._wake = asyncio.Event()
        self._stopped = False
        self._proposed: list[bytes] = []
        self._waiting: dict[int, tuple[asyncio.Future[state.Applied], Message]] = {}
        # Unique among members and restarts, as upstream's idutil makes them: an old entry that is replayed must
        # not answer a new request.
        self._last_id = (machine.member_id & 0xFFFF) << 48 | (int(clock.now() * 1000) & 0xFFFFFFFFFF) << 8
        self._since_snapshot = (self.applied, 0)  # index, bytes of log since
        self._snapshot_task: asyncio.Future[None] | None = None
        #: Set when every entry that was found on disk at the start has been applied.
        self.ready = asyncio.Event()
        self.lease_granted = asyncio.Event()

    # Clients

    def propose(self, kind: int, message: Message, payload: bytes | None = None) -> asyncio.Future[state.Applied]:
        """Put a command into the log; the future has its answer once it is applied, or raises EtcdError.

        `payload` is the message's encoding where it is at hand.
        """
        if self._stopped:
            raise errors.Stopped
        if self.raft.role != LEADER:
            raise errors.NoLeader
        if len(self._waiting) >= MAX_PENDING:
            raise errors.TooManyRequests
        self._last_id += 1
        future: asyncio.Future[state.Applied] = asyncio.get_running_loop().create_future()
        self._waiting[self._last_id] = (future, message)
        if payload is None:
            payload = message.SerializeToString()
        self._proposed.append(state.encode_command(kind, self._last_id, payload))
        self._wake.set()
        return future

    @property
    def pending(self) -> int:
        """Proposals that wait for disk, consensus or the state machine."""
        return len(self._waiting)

    async def read_barrier(self) -> None:
        """Return when a read is linearizable: it sees all that was acknowledged before the call."""
        if self.raft.role != LEADER or not self.ready.is_set():
            raise errors.NoLeader
        # A sole voter needs no round of heartbeats, and what it acknowledged it has applied.

    def stop(self) -> None:
        self._stopped = True
        self._wake.set()

    # The loop

    async def run(self) -> None:
        """Raises OSError when the disk fails: nothing may be acknowledged any more, the process must end."""
        loop = asyncio.get_running_loop()
        self.raft.campaign()
        try:
            while True:
                self._wake.clear()
                if self._proposed:
                    proposed, self._proposed = self._proposed, []
                    self.raft.propose(proposed)
                ready = self.raft.ready()
                writing = None
                if ready.entries or ready.hard_state:
                    writing = loop.run_in_executor(self._disk, self._write, ready)
                self._apply(ready.committed)
                if writing is not None:
                    await writing
                self.raft.advance(ready)
                self._maybe_snapshot()
                if not ready and not self._proposed:
                    if self._stopped:
                        return
                    await self._wake.wait()
        finally:
            self._stopped = True
            self._fail_waiting()
            if self._snapshot_task is not None:
                await asyncio.wait([self._snapshot_task])
            self._disk.shutdown()
            self._wal.close()

    def _write(self, ready: Ready) -> None:
        if ready.entries:
            self._wal.rotate(ready.entries[0].index)
        self._wal.save(ready.entries, ready.hard_state)

    def _apply(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.data:
                self._apply_command(*state.decode_command(entry.data))
                index, size = self._since_snapshot
                self._since_snapshot = (index, size + len(entry.data))
            elif entry.term == self.raft.term and self.raft.role == LEADER:
                self.machine.lessor.promote(self._clock.monotonic())
                self.ready.set()
            self.applied = entry.index

    def _apply_command(self, kind: int, request_id: int, payload: bytes) -> None:
        future, message = self._waiting.pop(request_id, (None, None))
        if message is None:
            message = state.MESSAGES[kind].FromString(payload)
        try:
            answer = self.machine.apply(kind, message, self._clock.monotonic())
        except errors.EtcdError as refused:
            if future is not None and not future.done():
                future.set_exception(refused)
        else:
            if kind == state.LEASE_GRANT:
                self.lease_granted.set()
            if future is not None and not future.done():
                future.set_result(answer)

    def _fail_waiting(self) -> None:
        for future, _ in self._waiting.values():
            if not future.done():
                future.set_exception(errors.Stopped())
                future.exception()  # whoever waited may be gone
        self._waiting.clear()

    # Snapshots

    def _maybe_snapshot(self) -> None:
        """Start one when the log has grown enough; entries that no other member can need leave the memory."""
        index, size = self._since_snapshot
        applied = self.raft.log.applied
        if not self.raft.progress:
            self.raft.log.compact(applied)
        if applied - index < self._snapshot_count and size < SNAPSHOT_BYTES:
            return
        if self._snapshot_task is not None and not self._snapshot_task.done():
            return
        self._since_snapshot = (applied, 0)
        term = self.raft.log.term(applied)
        assert term is not None
        taken = self.machine.snapshot(applied, term)
        loop = asyncio.get_running_loop()
        self._snapshot_task = loop.run_in_executor(None, self._save_snapshot, taken)
        self._snapshot_task.add_done_callback(self._snapshot_done)

    def _save_snapshot(self, taken: snapshot.Snapshot) -> None:
        snapshot.save(self._snapshots, snapshot.encode(taken), taken.term, taken.index)

    def _snapshot_done(self, task: asyncio.Future[None]) -> None:
        error = task.exception()
        if error is not None:
            log.error("snap: cannot be saved: %s", error)
        elif not self._stopped:
            self._disk.submit(self._wal.release, snapshot.oldest_index(self._snapshots))


async def expire_leases(node: Node, clock: Clock) -> None:
    """Propose the revocation of leases that ran out. Sleeps until one may have, or a new one was granted."""
    while True:
        node.lease_granted.clear()
        now = clock.monotonic()
        for id in node.machine.lessor.expired(now):
            node.propose(state.LEASE_REVOKE, pb.LeaseRevokeRequest(ID=id)).add_done_callback(_revoked)
        wait = max(node.machine.lessor.next_expiry() - now, 0.01)
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(node.lease_granted.wait())]
        if wait < float("inf"):
            waits.append(asyncio.ensure_future(clock.sleep(wait)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()


def _revoked(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()  # revoked by a client at the same moment: the aim is reached
