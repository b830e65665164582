"""One member: the real core, files, state machine and watches, driven step by step.

What `node.py` does with a thread for the disk, `pump` does in one go, in the same order: send what promises nothing,
write, send the promises, apply, answer.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Protocol

from workshop.etcd import encode, state
from workshop.etcd.lease import Lessor
from workshop.etcd.membership import Member
from workshop.etcd.mvcc.watch import WatchHub
from workshop.etcd.raft import Entry, Message, Options, Ready, Rules
from workshop.etcd.replica import Answer, Replica
from workshop.etcd.storage import Storage, found, raft_from
from workshop.sim.disk import SimulatedDisk

FOLDER = Path("/member")
#: A follower that is so many entries behind needs a snapshot.
CATCH_UP = 5


class Observer(Protocol):
    """Who hears what a member does, as it does it."""

    def decided(self, member: SimulatedMember, ready: Ready) -> None: ...

    def sends(self, message: Message) -> None: ...

    def applied(self, member: SimulatedMember, entry: Entry, outcome: tuple[int, Answer] | None) -> None: ...

    def confirmed(self, member: SimulatedMember, request: int, index: int) -> None: ...


class SimulatedMember:
    """`rate`: how fast its clock runs. `founders` are the cluster's first members; none for one that joins."""

    def __init__(
        self,
        id: int,
        founders: list[Member],
        random: Random,
        options: Options,
        snapshot_count: int,
        rate: float = 1.0,
        rules: Rules | None = None,
    ) -> None:
        self.id, self.rate, self.options, self.rules = id, rate, options, rules
        self._founders, self._random, self._snapshot_count = founders, random, snapshot_count
        self.disk = SimulatedDisk(Random(random.getrandbits(32)))
        self.alive = False
        self.frozen = False
        self.damaged = False
        self.refused = ""
        """Why it does not start any more."""
        self.generation = 0
        self.replica: Replica
        self.hub: WatchHub
        self._storage: Storage
        self._snapshot_at = 0

    def clock(self, now: float) -> float:
        return now * self.rate

    def start(self, now: float) -> None:
        """From its disk. Raises Corrupt, ValueError, Crash, OSError."""
        storage, _, taken, replay = Storage.open(FOLDER, lambda: b"%d" % self.id, self.disk)
        if replay is None and self._founders:
            replay = found(storage, self._founders)
        machine = state.StateMachine(self.id, Lessor(min_ttl=1))
        machine.cluster.max_learners = 2
        machine.restore(taken, self.clock(now))
        raft = raft_from(
            self.id, machine.cluster.configuration(), taken, replay, self._random, self.options, self.rules
        )
        self.replica, self._storage = Replica(raft, machine, extend=0.5), storage
        self.hub = WatchHub(machine.store, encode.Header(1, self.id), 1 << 20)
        machine.on_change, machine.on_replace = self.hub.notify, self.hub.resync
        self._snapshot_at = taken.index
        self.alive, self.frozen = True, False
        self.generation += 1

    def crash(self) -> None:
        """kill -9 and a power cut in one."""
        self.alive = False
        self.disk.power_fails()

    def pump(self, now: float, observer: Observer) -> None:
        """Do all that is to be done. Raises Crash and OSError of the disk."""
        replica = self.replica
        while ready := replica.ready():
            observer.decided(self, ready)
            for message in ready.at_once:
                if message.kind == "snapshot":
                    taken = replica.machine.snapshot(message.index, message.log_term)
                    message = message._replace(payload=taken)
                observer.sends(message)
            if ready.entries or ready.hard_state or ready.snapshot:
                self._storage.save(ready)
            if ready.snapshot is not None:
                replica.install(ready.snapshot.payload, self.clock(now))
                self._snapshot_at = ready.snapshot.index
            for message in (*ready.messages, *ready.notices):
                observer.sends(message)
            for entry in ready.committed:
                observer.applied(self, entry, replica.apply(entry, self.clock(now)))
            replica.raft.advance(ready)
            for request, index in ready.reads:
                observer.confirmed(self, request, index)
            self._maybe_snapshot()

    def _maybe_snapshot(self) -> None:
        log = self.replica.raft.log
        if log.applied - self._snapshot_at < self._snapshot_count:
            return
        term = log.term(log.applied)
        assert term is not None
        self._storage.save_snapshot(self.replica.machine.snapshot(log.applied, term))
        self._storage.release()
        self._snapshot_at = log.applied
        log.compact(max(log.applied - CATCH_UP, 0))
