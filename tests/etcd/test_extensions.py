"""What etcd's Raft has beyond the paper: PreVote, CheckQuorum, transfer, learners, single-step changes, cheap reads."""

from __future__ import annotations

from random import Random

import pytest

from tests.etcd.wire import Wire, log_of, terms
from workshop.etcd.raft import (
    FOLLOWER,
    LEADER,
    PRE_CANDIDATE,
    Configuration,
    Entry,
    HardState,
    LostEntries,
    Message,
    Options,
    Raft,
)
from workshop.etcd.raft.progress import SNAPSHOT

FULL = Options()
LEASE = Options(lease_reads=True)


def patient(wire: Wire) -> None:
    """Nobody has heard a leader for an election timeout."""
    for raft in wire.members.values():
        if raft.role != LEADER:
            raft.elapsed = raft.options.election_ticks


def elected(size: int = 3, options: Options = FULL) -> Wire:
    wire = Wire(size, options=options)
    wire.elect(1)
    return wire


def test_a_member_that_was_cut_off_does_not_depose_the_leader_when_it_is_back() -> None:
    wire = elected()
    wire.cut(3)
    for _ in range(100):
        wire.members[3].tick()
        wire.members[1].tick()
        wire.settle()
    assert (wire.members[3].term, wire.members[3].role) == (1, PRE_CANDIDATE), "it asks first, and raises no term"
    wire.cut()
    for _ in range(30):
        for raft in wire.members.values():
            raft.tick()
        wire.settle()
    assert (wire.members[1].role, wire.members[1].term, wire.members[3].leader) == (LEADER, 1, 1)


def test_a_pre_vote_changes_nothing_where_it_is_granted() -> None:
    wire = Wire(3, options=FULL)
    wire.members[1].campaign()
    request = next(m for m in wire.collect() if m.to == 2)
    wire.deliver(request)
    voter = wire.members[2]
    assert (voter.term, voter.vote) == (0, 0) and not wire.waiting[-1].reject
    assert wire.waiting[-1].term == 1, "it is granted for the term that was asked for"


def test_who_hears_a_leader_votes_for_nobody_else() -> None:
    wire = elected()
    wire.members[2].step(Message("vote", 3, 2, term=9, index=9, log_term=9))
    assert not wire.members[2].ready() and wire.members[2].term == 1


def test_a_leader_that_hears_from_no_majority_steps_down() -> None:
    wire = elected()
    wire.cut(1)
    for _ in range(2 * FULL.election_ticks):
        wire.members[1].tick()
        wire.settle()
    assert wire.members[1].role == FOLLOWER


def test_leadership_is_handed_to_one_that_has_the_whole_log() -> None:
    wire = elected()
    leader = wire.members[1]
    wire.cut(2)
    leader.propose([b"x"])
    wire.settle()
    wire.cut()
    assert leader.transfer(2) and leader.propose([b"y"]) is None, "meanwhile nothing is taken"
    for _ in range(2):
        leader.tick()
        wire.settle()
    assert (wire.members[2].role, wire.members[2].term, leader.role) == (LEADER, 2, FOLLOWER)
    assert terms(wire.members[2]) == [1, 1, 2]


def test_a_transfer_that_fails_is_given_up_after_an_election_timeout() -> None:
    wire = elected(5)
    leader = wire.members[1]
    wire.cut(2)
    leader.transfer(2)
    for _ in range(FULL.election_ticks):
        leader.tick()
        wire.settle()
    assert leader.role == LEADER and leader.propose([b"x"]) is not None
    assert not leader.transfer(1) and not leader.transfer(77)


def test_a_leader_counts_its_own_disk_only_when_it_has_the_entry() -> None:
    """It sends what it is still writing itself; one follower's disk is then one of three."""
    wire = elected()
    leader = wire.members[1]
    leader.propose([b"x"])
    ready = leader.ready()
    assert [m.kind for m in ready.at_once] == ["append", "append"] and ready.entries
    leader.step(Message("append-reply", 2, 1, leader.term, index=2))
    assert leader.log.committed == 1
    leader.advance(ready)
    assert leader.log.committed == 2


def test_one_change_of_membership_at_a_time() -> None:
    wire = elected()
    leader = wire.members[1]
    wire.cut(2, 3)
    assert leader.propose_change(b"add 4")
    assert not leader.propose_change(b"add 5"), "the first is not applied yet"
    leader.step(Message("propose", 2, 1, leader.term, entries=(Entry(0, 0, b"add 5", True), Entry(0, 0, b"x"))))
    assert [e.data for e in leader.log.between(2, 9)] == [b"add 4", b"x"]
    wire.cut()
    for _ in range(3):
        leader.tick()
        wire.settle()
    assert leader.propose_change(b"add 5")


