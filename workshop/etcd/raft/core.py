"""One member's part of Raft, as rules over plain state. Drive it like this:

    raft.tick()                 a tick of time has passed
    raft.propose([b"..."])      a client wants this in the log
    raft.step(message)          another member said something
    ready = raft.ready()        what is to be done now, in this order:
                                  send ready.at_once; write ready.snapshot, ready.hard_state and ready.entries to disk
                                  (fsync); send ready.messages; apply ready.committed; serve ready.reads;
                                  tell ready.notices, at the latest when nothing else is to be said
    raft.advance(ready)         it has been done

A member that answers before its disk has the answer may vote twice, or lose what it acknowledged.

The rules themselves: `election.py`, `replication.py`, `reads.py`, `transfer.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from workshop.etcd.raft import election, reads, replication, transfer
from workshop.etcd.raft.log import Entry, Log
from workshop.etcd.raft.messages import BEFORE_DISK, FOLLOWER, LEADER, OF_LEADER, HardState, Message, Ready
from workshop.etcd.raft.progress import Progress
from workshop.etcd.raft.quorum import Configuration


@dataclass(frozen=True)
class Options:
    """Times are in ticks. An election comes after `election_ticks` to twice as many of silence, by lot."""

    election_ticks: int = 10
    heartbeat_ticks: int = 1
    pre_vote: bool = True
    check_quorum: bool = True
    lease_reads: bool = False


@dataclass
class Rules:
    """The two decisions on which safety stands, exchangeable: a lab lets learners write them."""

    may_vote: Callable[[election.Voter, election.Candidate], bool] = election.may_vote
    commit_index: Callable[[list[int], int, int, list[int]], int] = replication.commit_index


@dataclass
class Raft:
    """`configuration` is what the log says as far as it was applied; `random` decides election timeouts only."""

    id: int
    configuration: Configuration
    random: Random
    log: Log = field(default_factory=Log)
    saved: HardState = field(default_factory=HardState)
    options: Options = field(default_factory=Options)
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        self.term, self.vote, commit = self.saved
        self.log.commit(min(commit, self.log.last))
        self.role, self.leader = FOLLOWER, 0
        self.votes: dict[int, bool] = {}
        self.ticks = self.elapsed = self.timeout = 0  # since the start; since the leader was heard; patience
        self._messages: list[Message] = []
        self._notices: dict[int, Message] = {}
        self._snapshot: Message | None = None
        self.reads: list[tuple[int, int]] = []
        self._forget_leadership()
        self.reset_timer()

    def _forget_leadership(self) -> None:
        """What only a leader knows."""
        self.progress: dict[int, Progress] = {}
        self.transferee = self.transfer_elapsed = 0
        self.leaving = False  # was removed, and leads on for a while
        self.pending_change = 0  # no other change of membership before this index is applied
        self.heartbeat_elapsed = 0
        self.round = 0  # of heartbeats
        self.round_due = False
        self.round_ticks: dict[int, int] = {}  # when each was sent
        self.answered: dict[int, int] = {}
        self.pending_reads: list[reads.PendingRead] = []
        self.postponed_reads: list[tuple[int, int]] = []

    # Time

    def tick(self) -> None:
        """One tick: a leader sends heartbeats and looks for its quorum, others may lose patience and campaign."""
        self.ticks += 1
        self.elapsed += 1
        if self.role != LEADER:
            if self.elapsed >= self.timeout and self.id in self.configuration.voters:
                self.elapsed = 0
                election.campaign(self)
            return
        transfer.tick(self)
        if self.elapsed >= self.options.election_ticks:
            self.elapsed = 0
            if self.leaving:
                self.become(FOLLOWER, self.term)
            elif self.options.check_quorum:
                election.check_quorum(self)
        self.heartbeat_elapsed += 1
        if self.role == LEADER and self.heartbeat_elapsed >= self.options.heartbeat_ticks:
            self.heartbeat_elapsed = 0
            self.start_round()

    def reset_timer(self) -> None:
        self.elapsed = 0
        self.timeout = self.options.election_ticks + self.random.randrange(self.options.election_ticks)

    def campaign(self) -> None:
        """Stand for election now."""
        election.campaign(self)

    # Roles

    def become(self, role: str, term: int) -> None:
        """Take a role that does not lead; a higher term frees the vote."""
        if term > self.term:
            self.term, self.vote = term, 0
        self.role, self.leader = role, 0
        self.votes = {}
        self._forget_leadership()
        self.reset_timer()

    def lead(self) -> None:
        self._forget_leadership()
        self.role, self.leader = LEADER, self.id
        self.reset_timer()
        # An entry of one's own term, so that what earlier terms left can be committed (5.4.2) and read (8).
        self._append([(b"", False)])
        self.pending_change = self.log.last
        self._track(self.log.last)

    def change_waits(self) -> bool:
        """Is a change of membership committed and not yet applied? Who counts is not known then."""
        return any(entry.change for entry in self.log.between(self.log.applied + 1, self.log.committed))

    def reconfigure(self, configuration: Configuration) -> None:
        """A change of membership was applied.

        A leader that is removed by it leads on for an election timeout: it alone may know that its removal is
        committed, and without it the others might ask for a majority that counts it.
        """
        self.configuration = configuration
        if self.role != LEADER:
            return
        if not configuration.voters:
            self.become(FOLLOWER, self.term)
            return
        if self.id not in configuration.voters and not self.leaving:
            self.leaving, self.elapsed = True, 0
        self._track(self.log.last + 1)
        if self.transferee not in configuration.voters:
            self.transferee = 0
        if replication.advance_commit(self):  # a smaller majority may be reached already
            replication.broadcast(self)

    def _track(self, next: int) -> None:
        """Know of each other member how far it is; to a new one `next` is the first entry to send."""
        self.progress = {peer: p for peer, p in self.progress.items() if peer in self.configuration.members}
        for peer in sorted(self.configuration.members - {self.id} - set(self.progress)):
            self.progress[peer] = Progress(next)
            self.progress[peer].active = True  # it gets an election timeout to show itself
            replication.send_append(self, peer)

    # Proposals

    def propose(self, commands: Iterable[bytes]) -> int | None:
        """Append commands; the index of the last one. A follower sends them to the leader, and does not know what
        becomes of them: None, as when nobody can take them."""
        return self._propose([(command, False) for command in commands])

    def propose_change(self, command: bytes) -> bool:
        """Append a change of membership, or send it to the leader, who takes one at a time: False if that cannot be
        now. What was sent may be dropped; proposed again and committed twice, it is refused when it is applied."""
        if not self.takes_proposals() or (self.role == LEADER and not self.may_change()):
            return False
        self._propose([(command, True)])
        return True

    def may_change(self) -> bool:
        return self.role == LEADER and self.log.applied >= self.pending_change

    def takes_proposals(self) -> bool:
        """Would a proposal go anywhere?"""
        return not (self.transferee or self.leaving) if self.role == LEADER else bool(self.leader)

    def _propose(self, commands: Sequence[tuple[bytes, bool]]) -> int | None:
        if not self.takes_proposals():
            return None
        if self.role != LEADER:
            self.send("propose", self.leader, entries=tuple(Entry(0, 0, data, change) for data, change in commands))
            return None
        self._append(commands)
        return self.log.last

    def _append(self, commands: Sequence[tuple[bytes, bool]]) -> None:
        start = self.log.last + 1
        self.log.append([Entry(self.term, start + i, data, change) for i, (data, change) in enumerate(commands)])
        if any(change for _, change in commands):
            self.pending_change = self.log.last
        for peer in sorted(self.progress):
            replication.send_append(self, peer, even_empty=False)

    def _on_propose(self, m: Message) -> None:
        """Proposals that a follower passed on. A change that cannot be taken now is dropped: its member asks again."""
        if self.role == LEADER and self.takes_proposals():
            changes = [entry for entry in m.entries if entry.change][: self.may_change()]
            commands = [entry for entry in m.entries if not entry.change] + changes
            if commands:
                self._append([(entry.data, entry.change) for entry in commands])

    # Reads and leadership

    def read_index(self, request: int) -> bool:
        """Ask for a linearizable read; `request` comes back in `Ready.reads`. False when nobody leads."""
        return reads.read_index(self, request, self.id)

    def transfer(self, target: int) -> bool:
        """Begin to hand leadership to `target`."""
        return transfer.transfer(self, target)

    def start_round(self) -> None:
        """Heartbeats to all, once for all reads that gather until `ready`."""
        self.round_due = True

    def snapshot_sent(self, peer: int, arrived: bool) -> None:
        """The transport's word on a snapshot message."""
        replication.on_snapshot_status(self, peer, arrived)

    def accept_snapshot(self, m: Message) -> None:
        assert m.configuration is not None
        self._snapshot = m
        self.configuration = m.configuration

    # Messages

    def step(self, m: Message) -> None:
        """Take in a message of another member."""
        if m.term > self.term:
            if election.ignores(self, m):
                return
            self._see_higher_term(m)
        elif m.term < self.term:
            self._answer_old_term(m)
            return
        HANDLERS[m.kind](self, m)

    def _see_higher_term(self, m: Message) -> None:
        """Its sender knows of a later term; only asking for a pre-vote, and getting one, changes no term."""
        if m.kind == "pre-vote" or (m.kind == "pre-vote-reply" and not m.reject):
            return
        self.become(FOLLOWER, m.term)

    def _answer_old_term(self, m: Message) -> None:
        """Who is behind is not obeyed. A leader that was deposed, and a candidate that would wait, are told so."""
        if m.kind in OF_LEADER:
            self.send("append-reply", m.sender, index=m.index, reject=True)
        elif m.kind == "pre-vote":
            self.send("pre-vote-reply", m.sender, reject=True)

    def _on_timeout_now(self, m: Message) -> None:
        if self.role == FOLLOWER:
            election.campaign(self, forced=True)

    def send(self, kind: str, to: int, term: int | None = None, **fields: Any) -> None:
        self._messages.append(Message(kind, self.id, to, self.term if term is None else term, **fields))

    def notify(self, peer: int, **fields: Any) -> None:
        """Tell a follower how far this leader has committed; the last word counts."""
        self._notices[peer] = Message("append", self.id, peer, self.term, context=1, **fields)

    # What is to be done

    @property
    def idle(self) -> bool:
        """Is there nothing that `ready` would bring? (It may err on the side of work.)"""
        log = self.log
        nothing_to_say = not (self._messages or self._notices or self.reads or self.round_due)
        nothing_to_keep = self._snapshot is None and (self.term, self.vote) == self.saved[:2]
        return nothing_to_say and nothing_to_keep and log.stable == log.last and log.applied >= log.committed

    def ready(self) -> Ready:
        """All work that has gathered; `bool(ready)` is False when there is none."""
        if self.round_due:
            self._send_round()
        hard_state = self._hard_state()
        messages, self._messages = self._messages, []
        notices, self._notices = list(self._notices.values()), {}
        # What a leader says promises nothing about its disk, unless its very term is not yet there.
        at_once = [] if hard_state else [m for m in messages if m.kind in BEFORE_DISK]
        messages = messages if hard_state else [m for m in messages if m.kind not in BEFORE_DISK]
        reads, self.reads = self.reads, []
        snapshot, self._snapshot = self._snapshot, None
        return Ready(at_once, snapshot, hard_state, self.log.unstable(), messages, self._to_apply(), reads, notices)

    def _send_round(self) -> None:
        self.round_due = False
        if self.role == LEADER:
            self.round += 1
            self.round_ticks[self.round] = self.ticks
            self.round_ticks.pop(self.round - 1000, None)
            replication.broadcast_heartbeat(self)

    def _hard_state(self) -> HardState | None:
        """What is to be written. The commit mark alone is not worth an fsync, the next leader finds it again; but a
        change of membership counts once it is applied, so it must be known as committed before that."""
        if (self.term, self.vote) == self.saved[:2]:
            safe = max(self.saved.commit, self.log.applied)
            if self.log.committed <= safe or not any(e.change for e in self.log.between(safe + 1, self.log.committed)):
                return None
        return HardState(self.term, self.vote, self.log.committed)

    def _to_apply(self) -> list[Entry]:
        """What is committed and on this disk, up to a change of membership that is not yet on record as committed."""
        entries = self.log.to_apply()
        for place, entry in enumerate(entries):
            if entry.change and entry.index > self.saved.commit:
                return entries[:place]
        return entries

    def advance(self, ready: Ready) -> None:
        """`ready` was written, sent and applied. Only now does the leader count its own disk."""
        if ready.hard_state:
            self.saved = ready.hard_state
        if ready.entries:
            last = ready.entries[-1]
            if self.log.term(last.index) == last.term:  # it may have been cut off meanwhile
                self.log.stable = max(self.log.stable, last.index)
        if ready.committed:
            self.log.applied = max(self.log.applied, ready.committed[-1].index)
        if ready.entries and self.role == LEADER and replication.advance_commit(self):
            replication.broadcast(self)


HANDLERS: dict[str, Callable[[Raft, Message], None]] = {
    "pre-vote": election.on_vote,
    "vote": election.on_vote,
    "pre-vote-reply": election.on_vote_reply,
    "vote-reply": election.on_vote_reply,
    "append": replication.on_leaders_message,
    "heartbeat": replication.on_leaders_message,
    "snapshot": replication.on_leaders_message,
    "append-reply": lambda raft, m: replication.on_append_reply(raft, m),
    "heartbeat-reply": lambda raft, m: replication.on_heartbeat_reply(raft, m),
    "propose": Raft._on_propose,
    "read-index": reads.on_read_index,
    "read-index-reply": reads.on_read_index_reply,
    "transfer": transfer.on_transfer,
    "timeout-now": Raft._on_timeout_now,
}
