"""One member's part of Raft, as rules over plain state. Drive it like this:

    raft.tick()                 a tick of time has passed
    raft.propose([b"..."])      a client wants this in the log (only a leader can)
    raft.step(message)          another member said something
    ready = raft.ready()        what is to be done now, in this order:
                                  write ready.hard_state and ready.entries to disk (fsync),
                                  send ready.messages, apply ready.committed
    raft.advance(ready)         it has been done

A member that answers before its disk has the answer may vote twice, or lose what it acknowledged.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import NamedTuple

from workshop.etcd.raft.log import Entry, Log

FOLLOWER, CANDIDATE, LEADER = "follower", "candidate", "leader"

#: How many entries one append message carries at most.
MAX_BATCH = 256


class HardState(NamedTuple):
    """What must survive a crash beside the log. `vote` 0: nobody yet in this term."""

    term: int = 0
    vote: int = 0
    commit: int = 0


class Message(NamedTuple):
    """What members say to each other. `kind`: vote, vote-reply, append, append-reply, heartbeat, heartbeat-reply.

    `index` and `log_term` name the candidate's last entry (vote), the entry before `entries` (append), or the
    last entry that agrees (append-reply). `context` numbers a round of heartbeats for linearizable reads.
    """

    kind: str
    sender: int
    to: int
    term: int
    index: int = 0  # type: ignore[assignment]
    log_term: int = 0
    entries: tuple[Entry, ...] = ()
    commit: int = 0
    reject: bool = False
    context: int = 0


class Ready(NamedTuple):
    """Work for the one who drives the core. `reads`: (request, index): serve it once `index` is applied."""

    hard_state: HardState | None
    entries: list[Entry]
    committed: list[Entry]
    messages: list[Message]
    reads: list[tuple[int, int]]

    def __bool__(self) -> bool:
        return bool(self.hard_state or self.entries or self.committed or self.messages or self.reads)


class Progress:
    """What a leader knows of one follower: the last entry known to agree, and the next one to send."""

    __slots__ = ("match", "next")

    def __init__(self, next: int) -> None:
        self.match, self.next = 0, next


class Raft:
    """Times are in ticks: a heartbeat each tick of the leader, an election after `election_ticks` to twice as many
    of silence."""

    def __init__(
        self,
        id: int,
        voters: Iterable[int],
        random: Random,
        log: Log | None = None,
        hard_state: HardState | None = None,
        election_ticks: int = 10,
    ) -> None:
        self.id, self.voters = id, frozenset(voters)
        self.log = log or Log()
        self.term, self.vote, commit = hard_state or HardState()
        self.log.commit(min(commit, self.log.last))
        self.role, self.leader = FOLLOWER, 0
        self.votes: dict[int, bool] = {}
        self.progress: dict[int, Progress] = {}
        self._saved = HardState(self.term, self.vote, self.log.committed)
        self._random, self._election_ticks = random, election_ticks
        self._messages: list[Message] = []
        self._reads: list[tuple[int, int]] = []
        self._waiting_reads: list[tuple[int, int, int, set[int]]] = []  # request, index, round, who confirmed
        self._round = 0
        self._reset_timer()

    # Time

    def tick(self) -> None:
        """One tick: a leader sends heartbeats, another member may lose patience and campaign."""
        if self.role == LEADER:
            self._broadcast_heartbeat()
            return
        self._elapsed += 1
        if self._elapsed >= self._timeout and self.id in self.voters:
            self.campaign()

    def _reset_timer(self) -> None:
        self._elapsed = 0
        self._timeout = self._election_ticks + self._random.randrange(self._election_ticks)

    # Elections (paper, 5.2 and 5.4.1)

    def campaign(self) -> None:
        """Stand for election in a new term. A cluster of one elects itself at once."""
        self._become(CANDIDATE, self.term + 1)
        self.vote = self.id
        self.votes = {self.id: True}
        if self._won():
            self._lead()
        for peer in self.voters - {self.id}:
            self._send("vote", peer, index=self.log.last, log_term=self.log.last_term)

    def _on_vote(self, m: Message) -> None:
        free = self.vote in (0, m.sender)
        grant = free and self.log.up_to_date(m.index, m.log_term)
        if grant:
            self.vote = m.sender
            self._reset_timer()
        self._send("vote-reply", m.sender, reject=not grant)

    def _on_vote_reply(self, m: Message) -> None:
        if self.role != CANDIDATE:
            return
        self.votes.setdefault(m.sender, not m.reject)
        if self._won():
            self._lead()
        elif sum(not yes for yes in self.votes.values()) >= self._majority():
            self._become(FOLLOWER, self.term)

    def _won(self) -> bool:
        return sum(self.votes.values()) >= self._majority()

    def _majority(self) -> int:
        return len(self.voters) // 2 + 1

    def _lead(self) -> None:
        self.role, self.leader = LEADER, self.id
        self.progress = {peer: Progress(self.log.last + 1) for peer in self.voters - {self.id}}
        # An entry of one's own term, so that what earlier terms left can be committed (5.4.2) and read (6.4).
        self._append([b""])

    def _become(self, role: str, term: int) -> None:
        if term > self.term:
            self.term, self.vote = term, 0
        self.role, self.leader = role, 0
        self.votes, self.progress, self._waiting_reads = {}, {}, []
        self._reset_timer()

    # Replication (5.3) and the rule of commitment (5.4.2)

    def propose(self, commands: Iterable[bytes]) -> int | None:
        """Append commands; the index of the last one, or None when this member does not lead."""
        if self.role != LEADER:
            return None
        self._append(commands)
        return self.log.last

    def _append(self, commands: Iterable[bytes]) -> None:
        start = self.log.last + 1
        self.log.append([Entry(self.term, start + i, data) for i, data in enumerate(commands)])
        for peer in self.progress:
            self._send_append(peer)

    def _send_append(self, peer: int) -> None:
        progress = self.progress[peer]
        previous = progress.next - 1
        term = self.log.term(previous)
        if term is None:
            return  # compacted: this follower needs a snapshot
        entries = tuple(self.log.between(progress.next, min(self.log.last, previous + MAX_BATCH)))
        self._send("append", peer, index=previous, log_term=term, entries=entries, commit=self.log.committed)
        progress.next += len(entries)  # optimistic: a rejection sets it back

    def _on_append(self, m: Message) -> None:
        self._follow(m)
        if m.index < self.log.committed:
            self._send("append-reply", m.sender, index=self.log.committed)
            return
        agreed = self.log.merge(m.index, m.log_term, list(m.entries))
        if agreed is None:
            # A hint how far back to go: the end of this log, or the entry before the one that did not fit.
            self._send("append-reply", m.sender, index=min(self.log.last, m.index - 1), reject=True)
            return
        self.log.commit(min(m.commit, agreed))
        self._send("append-reply", m.sender, index=agreed)

    def _on_append_reply(self, m: Message) -> None:
        progress = self.progress.get(m.sender)
        if self.role != LEADER or progress is None:
            return
        if m.reject:
            progress.next = max(progress.match + 1, min(progress.next - 1, m.index + 1))
            self._send_append(m.sender)
            return
        progress.match = max(progress.match, m.index)
        progress.next = max(progress.next, progress.match + 1)
        if self._commit():
            for peer in self.progress:
                self._send_append(peer)
        elif progress.next <= self.log.last:
            self._send_append(m.sender)

    def _commit(self) -> bool:
        """Commit what a majority has on disk, if it is of this term: what earlier terms left is committed only
        along with it, since a majority alone does not save an old entry from being overwritten (figure 8)."""
        on_disk = sorted([self.log.stable, *(p.match for p in self.progress.values())], reverse=True)
        index = on_disk[self._majority() - 1]
        if self.log.term(index) != self.term or not self.log.commit(index):
            return False
        self._release_reads()
        return True

    # Heartbeats and linearizable reads (6.4)

    def read_index(self, request: int) -> bool:
        """Ask for a linearizable read; `request` comes back in `Ready.reads`. False when not the leader."""
        if self.role != LEADER:
            return False
        self._round += 1
        self._waiting_reads.append((request, self.log.committed, self._round, {self.id}))
        if self._majority() == 1:
            self._release_reads()
        else:
            self._broadcast_heartbeat()
        return True

    def _release_reads(self) -> None:
        if self.log.term(self.log.committed) != self.term:
            return  # until something of this term is committed, a leader may not know all that was
        still = []
        for request, index, round, confirmed in self._waiting_reads:
            if len(confirmed) >= self._majority():
                self._reads.append((request, max(index, 0)))
            else:
                still.append((request, index, round, confirmed))
        self._waiting_reads = still

    def _broadcast_heartbeat(self) -> None:
        for peer, progress in self.progress.items():
            commit = min(progress.match, self.log.committed)
            self._send("heartbeat", peer, commit=commit, context=self._round)

    def _on_heartbeat(self, m: Message) -> None:
        self._follow(m)
        self.log.commit(min(m.commit, self.log.last))
        self._send("heartbeat-reply", m.sender, context=m.context)

    def _on_heartbeat_reply(self, m: Message) -> None:
        progress = self.progress.get(m.sender)
        if self.role != LEADER or progress is None:
            return
        for _, _, round, confirmed in self._waiting_reads:
            if round <= m.context:
                confirmed.add(m.sender)
        self._release_reads()
        if progress.match < self.log.last:
            progress.next = progress.match + 1  # something sent before may have been lost
            self._send_append(m.sender)

    # Messages

    def step(self, m: Message) -> None:
        """Take in a message of another member."""
        if m.term > self.term:
            self._become(FOLLOWER, m.term)
        elif m.term < self.term:
            if m.kind in ("append", "heartbeat", "vote"):
                reply = "vote-reply" if m.kind == "vote" else "append-reply"
                self._send(reply, m.sender, index=self.log.committed, reject=True)
            return
        {
            "vote": self._on_vote,
            "vote-reply": self._on_vote_reply,
            "append": self._on_append,
            "append-reply": self._on_append_reply,
            "heartbeat": self._on_heartbeat,
            "heartbeat-reply": self._on_heartbeat_reply,
        }[m.kind](m)

    def _follow(self, m: Message) -> None:
        if self.role != FOLLOWER:
            self._become(FOLLOWER, m.term)
        self.leader = m.sender
        self._reset_timer()

    def _send(self, kind: str, to: int, **fields: object) -> None:
        self._messages.append(Message(kind, self.id, to, self.term, **fields))  # type: ignore[arg-type]

    # What is to be done

    def ready(self) -> Ready:
        """All work that has gathered; `bool(ready)` is False when there is none."""
        state = HardState(self.term, self.vote, self.log.committed)
        messages, self._messages = self._messages, []
        reads, self._reads = self._reads, []
        # The commit mark alone is not worth an fsync: it is found again by the next leader.
        changed = state if state[:2] != self._saved[:2] else None
        return Ready(changed, self.log.unstable(), self.log.to_apply(), messages, reads)

    def advance(self, ready: Ready) -> None:
        """`ready` was written, sent and applied. Only now does the leader count its own disk."""
        if ready.hard_state:
            self._saved = ready.hard_state
        if ready.entries:
            last = ready.entries[-1]
            if self.log.term(last.index) == last.term:  # it may have been cut off meanwhile
                self.log.stable = max(self.log.stable, last.index)
            if self.role == LEADER:
                self._commit()
        if ready.committed:
            self.log.applied = ready.committed[-1].index