def test_no_change_before_the_first_entry_of_the_leaders_term_is_applied() -> None:
    wire = Wire(3, options=FULL)
    wire.members[1].campaign()
    while wire.members[1].role != LEADER:
        wire.deliver(wire.collect()[0])
    assert not wire.members[1].propose_change(b"add 4")


def test_a_change_is_applied_only_when_its_commitment_is_on_disk() -> None:
    """Or a member that restarts would count the votes of a configuration that is two changes old."""
    follower = Raft(1, Configuration(frozenset({1, 2, 3})), Random(1), log_of([1]), HardState(1))
    change = Entry(1, 2, b"add 4", True)
    follower.step(Message("append", 2, 1, term=1, index=1, log_term=1, entries=(change, Entry(1, 3, b"x")), commit=1))
    follower.advance(follower.ready())
    follower.step(Message("heartbeat", 2, 1, term=1, commit=3))
    first = follower.ready()
    assert first.hard_state == HardState(1, 0, 3) and first.committed == []
    follower.advance(first)
    assert [entry.index for entry in follower.ready().committed] == [2, 3]


def test_nobody_stands_for_election_with_a_change_committed_and_not_applied() -> None:
    log = log_of([1])
    log.append([Entry(1, 2, b"add 4", True)])
    log.stable = 2
    voter = Raft(1, Configuration(frozenset({1, 2, 3})), Random(1), log, HardState(1, 0, 2))
    voter.campaign()
    assert voter.role == FOLLOWER


def test_a_learner_gets_the_log_and_counts_for_nothing() -> None:
    voters, learners = frozenset({1, 2, 3}), frozenset({4})
    leader = Raft(1, Configuration(voters, learners), Random(1), options=Options(pre_vote=False))
    leader.campaign()
    leader.step(Message("vote-reply", 4, 1, term=1))
    assert leader.role != LEADER, "its vote is none"
    leader.step(Message("vote-reply", 2, 1, term=1))
    assert 4 in {m.to for m in leader.ready().messages}
    leader.log.stable = 1
    leader.step(Message("append-reply", 4, 1, term=1, index=1))
    assert leader.log.committed == 0, "its disk is none"
    leader.step(Message("append-reply", 3, 1, term=1, index=1))
    assert leader.log.committed == 1
    learner = Raft(4, Configuration(voters, learners), Random(1))
    for _ in range(100):
        learner.tick()
    assert learner.role == FOLLOWER


def test_a_removed_leader_tells_the_others_before_it_leads_no_more() -> None:
    """Each notice of the commitment is lost; the heartbeats that follow tell it. Then it has nothing more to say."""
    wire = elected()
    removed = wire.members[1]
    removed.propose_change(b"remove 1")
    wire.work(1)
    for follower in (2, 3):
        removed.step(Message("append-reply", follower, 1, removed.term, removed.log.last))
    ready = removed.ready()
    assert {m.commit for m in ready.notices} == {removed.log.last}, "these are the ones that are lost"
    removed.advance(ready)
    removed.reconfigure(Configuration(frozenset({2, 3})))
    assert removed.role == LEADER and removed.propose([b"x"]) is None, "it takes nothing new"
    told = []
    for _ in range(removed.options.election_ticks):
        assert removed.role == LEADER
        removed.tick()
        told += removed.ready().at_once
    assert {(m.kind, m.to) for m in told} == {("heartbeat", 2), ("heartbeat", 3)}
    assert all(m.commit == removed.log.last for m in told)
    assert removed.role == FOLLOWER
    removed.campaign()
    assert removed.role == FOLLOWER
    alone = elected().members[1]
    alone.reconfigure(Configuration())
    assert alone.role == FOLLOWER, "nobody is left to be told"


def test_a_smaller_majority_may_commit_what_waited() -> None:
    wire = elected()
    leader = wire.members[1]
    wire.cut(2, 3)
    leader.propose([b"x"])
    wire.settle()
    assert leader.log.committed == 1
    leader.reconfigure(Configuration(frozenset({1})))
    assert leader.log.committed == 2


