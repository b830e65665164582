"""Section 5 of the Raft paper (extended version), sentence by sentence; each test names its subsection.

The core runs without PreVote and CheckQuorum here, which the paper does not have.
"""

from __future__ import annotations

import pytest

from tests.etcd.wire import PAPER, Wire, member, terms
from workshop.etcd.raft import CANDIDATE, FOLLOWER, LEADER, Entry, HardState, Message

# 5.1 basics


@pytest.mark.parametrize(("size", "down", "works"), [(5, 2, True), (5, 3, False), (3, 1, True), (3, 2, False)])
def test_5_1_a_minority_may_fail(size: int, down: int, works: bool) -> None:
    wire = Wire(size)
    leader = wire.elect(1)
    wire.cut(*range(2, 2 + down))
    leader.propose([b"x"])
    wire.settle()
    assert (wire.applied[1] == [b"x"]) == works


def test_5_1_one_leads_and_all_others_follow() -> None:
    wire = Wire(5)
    wire.elect(3)
    assert [m.role for m in wire.members.values()] == [FOLLOWER, FOLLOWER, LEADER, FOLLOWER, FOLLOWER]


def test_5_1_followers_say_nothing_of_themselves() -> None:
    follower = member()
    for _ in range(PAPER.election_ticks - 1):
        follower.tick()
    assert not follower.ready().messages


def test_5_1_a_client_that_asks_a_follower_is_passed_on_to_the_leader() -> None:
    wire = Wire(3)
    wire.elect(1)
    wire.members[2].propose([b"x"])
    assert [(m.kind, m.to) for m in wire.work(2)] == [("propose", 1)]


def test_5_1_terms_are_consecutive_and_each_begins_with_an_election() -> None:
    wire = Wire(3)
    assert [wire.elect(id).term for id in (1, 2, 3, 1)] == [1, 2, 3, 4]


def test_5_1_a_split_vote_leaves_a_term_without_a_leader_and_a_new_one_begins() -> None:
    wire = Wire(4)
    wire.members[1].campaign()
    wire.members[2].campaign()
    for message in list(wire.collect()):
        if message.to in (3, 4) and message.to == message.sender + 2:  # 3 votes for 1, and 4 for 2
            wire.deliver(message)
    wire.settle()
    assert not any(m.role == LEADER for m in wire.members.values())
    assert wire.elect(1).term == 2


def test_5_1_the_term_only_grows_and_is_exchanged_in_every_message() -> None:
    voter = member(state=HardState(7))
    voter.step(Message("append", 2, 1, term=9))
    assert voter.term == 9
    voter.step(Message("append", 3, 1, term=8))
    assert voter.term == 9
    assert all(m.term == 9 for m in voter.ready().messages)


@pytest.mark.parametrize("role", [CANDIDATE, LEADER])
def test_5_1_who_finds_its_term_out_of_date_follows_at_once(role: str) -> None:
    wire = Wire(3)
    if role == LEADER:
        wire.elect(1)
    else:
        wire.members[1].campaign()
    wire.members[1].step(Message("append-reply", 2, 1, term=9))
    assert (wire.members[1].role, wire.members[1].term) == (FOLLOWER, 9)


@pytest.mark.parametrize("kind", ["append", "heartbeat", "vote", "snapshot"])
def test_5_1_a_request_of_an_old_term_changes_nothing(kind: str) -> None:
    voter = member(state=HardState(5))
    voter.step(Message(kind, 2, 1, term=4, entries=(Entry(4, 1, b"old"),), commit=1))
    assert (voter.log.last, voter.vote, voter.leader, voter.log.committed) == (0, 0, 0, 0)
    assert all(m.term == 5 and m.reject for m in voter.ready().messages), "and its sender is told the term"


def test_5_1_candidates_ask_for_votes_and_leaders_for_appending_in_parallel() -> None:
    wire = Wire(5)
    wire.members[1].campaign()
    assert [(m.kind, m.to) for m in wire.work(1)] == [("vote", id) for id in (2, 3, 4, 5)]
    leader = wire.elect(2)
    leader.propose([b"x"])
    assert [(m.kind, m.to) for m in wire.work(2)] == [("append", id) for id in (1, 3, 4, 5)]


# 5.2 leader election


def test_5_2_servers_begin_as_followers_and_remain_so_while_they_hear_a_leader() -> None:
    follower = member()
    assert follower.role == FOLLOWER
    for _ in range(5 * PAPER.election_ticks):
        follower.tick()
        follower.step(Message("heartbeat", 2, 1, term=1))
    assert (follower.role, follower.leader) == (FOLLOWER, 2)


def test_5_2_a_granted_vote_counts_as_a_sign_too() -> None:
    follower = member()
    for _ in range(PAPER.election_ticks - 1):
        follower.tick()
    follower.step(Message("vote", 2, 1, term=1))
    for _ in range(PAPER.election_ticks - 1):
        follower.tick()
    assert follower.role == FOLLOWER


