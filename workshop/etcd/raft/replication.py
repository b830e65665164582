"""Replication: the leader's log becomes everybody's. Paper, sections 5.3 and 5.4.2; snapshots: section 7."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workshop.etcd.raft import reads, transfer
from workshop.etcd.raft.messages import FOLLOWER, LEADER, Message
from workshop.etcd.raft.progress import PROBE, REPLICATE, SNAPSHOT
from workshop.hooks import hook

if TYPE_CHECKING:
    from workshop.etcd.raft.core import Raft

#: Bytes of entries that one append message carries, about.
MAX_SIZE = 1 << 20


@hook("etcd", "raft.commit_index")
def commit_index(on_disk: list[int], committed: int, term: int, terms: list[int]) -> int:
    """How far a leader in `term` may commit. `on_disk`: the last entry on each voter's disk, its own too; `terms`: the
    terms of its log's entries behind `committed`.

    What a majority has, if it is of the leader's own term; earlier entries go along with it. A majority alone does
    not save an older entry from being overwritten: figure 8 of the paper.

    >>> commit_index([7, 6, 4], committed=4, term=3, terms=[2, 3, 3])
    6
    >>> commit_index([7, 5, 4], committed=4, term=3, terms=[2, 3, 3])
    4
    """
    majority = sorted(on_disk, reverse=True)[len(on_disk) // 2]
    return majority if majority > committed and terms[majority - committed - 1] == term else committed


# The leader


def send_append(raft: Raft, peer: int, even_empty: bool = True) -> bool:
    """Send what `peer` lacks, as much as is allowed; False if nothing was sent."""
    progress = raft.progress[peer]
    if not progress.may_send():
        return False
    previous = progress.next - 1
    term = raft.log.term(previous)
    if term is None:
        return _send_snapshot(raft, peer)
    entries = tuple(raft.log.batch(progress.next, MAX_SIZE))
    if not entries and not even_empty:
        return False
    raft.send("append", peer, index=previous, log_term=term, entries=entries, commit=raft.log.committed)
    progress.sent(entries[-1].index if entries else None)
    return True


def _send_snapshot(raft: Raft, peer: int) -> bool:
    """The log was compacted: only the whole state helps. What is applied is what the snapshot will hold."""
    progress = raft.progress[peer]
    if not progress.active:
        return False  # it would not hear us
    index = raft.log.applied
    term = raft.log.term(index)
    assert term is not None
    progress.become(SNAPSHOT)
    progress.pending_snapshot = index
    raft.send("snapshot", peer, index=index, log_term=term, configuration=raft.configuration)
    return True


def on_append_reply(raft: Raft, m: Message) -> None:
    """A follower took entries, or its log does not fit. What it has on disk may now be on a majority's."""
    progress = raft.progress.get(m.sender)
    if progress is None:
        return
    progress.active = True
    if m.reject:
        # The follower said where its terms may fit; this log knows better which of its own terms may.
        hint, _ = raft.log.conflict(m.hint, m.log_term) if m.log_term else (m.hint, 0)
        if progress.rejected(m.index, hint):
            send_append(raft, m.sender)
        return
    was_waiting = not progress.may_send()
    news = progress.accepted(m.index)
    if not news and not was_waiting:
        return
    if advance_commit(raft):
        broadcast(raft)
    elif was_waiting:
        send_append(raft, m.sender, even_empty=False)
    while progress.state == REPLICATE and send_append(raft, m.sender, even_empty=False):
        pass
    transfer.maybe_hand_over(raft, m.sender)


def on_snapshot_status(raft: Raft, peer: int, arrived: bool) -> None:
    """The transport says how sending a snapshot ended; the follower's own answer tells the rest."""
    progress = raft.progress.get(peer)
    if raft.role != LEADER or progress is None or progress.state != SNAPSHOT:
        return
    if not arrived:
        progress.pending_snapshot = 0
    progress.become(PROBE)
    progress.paused = True  # until the follower's own answer, or the next heartbeat's


