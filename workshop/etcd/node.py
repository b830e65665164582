"""A member's loop: what clients propose goes through consensus and disk into the state machine.

    clients, peers ──> raft ──> ready ──┬─> peers (what promises nothing)
                                        ├─> write-ahead log, one fsync for all ──> peers (promises)
                                        └─> committed ──> state machine ──> answers, watches      meanwhile

While the disk works (in a thread, unless it is quick and only one waits for it), proposals of other clients gather,
and the next fsync takes them all: the slower the disk, the bigger the group. Nobody is answered before the entry is
committed, and so on the disks of a majority.

A cluster of one does not tick: it has nobody to send a heartbeat to, and sleeps until somebody wants something.

Upstream: `server/etcdserver/raft.go`, `server.go`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from workshop.clock import Clock
from workshop.etcd import errors, membership, snapshot, state
from workshop.etcd.auth.store import ANYONE, Identity
from workshop.etcd.histogram import DISK_BUCKETS, Histogram
from workshop.etcd.leadership import Leadership
from workshop.etcd.mvcc.operations import Message
from workshop.etcd.raft import LEADER, Ready
from workshop.etcd.raft import Message as PeerMessage
from workshop.etcd.replica import Replica
from workshop.etcd.storage import Storage
from workshop.etcd.surroundings import Nobody, Removed, Timing, Transport
from workshop.etcd.waiting import Readers, Waiting

log = logging.getLogger("etcd")

#: A snapshot is also made when the log has grown by so many bytes.
SNAPSHOT_BYTES = 64 << 20
#: A state larger than that is not written anew for every few entries, but when the log has grown by this part of it.
SNAPSHOT_SHARE = 4
#: Seconds for a write to disk that need no thread.
QUICK = 0.005
#: Ticks after which a change of membership or a read round is sent again: the message may have been lost.
AGAIN_TICKS = 5


class Node:
    """Owns replica and storage. `run` until `stop` is called, or the disk fails."""

    def __init__(
        self, replica: Replica, storage: Storage, clock: Clock, timing: Timing, transport: Transport | None = None
    ) -> None:
        self.replica, self.raft, self.machine = replica, replica.raft, replica.machine
        self.timing, self.transport = timing, transport or Nobody()
        self.others: Sequence[membership.Member] = ()
        self._storage, self._clock = storage, clock
        self._disk = ThreadPoolExecutor(1, "wal")
        self.disk_times = Histogram(DISK_BUCKETS)
        self._disk_seconds = 1.0  # that one of the last writes took, on average
        self._wake = asyncio.Event()
        self._company = asyncio.Event()
        self._stopped = False
        self._failure: Exception | None = None
        self._inbox: list[PeerMessage] = []
        self._ticks = 0
        self.waiting = Waiting(self.machine.member_id, clock, timing.patience)
        self.readers = Readers()
        self._since_snapshot = (self.applied, 0)  # index, bytes of log since
        self._snapshot_task: asyncio.Future[None] | None = None
        self.leadership = Leadership(clock)
        #: Set when this member knows all that was committed before it started, so far as it leads or follows.
        self.ready = asyncio.Event()
        self.lease_granted = asyncio.Event()

    # What others may know

    @property
    def applied(self) -> int:
        return self.replica.applied

    @property
    def leader(self) -> int:
        """The leader's id, 0 while there is none."""
        return self.raft.leader

    @property
    def leads(self) -> bool:
        """May this member speak for the cluster? (That nobody was elected over it, a read barrier tells.)"""
        return self.replica.leads and self.raft.role == LEADER

    @property
    def is_learner(self) -> bool:
        return self.raft.id in self.raft.configuration.learners

    @property
    def cluster(self) -> membership.Cluster:
        return self.machine.cluster

    @property
    def pending(self) -> int:
        """Proposals that wait for disk, consensus or the state machine."""
        return len(self.waiting)

    # Clients

    def propose(
        self, kind: int, message: Message, payload: bytes | None = None, who: Identity = ANYONE
    ) -> asyncio.Future[state.Applied]:
        """Put a command into the log; the future has its answer once it is applied here, or raises EtcdError.

        `payload` is the message's encoding where it is at hand. Without a leader it waits for one.
        """
        if self._stopped:
            raise errors.Stopped
        if payload is None:
            payload = message.SerializeToString()
        self._wake.set()
        return self.waiting.add(kind, message, payload, kind in state.CHANGES, who)

    async def read_barrier(self) -> None:
        """Return when a read is linearizable: it sees all that was acknowledged before the call. Raises EtcdError."""
        if self.leads and self.raft.configuration.voters == {self.raft.id}:
            return  # a sole voter needs no round of heartbeats, and what it acknowledged it has applied
        if self._stopped:
            raise errors.Stopped
        self._wake.set()
        await self.readers.join(self._clock.monotonic() + self.timing.patience)

    async def transfer_leadership(self, target: int) -> None:
        """Return when `target` leads. Raises LeaderTransferTimeout."""
        deadline = self._clock.monotonic() + self.timing.election
        self.raft.transfer(target)
        self._wake.set()
        while self.leader != target:
            left = deadline - self._clock.monotonic()
            if left <= 0:
                raise errors.LeaderTransferTimeout
            await self.leadership.change(left)

    def stop(self) -> None:
        self._stopped = True
        self._wake.set()

    def fail(self, error: Exception) -> None:
        """The member cannot go on: `run` raises `error`."""
        self._failure = error
        self._wake.set()

    # Peers

    def receive(self, messages: Sequence[PeerMessage]) -> None:
        """Messages of other members. A snapshot's payload is a `Snapshot`."""
        self._inbox += messages
        self._wake.set()

    def snapshot_sent(self, peer: int, arrived: bool) -> None:
        self.raft.snapshot_sent(peer, arrived)
        self._wake.set()

    def hasten(self) -> None:
        """Enough members are there and nobody leads: no need to wait a whole election timeout for a leader's sign.
        (Upstream: `--initial-election-tick-advance`.)"""
        if not self.raft.leader:
            self.raft.elapsed = max(self.raft.elapsed, self.timing.election_ticks - 1)

    async def tick(self) -> None:
        """Count time for consensus, for ever; not while this member is alone and leads."""
        while True:
            if self.replica.alone and self.raft.role == LEADER:
                self._company.clear()
                await self._company.wait()
            await self._clock.sleep(self.timing.tick)
            self._ticks += 1
            self._wake.set()

    # The loop

    def _lead_alone(self) -> None:
        """A member that is the whole cluster waits for nobody's sign. A new one learns that it is from its own first
        entry."""
        if self.replica.alone and not self.raft.leader and self.raft.role != LEADER:
            self.raft.campaign()

    async def run(self) -> None:
        """Raises OSError when the disk fails: nothing may be acknowledged any more, the process must end. Raises
        Removed when the cluster goes on without this member."""
        loop = asyncio.get_running_loop()
        self._lead_alone()
        self._tell_transport()
        ticking = asyncio.ensure_future(self.tick())
        try:
            while True:
                self._wake.clear()
                if self._failure is not None:
                    raise self._failure
                self._take_in()
                ready = self.replica.ready()
                self._send(ready)
                writing = None
                if ready.entries or ready.hard_state or ready.snapshot:
                    if self._disk_is_quick():
                        self._save(ready)
                    else:
                        writing = loop.run_in_executor(self._disk, self._save, ready)
                ours = ready.snapshot is None and self._apply(ready)
                # A client of this member who has just been answered asks again at once, and takes the mark along.
                (self.transport.remind if ours else self.transport.send)(ready.notices)
                if writing is not None:
                    await writing
                if ready.snapshot is not None:
                    self._install(ready.snapshot)
                self.transport.send(ready.messages)
                self.raft.advance(ready)
                self._lead_alone()
                self._notice_leader()
                self._answer_readers(ready)
                self._maybe_snapshot()
                if self.raft.idle and not self.waiting.unsent(self.raft):
                    if self._stopped:
                        return
                    await self._wake.wait()
        finally:
            self._stopped = True
            ticking.cancel()
            self.waiting.fail(errors.Stopped)
            self.readers.fail(errors.Stopped)
            if self._snapshot_task is not None:
                await asyncio.wait([self._snapshot_task])
            self._disk.shutdown()
            self._storage.close()

    def _save(self, ready: Ready) -> None:
        begun = self._clock.monotonic()
        self._storage.save(ready)
        took = self._clock.monotonic() - begun
        self.disk_times.observe(took)
        self._disk_seconds += (took - self._disk_seconds) / 8

    def _disk_is_quick(self) -> bool:
        """Handing one client's write to a thread and back takes longer than a good disk does; others wait so long."""
        return len(self.waiting) < 2 and self._disk_seconds < QUICK

    def _take_in(self) -> None:
        """Everything that gathered while the disk worked."""
        inbox, self._inbox = self._inbox, []
        for message in inbox:
            self.raft.step(message)
        ticks, self._ticks = self._ticks, 0
        for _ in range(min(ticks, self.timing.election_ticks)):
            self.raft.tick()
            if self.raft.ticks % AGAIN_TICKS == 0:
                self.readers.again()
        if ticks:
            self._expire()
        self.waiting.send(self.raft, again=ticks > 0 and self.raft.ticks % AGAIN_TICKS == 0)
        if (request := self.readers.next()) and not self.raft.read_index(request):
            self.readers.again()

    def _send(self, ready: Ready) -> None:
        """What may go before the disk is done. A snapshot is taken now, when it is what the core thinks it is."""
        at_once = ready.at_once
        for place, message in enumerate(at_once):
            if message.kind == "snapshot":
                at_once[place] = message._replace(payload=self.machine.snapshot(message.index, message.log_term))
        self.transport.send(at_once)

    def _apply(self, ready: Ready) -> bool:
        """Do what is committed; True if all of it came from clients of this member."""
        granted, ours = False, bool(ready.committed)
        for entry in ready.committed:
            done = self.replica.apply(entry, self._clock.monotonic(), self.waiting.messages)
            if done is not None:
                ours = self.waiting.answer(*done) and ours
                index, size = self._since_snapshot
                self._since_snapshot = (index, size + len(entry.data))
                granted = granted or entry.data[0] == state.LEASE_GRANT
            elif not entry.data:
                self.waiting.settle(entry.term)
                ours = False
            if entry.change:
                ours = False  # nobody should have to wait for that
                self._members_changed()
        if granted:
            self.lease_granted.set()
        if ready.committed and (self.leads or self.raft.leader):
            self.ready.set()
        return ours

    def _install(self, message: PeerMessage) -> None:
        log.info("the leader's snapshot of entry %d takes the place of this member's state", message.index)
        self.replica.install(message.payload, self._clock.monotonic())
        self.waiting.unsettled()
        self._since_snapshot = (message.index, 0)
        self._members_changed()
        self.ready.set()

    def _members_changed(self) -> None:
        self._company.set()
        self._tell_transport()
        if self.raft.id in self.cluster.removed:  # it goes once the others know, and whoever asked for it
            removed = Removed("the member has been permanently removed from the cluster")
            asyncio.get_running_loop().call_later(self.timing.election, self.fail, removed)

    def _tell_transport(self) -> None:
        """Whom to talk to. A member that joins knows it from others, until the log has come to its own addition."""
        members = dict(self.cluster.members)
        if self.raft.id not in members:
            members = {member.id: member for member in self.others} | members
        self.transport.update(list(members.values()), self.cluster.removed)

    def _notice_leader(self) -> None:
        if self.raft.leader == self.leadership.leader:
            return
        if self.leadership.notice(self.raft.leader):
            self.readers.fail(errors.LeaderChanged)
        if self.raft.leader:
            log.info("raft: member %x follows leader %x in term %d", self.raft.id, self.raft.leader, self.raft.term)

    def _answer_readers(self, ready: Ready) -> None:
        for request, index in ready.reads:
            self.readers.confirmed(request, index)
        self.readers.applied(self.applied)
        if self.readers.wants_round():
            self._wake.set()

    def _expire(self) -> None:
        """Requests that waited too long, with the reason that is likeliest."""
        now = self._clock.monotonic()
        self.readers.expire(now)
        lost = self.leadership.since - 2 * self.timing.election
        for begun in self.waiting.expired(now):
            if lost < begun < self.leadership.since:
                self.waiting.expire(errors.TimeoutDueToLeaderFail)
            elif self.leader and not self._heard_since(begun):
                self.waiting.expire(errors.TimeoutDueToConnectionLost)
            else:
                self.waiting.expire(errors.Timeout)

    def _heard_since(self, moment: float) -> bool:
        """Was there a way to the leader, or for the leader to a majority, since `moment`?"""

        def heard(member: int) -> bool:
            since = self.transport.connected_since(member)
            return member == self.raft.id or (since is not None and since <= moment)

        if self.raft.role != LEADER:
            return heard(self.raft.leader)
        return self.raft.configuration.holds({member for member in self.raft.configuration.members if heard(member)})

    # Snapshots

    def _maybe_snapshot(self) -> None:
        """Start one when the log has grown enough; entries that no other member can need leave the memory."""
        index, size = self._since_snapshot
        applied = self.raft.log.applied
        if self.replica.alone:
            self.raft.log.compact(applied)
        if applied - index < self.timing.snapshot_count and size < SNAPSHOT_BYTES:
            return
        if size < self.machine.store.size // SNAPSHOT_SHARE and self.machine.store.size > SNAPSHOT_BYTES:
            return
        if self._snapshot_task is not None and not self._snapshot_task.done():
            return
        self._since_snapshot = (applied, 0)
        term = self.raft.log.term(applied)
        assert term is not None
        taken = self.machine.snapshot(applied, term)
        self.raft.log.compact(max(applied - self.timing.catch_up_entries, 0))
        loop = asyncio.get_running_loop()
        self._snapshot_task = loop.run_in_executor(None, self._save_snapshot, taken)
        self._snapshot_task.add_done_callback(self._snapshot_done)

    def _save_snapshot(self, taken: snapshot.Snapshot) -> None:
        self._storage.save_snapshot(taken)

    def _snapshot_done(self, task: asyncio.Future[None]) -> None:
        error = task.exception()
        if error is not None:
            log.error("snap: cannot be saved: %s", error)
        elif not self._stopped:
            self._disk.submit(self._storage.release)