def test_5_2_a_leader_sends_heartbeats_all_the_time() -> None:
    wire = Wire(3)
    leader = wire.elect(1)
    for _ in range(3):
        leader.tick()
        assert [(m.kind, m.to) for m in wire.work(1)] == [("heartbeat", 2), ("heartbeat", 3)]


def test_5_2_silence_over_an_election_timeout_begins_an_election() -> None:
    follower = member(state=HardState(3))
    for _ in range(2 * PAPER.election_ticks):
        follower.tick()
        if follower.role == CANDIDATE:
            break
    assert (follower.term, follower.vote, follower.votes) == (4, 1, {1: True}), "the term is raised, the vote its own"
    assert [(m.kind, m.to) for m in follower.ready().messages] == [("vote", 2), ("vote", 3)]


@pytest.mark.parametrize(
    ("size", "answers", "role"),
    [
        (3, {}, CANDIDATE),
        (3, {2: True}, LEADER),
        (3, {2: False}, CANDIDATE),
        (3, {2: False, 3: False}, FOLLOWER),
        (5, {2: True}, CANDIDATE),
        (5, {2: True, 3: True}, LEADER),
        (5, {2: True, 3: False, 4: False, 5: False}, FOLLOWER),
        (1, {}, LEADER),
    ],
)
def test_5_2_a_majority_of_the_whole_cluster_elects(size: int, answers: dict[int, bool], role: str) -> None:
    candidate = member(size=size)
    candidate.campaign()
    for voter, yes in answers.items():
        candidate.step(Message("vote-reply", voter, 1, term=1, reject=not yes))
    assert candidate.role == role


def test_5_2_votes_of_another_term_do_not_count() -> None:
    candidate = member(state=HardState(1))
    candidate.campaign()
    candidate.step(Message("vote-reply", 2, 1, term=1))
    assert candidate.role == CANDIDATE


@pytest.mark.parametrize(("vote", "asks", "granted"), [(0, 2, True), (2, 2, True), (2, 3, False), (3, 2, False)])
def test_5_2_one_vote_a_term_first_come_first_served(vote: int, asks: int, granted: bool) -> None:
    voter = member(state=HardState(1, vote))
    voter.step(Message("vote", asks, 1, term=1))
    assert [m.reject for m in voter.ready().messages] == [not granted]


def test_5_2_the_vote_is_on_disk_before_it_is_told_and_survives_a_crash() -> None:
    wire = Wire(3)
    voter = wire.members[1]
    voter.step(Message("vote", 2, 1, term=1))
    ready = voter.ready()
    assert ready.hard_state == HardState(1, 2, 0) and ready.messages and not ready.at_once
    voter.advance(ready)
    voter = wire.restart(1)
    voter.step(Message("vote", 3, 1, term=1))
    assert voter.ready().messages[0].reject


def test_5_2_a_vote_in_a_term_already_known_is_on_disk_too() -> None:
    wire = Wire(3)
    voter = wire.members[1]
    voter.step(Message("append-reply", 3, 1, term=4))
    wire.work(1)
    voter.step(Message("vote", 2, 1, term=4))
    wire.work(1)
    voter = wire.restart(1)
    voter.step(Message("vote", 3, 1, term=4))
    assert voter.ready().messages[0].reject


def test_5_2_the_winner_tells_all_others_at_once() -> None:
    wire = Wire(3)
    wire.members[1].campaign()
    for request in list(wire.collect()):
        wire.deliver(request)
    reply = next(m for m in wire.waiting if m.kind == "vote-reply")
    wire.deliver(reply)
    assert {m.to for m in wire.waiting if m.kind == "append"} == {2, 3}


@pytest.mark.parametrize(("term", "role"), [(2, FOLLOWER), (3, FOLLOWER), (1, CANDIDATE)])
def test_5_2_a_candidate_that_hears_a_leader_follows_it_unless_its_term_is_old(term: int, role: str) -> None:
    candidate = member(state=HardState(1))
    candidate.campaign()
    candidate.step(Message("append", 2, 1, term=term))
    assert candidate.role == role and (role == CANDIDATE or candidate.leader == 2)


def test_5_2_a_candidate_without_a_winner_begins_a_new_term() -> None:
    candidate = member()
    candidate.campaign()
    for _ in range(2 * PAPER.election_ticks):
        candidate.tick()
    assert candidate.term == 2


def test_5_2_patience_is_drawn_anew_for_each_election_from_a_fixed_interval() -> None:
    voter = member()
    drawn = set()
    for _ in range(400):
        voter.campaign()
        drawn.add(voter.timeout)
    assert drawn == set(range(PAPER.election_ticks, 2 * PAPER.election_ticks))


