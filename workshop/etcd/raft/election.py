"""Elections: who may lead. Paper, sections 5.2 and 5.4.1; PreVote and CheckQuorum: dissertation, sections 9.6 and 6.2.

    follower ──silence──> pre-candidate ──majority would vote──> candidate ──majority votes──> leader
       ^                      |                                     |                            |
       └──── a leader is heard, or the majority refuses, or a higher term is seen, or (leader) nobody answers

PreVote asks before the term is raised: a member that was cut off cannot depose a leader that works by coming back
with a high term. CheckQuorum is the other half: a leader that hears from no majority steps down, and who hears
from a leader votes for nobody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from workshop.etcd.raft.messages import CANDIDATE, FOLLOWER, LEADER, PRE_CANDIDATE, Message
from workshop.etcd.raft.quorum import LOST, WON
from workshop.hooks import hook

if TYPE_CHECKING:
    from workshop.etcd.raft.core import Raft

FORCED = 1
"""`context` of a vote that the leader itself asked for (transfer): it is no disturbance."""


class Voter(NamedTuple):
    """Who is asked: its term, for whom it voted in it (0: nobody), whom it follows (0: nobody), how its log ends."""

    term: int
    vote: int
    leader: int
    last_term: int
    last_index: int


class Candidate(NamedTuple):
    """Who asks, for which term; how its log ends. `pre`: it only asks whether it would be voted for."""

    id: int
    term: int
    last_term: int
    last_index: int
    pre: bool = False


@hook("etcd", "raft.may_vote")
def may_vote(me: Voter, candidate: Candidate) -> bool:
    """Is the vote granted? One vote a term, first come, first served; and none for a log that lacks what this one
    has, since any committed entry is on a majority, and so in the log of somebody whom the candidate must ask.

    >>> may_vote(Voter(2, 0, 0, 1, 5), Candidate(3, 2, last_term=1, last_index=5))
    True
    >>> may_vote(Voter(2, 0, 0, 2, 4), Candidate(3, 2, last_term=1, last_index=9))
    False
    """
    free = me.vote == candidate.id or (not me.vote and not me.leader)
    free = free or (candidate.pre and candidate.term > me.term)  # a pre-vote costs nothing
    return free and (candidate.last_term, candidate.last_index) >= (me.last_term, me.last_index)


def campaign(raft: Raft, forced: bool = False) -> None:
    """Stand for election. A cluster of one elects itself at once."""
    if raft.role == LEADER or raft.id not in raft.configuration.voters or raft.change_waits():
        return
    if raft.options.pre_vote and not forced:
        _ask(raft, PRE_CANDIDATE, "pre-vote", raft.term + 1, 0)
    else:
        _elect(raft, forced)


def _elect(raft: Raft, forced: bool = False) -> None:
    raft.become(CANDIDATE, raft.term + 1)
    raft.vote = raft.id
    _ask(raft, CANDIDATE, "vote", raft.term, FORCED if forced else 0)


def _ask(raft: Raft, role: str, kind: str, term: int, context: int) -> None:
    raft.become(role, raft.term)
    raft.votes = {raft.id: True}
    if raft.configuration.outcome(raft.votes) == WON:
        _won(raft)
        return
    for peer in sorted(raft.configuration.voters - {raft.id}):
        raft.send(kind, peer, term=term, index=raft.log.last, log_term=raft.log.last_term, context=context)


def _won(raft: Raft) -> None:
    if raft.role == PRE_CANDIDATE:
        _elect(raft)
    else:
        raft.lead()


def on_vote(raft: Raft, m: Message) -> None:
    """A vote or pre-vote is asked for, in this term or (pre-vote) in a later one."""
    me = Voter(raft.term, raft.vote, raft.leader, raft.log.last_term, raft.log.last)
    granted = raft.rules.may_vote(me, Candidate(m.sender, m.term, m.log_term, m.index, m.kind == "pre-vote"))
    if granted and m.kind == "vote":
        raft.vote = m.sender
        raft.reset_timer()
    # A granted pre-vote is for the term that was asked for; a refusal tells the own term.
    raft.send(f"{m.kind}-reply", m.sender, term=m.term if granted else raft.term, reject=not granted)


def on_vote_reply(raft: Raft, m: Message) -> None:
    """Count it, if it is for what is asked just now; the votes may decide the election, either way."""
    asked = {PRE_CANDIDATE: "pre-vote-reply", CANDIDATE: "vote-reply"}
    if asked.get(raft.role) != m.kind:
        return
    raft.votes.setdefault(m.sender, not m.reject)
    outcome = raft.configuration.outcome(raft.votes)
    if outcome == WON:
        _won(raft)
    elif outcome == LOST:
        raft.become(FOLLOWER, raft.term)


def ignores(raft: Raft, m: Message) -> bool:
    """Is this a candidate of a later term that need not be heard, since a leader was heard a short time ago?"""
    return (
        m.kind in ("vote", "pre-vote")
        and m.context != FORCED
        and raft.options.check_quorum
        and bool(raft.leader)
        and raft.elapsed < raft.options.election_ticks
    )


def check_quorum(raft: Raft) -> None:
    """An election timeout is over: does a majority still answer this leader?"""
    active = {peer for peer, progress in raft.progress.items() if progress.active} | {raft.id}
    for progress in raft.progress.values():
        progress.active = False
    if not raft.configuration.holds(active):
        raft.become(FOLLOWER, raft.term)
