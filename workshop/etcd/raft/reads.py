"""Linearizable reads without a log entry. Paper, section 8; dissertation, section 6.4.

A read must see all that was acknowledged before it was asked for. So the leader notes its commit mark, makes sure
that it still leads, and the read is served once the mark is applied. It makes sure in one of two ways:

    ReadIndex   a round of heartbeats, begun after the read was asked for, is answered by a majority
    lease       a majority answered a heartbeat that was sent less than an election timeout ago: until that is over
                they vote for nobody else. No round trip; but it trusts that clocks run about equally fast, and that
                ticks are counted over a pause of the process too (the simulation does; `node.py` does not, and
                never asks for such reads).

Upstream: `go.etcd.io/raft/v3/read_only.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from workshop.etcd.raft.messages import LEADER, Message

if TYPE_CHECKING:
    from workshop.etcd.raft.core import Raft

#: Part of an election timeout that a lease lasts: the rest is for clocks that drift.
LEASE_SHARE = 0.8


class PendingRead(NamedTuple):
    """`index`: the commit mark when it was asked for. `round`: the first round of heartbeats that proves it."""

    member: int
    request: int
    index: int  # type: ignore[assignment]  # upstream's name; nobody wants tuple.index
    round: int


def read_index(raft: Raft, request: int, member: int) -> bool:
    """`member` asks for a linearizable read; the answer is in `Ready.reads`, there. False: ask again later."""
    if raft.role != LEADER:
        if not raft.leader or member != raft.id:
            return False
        raft.send("read-index", raft.leader, context=request)
        return True
    if raft.log.term(raft.log.committed) != raft.term:
        # Until something of this term is committed, a leader may not know all that was committed before it.
        raft.postponed_reads.append((request, member))
        return True
    if raft.configuration.voters == {raft.id} or (raft.options.lease_reads and _holds_lease(raft)):
        _answer(raft, member, request, raft.log.committed)
        return True
    raft.pending_reads.append(PendingRead(member, request, raft.log.committed, raft.round + 1))
    raft.start_round()
    return True


def _holds_lease(raft: Raft) -> bool:
    if not raft.options.check_quorum or raft.transferee:
        return False  # without CheckQuorum nobody promised anything; a transfer overrides the promise

    def acked(voter: int) -> int:
        return raft.ticks if voter == raft.id else raft.progress[voter].acked_tick

    sent = raft.configuration.reached(lambda voter: acked(voter) + 1) - 1
    return sent >= 0 and raft.ticks - sent < raft.options.election_ticks * LEASE_SHARE


def release_postponed(raft: Raft) -> None:
    """Something was committed: reads that waited for this term's first entry may begin."""
    if raft.postponed_reads and raft.log.term(raft.log.committed) == raft.term:
        waiting, raft.postponed_reads = raft.postponed_reads, []
        for request, member in waiting:
            read_index(raft, request, member)


def on_round_answered(raft: Raft, peer: int, round: int) -> None:
    """`peer` answered the heartbeats of `round`, and with it all rounds before."""
    progress = raft.progress[peer]
    progress.acked_tick = max(progress.acked_tick, raft.round_ticks.get(round, -1))
    raft.answered[peer] = max(raft.answered.get(peer, 0), round)
    if not raft.pending_reads:
        return
    proven = raft.configuration.reached(lambda v: raft.round if v == raft.id else raft.answered.get(v, 0))
    while raft.pending_reads and raft.pending_reads[0].round <= proven:
        read = raft.pending_reads.pop(0)
        _answer(raft, read.member, read.request, read.index)


def _answer(raft: Raft, member: int, request: int, index: int) -> None:
    if member == raft.id:
        raft.reads.append((request, index))
    else:
        raft.send("read-index-reply", member, index=index, context=request)


def on_read_index(raft: Raft, m: Message) -> None:
    read_index(raft, m.context, m.sender)


def on_read_index_reply(raft: Raft, m: Message) -> None:
    raft.reads.append((m.context, m.index))