def test_5_2_so_split_votes_are_rare() -> None:
    """Two of ten ticks are the same once in ten times."""
    patience = [member(id).timeout for id in range(1, 601)]
    assert sum(one == other for one, other in zip(patience[::2], patience[1::2], strict=True)) < 60


# 5.3 log replication


def test_5_3_an_entry_is_appended_sent_to_all_applied_when_safe_and_then_answered() -> None:
    wire = Wire(3)
    leader = wire.elect(1)
    assert leader.propose([b"x"]) == 2
    sent = wire.work(1)
    assert [(m.to, [e.data for e in m.entries]) for m in sent] == [(2, [b"x"]), (3, [b"x"])]
    assert wire.applied[1] == [], "one disk is no majority"
    wire.waiting += sent
    wire.settle()
    assert wire.applied == {1: [b"x"], 2: [b"x"], 3: [b"x"]}


def test_5_3_the_leader_tries_again_for_ever() -> None:
    wire = Wire(3)
    leader = wire.elect(1)
    wire.cut(3)
    leader.propose([b"x"])
    wire.settle()
    for _ in range(50):
        leader.tick()
        wire.settle()
    wire.cut()
    for _ in range(3):
        leader.tick()
        wire.settle()
    assert wire.applied[3] == [b"x"], "also after it has answered the client"


def test_5_3_an_entry_holds_its_term_and_its_place() -> None:
    wire = Wire(3)
    wire.elect(1)
    leader = wire.elect(2)
    leader.propose([b"x", b"y"])
    assert [(e.term, e.index, e.data) for e in leader.log.between(1, 9)] == [
        (1, 1, b""),
        (2, 2, b""),
        (2, 3, b"x"),
        (2, 4, b"y"),
    ]


def test_5_3_a_commitment_commits_what_earlier_leaders_left_before_it() -> None:
    wire = Wire(3, {1: [1, 1, 2], 2: [1, 1, 2], 3: [1]})
    wire.elect(1)
    assert wire.members[1].log.committed == 4
    assert wire.applied[3] == [b"1.1", b"1.2", b"2.3"]


def test_5_3_the_commit_mark_goes_with_later_messages_and_followers_apply_in_order() -> None:
    follower = member()
    entries = tuple(Entry(1, index, b"%d" % index) for index in (1, 2, 3))
    follower.step(Message("append", 2, 1, term=1, entries=entries))
    follower.advance(follower.ready())
    assert not follower.ready().committed
    follower.step(Message("heartbeat", 2, 1, term=1, commit=2))
    assert [e.data for e in follower.ready().committed] == [b"1", b"2"]


def test_5_3_a_follower_commits_no_further_than_it_agrees() -> None:
    follower = member(terms=[1, 1, 1])
    follower.step(Message("append", 2, 1, term=2, index=1, log_term=1, entries=(Entry(2, 2, b""),), commit=9))
    assert follower.log.committed == 2


@pytest.mark.parametrize(
    ("previous", "term", "fits"), [(0, 0, True), (1, 1, True), (2, 2, True), (2, 1, False), (3, 2, False)]
)
def test_5_3_an_append_is_refused_where_the_entry_before_it_does_not_fit(previous: int, term: int, fits: bool) -> None:
    follower = member(terms=[1, 2])
    follower.step(Message("append", 2, 1, term=2, index=previous, log_term=term))
    assert [m.reject for m in follower.ready().messages] == [not fits]


@pytest.mark.parametrize(
    ("sent_after", "entries", "becomes"),
    [
        (2, [3], [1, 2, 3]),
        (1, [3, 4], [1, 3, 4]),
        (0, [1], [1, 2]),  # what is there and fits is not cut off: the message may be an old one
        (0, [3], [3]),
    ],
)
def test_5_3_what_conflicts_is_deleted_with_all_that_follows(
    sent_after: int, entries: list[int], becomes: list[int]
) -> None:
    follower = member(terms=[1, 2])
    sent = tuple(Entry(term, sent_after + 1 + place, b"") for place, term in enumerate(entries))
    before = [0, 1, 2][sent_after]
    follower.step(Message("append", 2, 1, term=5, index=sent_after, log_term=before, entries=sent))
    assert terms(follower) == becomes


def test_5_3_a_new_leader_begins_behind_its_own_last_entry_and_goes_back_until_logs_agree() -> None:
    wire = Wire(3, {1: [1, 1, 3], 2: [1, 1, 2, 2], 3: [1]})
    wire.members[1].campaign()
    for request in list(wire.collect()):
        wire.deliver(request)
    wire.deliver(next(m for m in wire.waiting if m.kind == "vote-reply"))
    assert [(m.to, m.index) for m in wire.waiting if m.kind == "append"] == [(2, 3), (3, 3)]
    wire.settle()
    assert terms(wire.members[2]) == terms(wire.members[3]) == terms(wire.members[1]) == [1, 1, 3, 4]


