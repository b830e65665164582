"""What must be true after each step, whatever breaks. Names of Raft's are those of the paper's figure 3.

- Election safety: one leader a term. A member votes for one candidate a term, over any crash.
- Log matching: an entry is named by its index and term: everywhere it has the same data and the same entry before it.
- Leader completeness: what is committed is in the log of every later leader.
- State machine safety: no two members apply different entries at an index, and answers are those of a simple model.
- Linearizable reads: a read sees all that was acknowledged before it began.
- Exactly once: what was proposed in an earlier term and does not stand before a leader's first entry never comes.
- Watches: every change of the range once, in order, with what was there before.
- Leases: a lease lives at least as long as was promised at its last acknowledged renewal.
- A leader that has not been able to reach a majority for two election timeouts has stepped down (CheckQuorum).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from workshop.etcd import errors, state
from workshop.etcd.raft import LEADER, Entry, Message, Raft, Ready
from workshop.etcd.replica import Answer
from workshop.sim.model import Change, Model, previous_told, same

if TYPE_CHECKING:
    from workshop.sim.cluster import Simulation

#: How far clocks may drift apart in a simulation, and so how much of a lease's time is surely kept.
SURE_SHARE = 0.9

#: Seconds that an answer may be on its way: it counts as a sign of life when it comes.
LATE = 0.7


class Violation(AssertionError):
    """A promise was broken."""


class Expected(NamedTuple):
    """What an entry must do: None for a refusal."""

    changes: list[Change] | None
    revision: int


class Invariants:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.leaders: dict[int, int] = {}
        self.votes: dict[tuple[int, int], int] = {}
        self._entries: dict[tuple[int, int], tuple[int, bytes]] = {}
        #: By index: the entry that is committed, and the term in which it was.
        self.committed: dict[int, tuple[Entry, int]] = {}
        self.applied: dict[int, Entry] = {}
        self._expected: dict[int, Expected] = {}
        self.model = Model()
        #: The revision of the newest acknowledged write.
        self.acknowledged = 1
        #: Requests that were given up for lost, and may be made again.
        self.lost: set[int] = set()
        self.lease_until: dict[int, float] = {}
        self._reached: dict[int, float] = {}

    def fail(self, promise: str, what: str) -> None:
        raise Violation(f"{promise}: {what}")

    # Consensus

    def check(self, id: int, raft: Raft) -> None:
        """Member `id` has done something."""
        if raft.role == LEADER and self.leaders.get(raft.term) != id:
            self._new_leader(id, raft)
        for index in range(len(self.committed) + 1, raft.log.committed + 1):
            self._newly_committed(index, raft)

    def _new_leader(self, id: int, raft: Raft) -> None:
        other = self.leaders.setdefault(raft.term, id)
        if other != id:
            self.fail("election safety", f"{other} and {id} both lead term {raft.term}")
        self._reached[id] = self._simulation.now
        for index, (entry, term) in self.committed.items():
            if term < raft.term and index >= raft.log.first and raft.log.term(index) != entry.term:
                self.fail("leader completeness", f"{id} leads term {raft.term} without entry {index} of {entry.term}")

    def _newly_committed(self, index: int, raft: Raft) -> None:
        entries = raft.log.between(index, index) if index >= raft.log.first else []
        if not entries:
            self.fail("leader completeness", f"entry {index} was committed before anybody had it")
        self.committed[index] = (entries[0], raft.term)
        for leader in self._simulation.running():
            other = leader.replica.raft
            later = other.role == LEADER and other.term > raft.term and index >= other.log.first
            if later and other.log.term(index) != entries[0].term:
                self.fail("leader completeness", f"entry {index} is committed, and {leader.id} leads without it")

    def appends(self, id: int, raft: Raft, ready: Ready) -> None:
        """Entries have come into a member's log."""
        for entry in ready.entries:
            before = raft.log.term(entry.index - 1)
            known = self._entries.setdefault((entry.index, entry.term), (before or 0, entry.data))
            if known[1] != entry.data or (before is not None and known[0] != before):
                self.fail("log matching", f"{id} has another entry {entry.index} of term {entry.term}")

    def sent(self, m: Message) -> None:
        if m.kind == "vote-reply" and not m.reject:
            candidate = self.votes.setdefault((m.sender, m.term), m.to)
            if candidate != m.to:
                self.fail("election safety", f"{m.sender} votes in term {m.term} for {candidate} and for {m.to}")

    def thawed(self, id: int) -> None:
        """While it was stopped it could not step down."""
        self._reached[id] = self._simulation.now

    def tick(self, id: int, raft: Raft) -> None:
        """Does a leader without a majority step down?"""
        if raft.role != LEADER:
            return
        now, cut = self._simulation.now, self._simulation.network.cut
        others = {member.id for member in self._simulation.running() if not member.frozen}
        heard = {other for other in others if (id, other) not in cut and (other, id) not in cut} | {id}
        if raft.configuration.holds(heard):
            self._reached[id] = now
        elif now - self._reached.get(id, now) > 2.2 * raft.options.election_ticks * self._simulation.tick + LATE:
            self.fail("check quorum", f"{id} still leads term {raft.term} and reaches no majority")

    # The state machine

    def apply(self, id: int, entry: Entry, outcome: tuple[int, Answer] | None) -> None:
        """Member `id` applied `entry`."""
        known = self.applied.get(entry.index)
        if known is None:
            if entry.index != len(self.applied) + 1:
                self.fail("state machine safety", f"{id} applies entry {entry.index} after {len(self.applied)}")
            self.applied[entry.index] = entry
            self._expected[entry.index] = self._expect(entry)
        elif known != entry:
            self.fail("state machine safety", f"{id} applies another entry {entry.index} than others")
        if outcome is not None:
            self._check_answer(id, entry, outcome[1])

    def _expect(self, entry: Entry) -> Expected:
        if not entry.data:
            return Expected([], self.model.revision)
        kind, request, payload, _ = state.decode_command(entry.data)
        message = state.MESSAGES[kind].FromString(payload)
        if request in self.lost:
            self.fail("exactly once", f"request {request} was given up for lost, and is entry {entry.index}")
        if kind == state.LEASE_REVOKE:
            until = self.lease_until.pop(message.ID, 0.0)
            if self._simulation.now < until:
                self.fail("leases", f"{message.ID} ends {until - self._simulation.now:.2f} s early")
        return Expected(self.model.apply(kind, message), self.model.revision)

    def _check_answer(self, id: int, entry: Entry, answer: Answer) -> None:
        expected = self._expected[entry.index]
        kind, _, payload, _ = state.decode_command(entry.data)
        if kind >= state.MEMBER_ADD:
            return  # the model knows no members
        if isinstance(answer, errors.EtcdError):
            if expected.changes is not None:
                self.fail("state machine safety", f"{id} refuses entry {entry.index}: {answer}")
            return
        if expected.changes is None or expected.revision != answer.revision:
            self.fail("state machine safety", f"{id} answers entry {entry.index} with revision {answer.revision}")
            return
        message: Any = state.MESSAGES[kind].FromString(payload)
        if kind in (state.PUT, state.DELETE_RANGE) and message.prev_kv:
            told = previous_told(kind, answer.body)
            before = [change.before for change in expected.changes if change.before is not None]
            if len(told) != len(before) or not all(map(same, told, before)):
                self.fail("prev_kv", f"{id} answers entry {entry.index} with another previous value")

    # What clients see

    def acknowledge(self, revision: int) -> None:
        self.acknowledged = max(self.acknowledged, revision)

    def promise_lease(self, lease: int, begun: float, ttl: float) -> None:
        if ttl > 0:
            self.lease_until[lease] = max(self.lease_until.get(lease, 0.0), begun + ttl * SURE_SHARE)

    def read(self, id: int, key: bytes, floor: int, revision: int, found: Any) -> None:
        """A linearizable read at `id` was answered; `floor` was acknowledged when it began."""
        if revision < floor:
            self.fail("linearizable reads", f"{id} reads at revision {revision}, and {floor} was acknowledged")
        if not same(found, self.model.at(key, revision)):
            self.fail("linearizable reads", f"{id} reads another value of {key!r} at revision {revision}")