def advance_commit(raft: Raft) -> bool:
    """Count disks; True if the commit mark moved."""

    def on_disk(voter: int) -> int:
        if voter == raft.id:
            return raft.log.stable
        return raft.progress[voter].match if voter in raft.progress else 0

    committed = raft.log.committed
    terms = [entry.term for entry in raft.log.between(committed + 1, raft.log.last)]
    disks = [on_disk(voter) for voter in sorted(raft.configuration.voters)]
    index = raft.rules.commit_index(disks, committed, raft.term, terms)
    if not raft.log.commit(index):
        return False
    reads.release_postponed(raft)
    return True


def broadcast(raft: Raft) -> None:
    """All get what they lack, and learn the commit mark."""
    for peer, progress in sorted(raft.progress.items()):
        if progress.state == REPLICATE and progress.next > raft.log.last:
            raft.notify(peer, index=raft.log.last, log_term=raft.log.last_term, commit=raft.log.committed)
        else:
            send_append(raft, peer)


def broadcast_heartbeat(raft: Raft) -> None:
    """The round of heartbeats tells nobody of more than he has: a commit mark beyond his log would commit what he
    lacks."""
    for peer, progress in sorted(raft.progress.items()):
        raft.send("heartbeat", peer, commit=min(progress.match, raft.log.committed), context=raft.round)


def on_heartbeat_reply(raft: Raft, m: Message) -> None:
    """The follower lives: reads that wait for this round may go on, and it gets what it lacks."""
    progress = raft.progress.get(m.sender)
    if progress is None:
        return
    progress.active, progress.paused = True, False
    reads.on_round_answered(raft, m.sender, m.context)
    if progress.state == REPLICATE and not progress.may_send():
        progress.inflight.popleft()  # all that is on its way may be lost: room for one message that finds out
    if progress.match < raft.log.last:
        send_append(raft, m.sender)


# The follower


def on_append(raft: Raft, m: Message) -> None:
    """Take the entries if the one before them is there too (paper, 5.3); else say where the leader may try next."""
    if m.index < raft.log.committed:
        raft.send("append-reply", m.sender, index=raft.log.committed)
        return
    agreed = raft.log.merge(m.index, m.log_term, list(m.entries))
    if agreed is None:
        hint, term = raft.log.conflict(m.index, m.log_term)
        raft.send("append-reply", m.sender, index=m.index, reject=True, hint=hint, log_term=term)
        return
    raft.log.commit(min(m.commit, agreed))
    if not m.context:
        raft.send("append-reply", m.sender, index=agreed)


class LostEntries(Exception):
    """This member once acknowledged entries that its log does not have: its disk lost them, or is an old copy."""


def on_heartbeat(raft: Raft, m: Message) -> None:
    if m.commit > raft.log.last:  # never more than this member has acknowledged to this leader
        raise LostEntries(f"raft: the log ends with entry {raft.log.last}, and entry {m.commit} was acknowledged")
    raft.log.commit(m.commit)
    raft.send("heartbeat-reply", m.sender, context=m.context)


def on_snapshot(raft: Raft, m: Message) -> None:
    """The leader's whole state. It is taken only if it is ahead of what is committed here."""
    assert m.configuration is not None
    if m.index <= raft.log.committed:
        raft.send("append-reply", m.sender, index=raft.log.committed)
        return
    if raft.log.term(m.index) == m.log_term:  # the log has all of it: no state need be thrown away
        raft.log.commit(m.index)
    else:
        raft.log.restore(m.index, m.log_term)
        raft.accept_snapshot(m)
    raft.send("append-reply", m.sender, index=m.index)


def on_leaders_message(raft: Raft, m: Message) -> None:
    """Whoever sends it leads this term: follow."""
    if raft.role != FOLLOWER:
        raft.become(FOLLOWER, m.term)
    raft.leader = m.sender
    raft.elapsed = 0
    {"append": on_append, "heartbeat": on_heartbeat, "snapshot": on_snapshot}[m.kind](raft, m)