def test_5_3_a_whole_term_is_skipped_in_one_refusal() -> None:
    wire = Wire(2, {1: [1, 5], 2: [1, *[4] * 30]})
    wire.members[1].campaign()
    refusals = 0
    while wire.collect():
        refusals += wire.waiting[0].kind == "append-reply" and wire.waiting[0].reject
        wire.deliver(wire.waiting[0])
    assert terms(wire.members[2]) == [1, 5, 6] and refusals <= 2


def test_5_3_a_leader_never_overwrites_or_deletes_what_is_in_its_own_log() -> None:
    wire = Wire(3, {1: [1, 1, 2, 2], 2: [1], 3: [1, 1, 1, 1, 1]})
    before = wire.members[1].log.between(1, 4)
    leader = wire.elect(1)
    assert leader.log.between(1, 4) == before == wire.members[3].log.between(1, 4)


def test_5_3_one_slow_follower_does_not_hold_up_the_others() -> None:
    wire = Wire(5)
    leader = wire.elect(1)
    wire.cut(5)
    for i in range(20):
        leader.propose([b"%d" % i])
        wire.settle()
    assert len(wire.applied[1]) == len(wire.applied[2]) == 20


# 5.4 safety


@pytest.mark.parametrize(
    ("mine", "theirs", "granted"),
    [
        ([1], [1], True),
        ([1], [1, 1], True),
        ([1, 1], [1], False),
        ([1, 1], [2], True),  # the later term counts, not the length
        ([2], [1, 1, 1], False),
        ([], [], True),
    ],
)
def test_5_4_1_no_vote_for_a_log_that_is_less_complete(mine: list[int], theirs: list[int], granted: bool) -> None:
    voter = member(terms=mine)
    last = theirs[-1] if theirs else 0
    voter.step(Message("vote", 2, 1, term=5, index=len(theirs), log_term=last))
    assert [m.reject for m in voter.ready().messages] == [not granted]


def test_5_4_1_so_entries_flow_from_leaders_to_followers_alone() -> None:
    wire = Wire(3, {1: [1, 1], 2: [1, 1], 3: [1]})
    wire.members[3].campaign()
    wire.settle()
    assert wire.members[3].role != LEADER
    assert wire.elect(2)


def test_5_4_2_an_entry_of_an_earlier_term_is_not_committed_by_counting() -> None:
    leader = member(terms=[2], state=HardState(2))
    leader.campaign()
    leader.step(Message("vote-reply", 2, 1, term=3))
    leader.advance(leader.ready())
    leader.step(Message("append-reply", 2, 1, term=3, index=1))
    assert leader.log.committed == 0
    leader.step(Message("append-reply", 2, 1, term=3, index=2))
    assert leader.log.committed == 2, "an entry of the own term is, and the earlier one with it"


def test_5_4_3_a_later_leader_has_every_committed_entry() -> None:
    wire = Wire(5)
    leader = wire.elect(1)
    wire.cut(4, 5)
    leader.propose([b"kept"])
    wire.settle()
    wire.cut(1)
    for late in (4, 5):
        wire.members[late].campaign()
        wire.settle()
        assert wire.members[late].role != LEADER
    assert b"kept" in [e.data for e in wire.elect(2).log.between(1, 9)]


# 5.5 crashes of followers and candidates


def test_5_5_requests_are_repeated_and_doing_one_twice_does_nothing() -> None:
    follower = member(terms=[1])
    append = Message("append", 2, 1, term=1, index=1, log_term=1, entries=(Entry(1, 2, b"x"),), commit=2)
    for _ in range(3):
        follower.step(append)
        follower.advance(follower.ready())
    assert terms(follower) == [1, 1] and follower.log.committed == 2


def test_5_5_a_follower_that_crashes_after_writing_hears_the_same_again() -> None:
    wire = Wire(3)
    leader = wire.elect(1)
    leader.propose([b"x"])
    for message in [m for m in wire.collect() if m.to == 2]:
        wire.deliver(message)
    wire.restart(2)  # its answer is lost
    for _ in range(3):
        leader.tick()
        wire.settle()
    assert wire.applied[1] == [b"x"] and terms(wire.members[2]) == [1, 1]


# 5.6 timing


def test_5_6_while_messages_are_faster_than_patience_there_is_a_steady_leader() -> None:
    wire = Wire(5)
    for _ in range(60):
        for raft in wire.members.values():
            raft.tick()
        wire.settle()
    elected = {(m.leader, m.term) for m in wire.members.values()}
    assert len(elected) == 1
    for _ in range(200):
        for raft in wire.members.values():
            raft.tick()
        wire.settle()
    assert {(m.leader, m.term) for m in wire.members.values()} == elected