def test_who_needs_what_the_log_has_no_more_gets_a_snapshot() -> None:
    wire = elected()
    leader = wire.members[1]
    wire.cut(3)
    for i in range(10):
        leader.propose([b"%d" % i])
        wire.settle()
    leader.log.compact(leader.log.applied)
    wire.cut()
    leader.tick()
    while leader.progress[3].state != SNAPSHOT:
        wire.deliver(wire.collect()[0])
    snapshot = next(m for m in wire.waiting if m.kind == "snapshot")
    assert (snapshot.index, snapshot.log_term, snapshot.configuration) == (11, 1, leader.configuration)
    wire.members[3].step(snapshot._replace(payload="the state"))
    ready = wire.members[3].ready()
    assert ready.snapshot is not None and ready.snapshot.payload == "the state"
    assert (wire.members[3].log.first, wire.members[3].log.applied) == (12, 11)
    wire.waiting = list(ready.messages)
    wire.members[3].advance(ready)
    leader.propose([b"after"])
    wire.settle()
    assert wire.applied[3][-1] == b"after"


def test_a_snapshot_that_did_not_arrive_is_sent_again() -> None:
    wire = elected()
    leader = wire.members[1]
    leader.log.compact(leader.log.applied)
    leader.progress[3].become(SNAPSHOT)
    leader.progress[3].pending_snapshot, leader.progress[3].match = 1, 0
    leader.snapshot_sent(3, arrived=False)
    assert (leader.progress[3].state, leader.progress[3].next, leader.progress[3].may_send()) == ("probe", 1, False)
    leader.tick()
    heartbeat = next(m for m in wire.collect() if m.to == 3)
    leader.step(Message("heartbeat-reply", 3, 1, leader.term, context=heartbeat.context))
    assert [m.kind for m in wire.work(1)] == ["snapshot"]


def test_an_old_snapshot_is_not_taken() -> None:
    follower = Raft(1, Configuration(frozenset({1, 2, 3})), Random(1), log_of([1, 1, 1]), HardState(1, 0, 3))
    follower.step(Message("snapshot", 2, 1, 1, index=2, log_term=1, configuration=follower.configuration))
    ready = follower.ready()
    assert ready.snapshot is None and ready.messages[0].index == 3


def test_a_member_whose_disk_lost_what_it_acknowledged_says_so() -> None:
    follower = Raft(1, Configuration(frozenset({1, 2, 3})), Random(1), log_of([1]), HardState(1))
    with pytest.raises(LostEntries, match="ends with entry 1, and entry 5 was acknowledged"):
        follower.step(Message("heartbeat", 2, 1, term=1, commit=5))


def test_reads_wait_for_a_round_that_began_after_them() -> None:
    wire = elected()
    leader = wire.members[1]
    leader.tick()
    old = [m for m in wire.collect() if m.kind == "heartbeat"]
    leader.read_index(7)
    for message in old:
        wire.deliver(message)
    for answer in [m for m in wire.waiting if m.kind == "heartbeat-reply" and m.context == old[0].context]:
        wire.deliver(answer)
    assert not leader.reads, "that round proves nothing about now"
    ready = leader.ready()
    leader.step(Message("heartbeat-reply", 2, 1, leader.term, context=ready.at_once[0].context if ready else 2))
    assert (leader.reads or leader.ready().reads) == [(7, 1)]


def test_a_read_waits_for_the_first_entry_of_the_term() -> None:
    wire = Wire(3, {1: [1, 1], 2: [1, 1], 3: [1, 1]}, FULL)
    leader = wire.members[1]
    leader.campaign()
    while leader.role != LEADER:
        wire.deliver(wire.collect()[0])
    leader.read_index(7)
    assert leader.postponed_reads and not leader.round_due
    wire.settle()
    leader.tick()
    reads = []
    while wire.collect():
        wire.deliver(wire.waiting[0])
        reads += leader.reads
    assert leader.log.committed == 3 and not leader.postponed_reads


def test_a_follower_asks_the_leader_for_a_read() -> None:
    wire = elected()
    wire.members[2].read_index(7)
    reads: list[tuple[int, int]] = []
    while wire.collect():
        message = wire.waiting[0]
        wire.waiting.remove(message)
        wire.members[message.to].step(message)
        reads += wire.members[2].reads
        wire.waiting += wire.work(message.to)
    assert reads == [(7, 1)]


def test_under_a_lease_a_read_needs_no_round_and_the_lease_runs_out() -> None:
    wire = elected(options=LEASE)
    leader = wire.members[1]
    leader.tick()
    wire.settle()
    leader.read_index(1)
    assert leader.reads == [(1, 1)] and not leader.round_due
    leader.reads.clear()
    for _ in range(8):
        leader.elapsed = 0
        leader.tick()
        wire.collect()
    wire.waiting.clear()
    leader.read_index(2)
    assert not leader.reads and leader.pending_reads, "nobody has answered for most of an election timeout"
