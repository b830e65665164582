"""The simulation: events in the order of virtual time; after each one the invariants are checked.

Everything that may happen is an `Event` of plain data in one heap, and all chance is drawn from one seed: so a run can
be stepped, repeated, copied in the middle (`fork`) and gone back to (keep a fork).
"""

from __future__ import annotations

import copy
import heapq
from collections.abc import Callable, Collection
from random import Random
from typing import Any, NamedTuple

from workshop.etcd import state
from workshop.etcd.membership import Member
from workshop.etcd.raft import LEADER, Entry, LostEntries, Message, Options, Ready, Rules
from workshop.etcd.replica import Answer
from workshop.etcd.wal import Corrupt
from workshop.sim import faults
from workshop.sim.clients import Clients
from workshop.sim.disk import Crash
from workshop.sim.faults import Fault
from workshop.sim.invariants import Invariants
from workshop.sim.member import SimulatedMember
from workshop.sim.network import Network
from workshop.wire import etcd_pb2 as pb

#: Members beyond this number are not added.
MAX_MEMBERS = 9


class Event(NamedTuple):
    """At `time` (seconds) something happens; `order` breaks ties."""

    time: float
    order: int
    kind: str
    what: Any


class Simulation:
    """`members` of one cluster, started at time 0. Times in seconds; `tick` is a member's heartbeat interval."""

    def __init__(
        self,
        members: int = 3,
        seed: int = 1,
        *,
        options: Options | None = None,
        drift: float = 0.0,
        snapshot_count: int = 12,
        watches: int = 2,
        record: bool = False,
        rules: Rules | None = None,
    ) -> None:
        self.seed, self.tick = seed, 0.1
        self.random = Random(seed)
        self.now = 0.0
        self.network = Network(Random(self.random.getrandbits(32)))
        self.transcript: list[str] | None = [] if record else None
        self._options, self._drift = options or Options(election_ticks=5), drift
        self._snapshot_count, self._rules = snapshot_count, rules
        self._events: list[Event] = []
        self._order = 0
        self.invariants = Invariants(self)
        self.clients = Clients(self, watches)
        self.members: dict[int, SimulatedMember] = {}
        founders = [Member(id, (f"http://{id}",)) for id in range(1, members + 1)]
        for id in range(1, members + 1):
            self._make(id, founders)

    def _make(self, id: int, founders: list[Member]) -> None:
        rate = 1.0 + self._drift * (2 * self.random.random() - 1)
        random = Random(self.random.getrandbits(32))
        member = SimulatedMember(id, founders, random, self._options, self._snapshot_count, rate, self._rules)
        self.members[id] = member
        self.restart(id)

    # Time

    def later(self, seconds: float, kind: str, what: Any) -> None:
        self._order += 1
        heapq.heappush(self._events, Event(self.now + seconds, self._order, kind, what))

    def step(self) -> Event | None:
        """Let the next event happen. Raises Violation."""
        if not self._events:
            return None
        event = heapq.heappop(self._events)
        self.now = max(self.now, event.time)
        getattr(self, "_on_" + event.kind.replace("-", "_"))(event.what)
        return event

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._events and self._events[0].time <= end:
            self.step()
        self.now = end

    def run_until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Step until something holds, `seconds` at most; whether it does."""
        end = self.now + seconds
        while not holds():
            if not self._events or self._events[0].time > end:
                return False
            self.step()
        return True

    def fork(self) -> Simulation:
        """A copy that goes its own way."""
        return copy.deepcopy(self)

    def say(self, text: str) -> None:
        if self.transcript is not None:
            self.transcript.append(f"{self.now:8.4f}  {text}")

    def forget(self, *kinds: str) -> None:
        """Events of these kinds will not happen."""
        self._events = [event for event in self._events if event.kind not in kinds]
        heapq.heapify(self._events)

    # Looking

    def running(self) -> list[SimulatedMember]:
        return [member for member in self.members.values() if member.alive]

    def leader(self) -> int | None:
        """Who leads the highest term."""
        leaders = [m for m in self.running() if m.replica.raft.role == LEADER]
        return max(leaders, key=lambda m: m.replica.raft.term).id if leaders else None

    def in_flight(self) -> list[Event]:
        """Messages on their way, the next one first."""
        return sorted(event for event in self._events if event.kind == "deliver")

    # By hand

    def drop(self, event: Event) -> None:
        """A message is lost."""
        self._events.remove(event)
        heapq.heapify(self._events)

    def delay(self, event: Event, seconds: float) -> None:
        self.drop(event)
        self.later(event.time - self.now + seconds, event.kind, event.what)

    def time_out(self, id: int) -> None:
        """Member `id` loses patience now."""
        self.members[id].replica.raft.campaign()
        self.say(f"{id} loses patience")
        self.work(self.members[id])

    def crash(self, id: int) -> None:
        self.say(f"{id} crashes")
        self.members[id].crash()

    def restart(self, id: int) -> None:
        """Start a member from its disk. One that cannot trust it stays down, and says why."""
        member = self.members[id]
        if member.alive or member.refused:
            return
        try:
            member.start(self.now)
        except (Crash, OSError):
            member.crash()
            self.later(0.3, "restart", id)
            return
        except (Corrupt, ValueError) as error:
            member.refused = str(error)
            self.say(f"{id} refuses to start: {error}")
            if not member.damaged:
                self.invariants.fail("durability", f"{id} refuses to start, and nothing was damaged: {error}")
            return
        self.say(f"{id} starts in term {member.replica.raft.term}, {member.replica.raft.log.last} entries")
        self.later(self.tick * self.random.random(), "tick", (id, member.generation))
        self.work(member)

    def freeze(self, id: int) -> None:
        """SIGSTOP: it is there, and does nothing."""
        self.members[id].frozen = True

    def thaw(self, id: int) -> None:
        member = self.members[id]
        member.frozen = False
        if member.options.lease_reads and member.alive:  # they trust that ticks tell the time, over a pause too
            for _ in range(member.options.election_ticks):
                member.replica.raft.tick()
        self.invariants.thawed(id)

    def partition(self, *groups: Collection[int]) -> None:
        self.say(f"the network falls into {groups}")
        self.network.partition(groups)

    def heal(self) -> None:
        self.say("the network is whole again")
        self.network.heal()

    def corrupt(self, id: int) -> None:
        """Damage what a member wrote long ago."""
        damaged = self.members[id].disk.corrupt(self.random.choice([".wal", ".snap"]))
        self.members[id].damaged = damaged is not None
        self.say(f"{id}: {damaged or 'nothing'} is damaged")

    def put(self, key: bytes, value: bytes, at: int | None = None) -> bool:
        """A client writes, at the leader unless `at` says where else; whether anybody took it."""
        member = self.members.get(at or self.leader() or 0)
        if member is None or not member.alive:
            return False
        taken = self.clients.write(member, state.PUT, pb.PutRequest(key=key, value=value, prev_kv=True))
        self.work(member)
        return taken

    def change(self, kind: int, message: Any) -> bool:
        """Ask the leader for a change of membership."""
        leader = self.leader()
        if leader is None:
            return False
        taken = self.clients.write(self.members[leader], kind, message)
        self.work(self.members[leader])
        return taken

    def add_learner(self) -> int:
        """A new member joins; its id."""
        id = max(self.members) + 1
        self.change(state.MEMBER_ADD, pb.Member(ID=id, peerURLs=[f"http://{id}"], isLearner=True))
        self._make(id, [])
        return id

    def promote(self, id: int) -> bool:
        return self.change(state.MEMBER_PROMOTE, pb.MemberPromoteRequest(ID=id))

    def remove(self, id: int) -> bool:
        return self.change(state.MEMBER_REMOVE, pb.MemberRemoveRequest(ID=id))

    def change_members(self) -> None:
        """One of the changes that may be asked for, by lot."""
        leader = self.leader()
        if leader is None:
            return
        configuration = self.members[leader].replica.raft.configuration
        room = len(self.members) < MAX_MEMBERS and len(configuration.members) < MAX_MEMBERS
        if configuration.learners:
            self.promote(min(configuration.learners))
        elif len(configuration.voters) > 3 and self.random.random() < 0.7:
            self.remove(self.random.choice(sorted(configuration.voters)))
        elif room and len(configuration.voters) > 1:
            self.add_learner()

    # What happens

    def work(self, member: SimulatedMember) -> None:
        """Let a member do what there is to do, and hold it against the invariants."""
        if not member.alive or member.frozen:
            return
        raft = member.replica.raft
        before = (raft.role, raft.term)
        try:
            member.pump(self.now, self)
        except Crash:
            self.say(f"{member.id} crashes while it writes")
            member.crash()
            self.later(0.2 + self.random.random(), "restart", member.id)
            return
        except OSError as error:
            self.say(f"{member.id} ends: {error.strerror}")
            member.crash()
            self.later(0.3, "restart", member.id)
            return
        if (raft.role, raft.term) != before:
            self.say(f"{member.id} is {raft.role} in term {raft.term}")
        self.invariants.check(member.id, raft)
        self.clients.serve(member)

    def decided(self, member: SimulatedMember, ready: Ready) -> None:
        self.invariants.check(member.id, member.replica.raft)
        self.invariants.appends(member.id, member.replica.raft, ready)

    def applied(self, member: SimulatedMember, entry: Entry, outcome: tuple[int, Answer] | None) -> None:
        self.invariants.apply(member.id, entry, outcome)
        self.clients.applied(member, entry, outcome)

    def confirmed(self, member: SimulatedMember, request: int, index: int) -> None:
        self.clients.confirmed(index, request)

    def sends(self, m: Message) -> None:
        self.invariants.sent(m)
        arrivals = self.network.arrivals(m.sender, m.to)
        if self.transcript is not None:
            self.say(describe(m) + ("" if arrivals else "   LOST"))
        if m.kind == "snapshot":
            self.later(0.05, "snapshot-status", (m.sender, m.to, m.term, bool(arrivals)))
        for seconds in arrivals:
            self.later(seconds, "deliver", m)

    def _on_deliver(self, m: Message) -> None:
        member = self.members.get(m.to)
        if member is None or not member.alive:
            return
        if member.frozen:
            self.later(0.05, "deliver", m)
            return
        try:
            member.replica.raft.step(m)
        except LostEntries as error:
            self.invariants.fail("durability", f"{m.to}: {error}")
        self.work(member)

    def _on_snapshot_status(self, what: tuple[int, int, int, bool]) -> None:
        sender, to, term, arrived = what
        member = self.members[sender]
        if member.alive and member.replica.raft.term == term:
            member.replica.raft.snapshot_sent(to, arrived)

    def _on_tick(self, what: tuple[int, int]) -> None:
        id, generation = what
        member = self.members[id]
        if not member.alive or member.generation != generation:
            return
        self.later(self.tick / member.rate, "tick", what)
        if member.frozen:
            return
        member.replica.raft.tick()
        if member.replica.leads:
            for lease in member.replica.machine.lessor.expired(member.clock(self.now)):
                self.clients.forget_lease(lease)
                self.clients.write(member, state.LEASE_REVOKE, pb.LeaseRevokeRequest(ID=lease))
        self.work(member)
        if member.alive:
            self.invariants.tick(id, member.replica.raft)

    def _on_client(self, interval: float) -> None:
        self.later(interval * (0.5 + self.random.random()), "client", interval)
        self.clients.act()
        self.clients.rewatch()
        for member in self.running():
            self.work(member)

    def _on_fault(self, fault: Fault) -> None:
        self.say(f"FAULT {faults.begin(self, fault)}")
        if fault.kind in ("isolate", "isolate-leader", "halves", "thirds", "one-way", "bridge", "lossy", "slow"):
            self.later(fault.lasts, "heal", None)

    def _on_heal(self, _: None) -> None:
        self.heal()

    def _on_restart(self, id: int) -> None:
        self.restart(id)

    def _on_thaw(self, id: int) -> None:
        self.thaw(id)
        self.work(self.members[id])

    def _on_make_room(self, id: int) -> None:
        self.members[id].disk.full = None


def describe(m: Message) -> str:
    """One line of a transcript."""
    details = {
        "append": f"{len(m.entries)} after {m.index}/{m.log_term}, commit {m.commit}",
        "append-reply": f"{'no, not ' if m.reject else 'up to '}{m.index}",
        "vote": f"last {m.index}/{m.log_term}",
        "pre-vote": f"last {m.index}/{m.log_term}",
        "vote-reply": "no" if m.reject else "yes",
        "pre-vote-reply": "no" if m.reject else "yes",
        "snapshot": f"of {m.index}/{m.log_term}",
    }
    return f"{m.sender} -> {m.to}  {m.kind} (term {m.term}) {details.get(m.kind, '')}".rstrip()
