"""The consensus core: one test a sentence of the paper, on members wired together without a network."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from workshop.etcd.raft import LEADER, Configuration, Entry, HardState, Log, Message, Options, Raft


def member(id: int, voters: Iterable[int] = (1, 2, 3), log: Log | None = None, state: HardState | None = None) -> Raft:
    """One that votes without being asked twice: PreVote has tests of its own."""
    return Raft(
        id, Configuration(frozenset(voters)), Random(1), log or Log(), state or HardState(), Options(pre_vote=False)
    )


class Wired:
    """Members whose messages are delivered by hand; what each applied, and what each has on disk."""

    def __init__(self, ids: Iterable[int], seed: int = 1) -> None:
        random = Random(seed)
        voters = list(ids)
        self.members = {id: Raft(id, Configuration(frozenset(voters)), random) for id in voters}
        self.applied: dict[int, list[bytes]] = {id: [] for id in voters}
        self.disk: dict[int, tuple[HardState, dict[int, Entry]]] = {id: (HardState(), {}) for id in voters}
        self.cut: set[int] = set()

    def work(self, id: int) -> list[Message]:
        """Do what one member's ready says; its messages."""
        member = self.members[id]
        messages: list[Message] = []
        while ready := member.ready():
            state, entries = self.disk[id]
            for entry in ready.entries:
                entries[entry.index] = entry
            self.disk[id] = (ready.hard_state or state, entries)
            self.applied[id] += [entry.data for entry in ready.committed if entry.data]
            messages += [*ready.at_once, *ready.messages, *ready.notices]
            member.advance(ready)
        return messages

    def settle(self) -> None:
        """Deliver messages until there are none; members in `cut` hear and say nothing."""
        while messages := [m for id in self.members for m in self.work(id)]:
            for m in messages:
                if m.to not in self.cut and m.sender not in self.cut:
                    self.members[m.to].step(m)

    def elect(self, id: int) -> Raft:
        for member in self.members.values():
            member.elapsed = member.options.election_ticks  # nobody has heard a leader for a while
        self.members[id].campaign()
        self.settle()
        assert self.members[id].role == LEADER
        return self.members[id]


def test_a_cluster_of_one_elects_itself_and_commits_after_its_disk() -> None:
    wired = Wired([1])
    leader = wired.members[1]
    leader.campaign()
    assert leader.role == LEADER
    leader.propose([b"x"])
    ready = leader.ready()
    assert [entry.data for entry in ready.entries] == [b"", b"x"]
    assert not ready.committed and leader.log.committed == 0, "not on disk: not committed"
    leader.advance(ready)
    assert [entry.data for entry in leader.ready().committed] == [b"", b"x"]


def test_silence_makes_a_follower_campaign_and_only_one_leads() -> None:
    wired = Wired([1, 2, 3])
    for _ in range(200):
        for member in wired.members.values():
            member.tick()
        wired.settle()
    assert [member.role for member in wired.members.values()].count(LEADER) == 1
    assert len({member.leader for member in wired.members.values()}) == 1


def test_what_a_majority_has_is_applied_everywhere_in_one_order() -> None:
    wired = Wired([1, 2, 3])
    leader = wired.elect(1)
    wired.cut = {3}
    leader.propose([b"a"])
    leader.propose([b"b"])
    wired.settle()
    assert wired.applied[1] == [b"a", b"b"]
    wired.cut = set()
    leader.tick()
    wired.settle()
    leader.tick()
    wired.settle()
    assert wired.applied[1] == wired.applied[2] == wired.applied[3] == [b"a", b"b"]


def test_a_minority_commits_nothing_and_its_entries_are_replaced() -> None:
    wired = Wired([1, 2, 3])
    old = wired.elect(1)
    wired.cut = {1}
    old.propose([b"lost"])
    wired.settle()
    assert wired.applied[1] == []
    new = wired.elect(2)
    new.propose([b"kept"])
    wired.settle()
    wired.cut = set()
    new.tick()
    wired.settle()
    new.tick()
    wired.settle()
    assert wired.applied == {1: [b"kept"], 2: [b"kept"], 3: [b"kept"]}
    assert old.role != LEADER


def test_a_member_votes_once_a_term_and_not_for_a_shorter_log() -> None:
    voter = member(1)
    voter.step(Message("vote", 2, 1, term=1))
    voter.step(Message("vote", 3, 1, term=1))
    assert [(m.to, m.reject) for m in voter.ready().messages] == [(2, False), (3, True)]
    longer = Log()
    longer.append([Entry(1, 1, b"x")])
    voter = member(1, log=longer)
    voter.step(Message("vote", 2, 1, term=2, index=0, log_term=0))
    assert voter.ready().messages[0].reject


def test_a_vote_is_to_be_written_before_it_is_sent() -> None:
    voter = member(1)
    voter.step(Message("vote", 2, 1, term=5))
    ready = voter.ready()
    assert ready.hard_state is not None and ready.hard_state[:2] == (5, 2)


def test_a_restarted_member_remembers_its_vote() -> None:
    voter = member(1, state=HardState(5, 2, 0))
    voter.step(Message("vote", 3, 1, term=5))
    assert voter.ready().messages[0].reject


def test_entries_of_an_earlier_term_commit_only_along_with_one_of_this_term() -> None:
    """Figure 8: a majority has entry 1 of term 1, but a leader of term 3 may not count that."""
    log = Log()
    log.append([Entry(1, 1, b"old")])
    log.stable = 1
    leader = member(1, log=log, state=HardState(2, 1, 0))
    leader.campaign()
    leader.step(Message("vote-reply", 2, 1, term=3))
    leader.advance(leader.ready())
    leader.step(Message("append-reply", 2, 1, term=3, index=1))
    assert leader.log.committed == 0
    leader.step(Message("append-reply", 2, 1, term=3, index=2))
    assert leader.log.committed == 2


def test_a_linearizable_read_needs_a_round_of_heartbeats() -> None:
    wired = Wired([1, 2, 3])
    leader = wired.elect(1)
    leader.propose([b"x"])
    wired.settle()
    assert leader.read_index(7)
    ready = leader.ready()
    assert ready.reads == [] and all(m.kind == "heartbeat" for m in ready.at_once)
    leader.step(Message("heartbeat-reply", 2, 1, leader.term, context=ready.at_once[0].context))
    assert leader.ready().reads == [(7, leader.log.committed)]
    wired.members[2].read_index(8)
    assert [(m.kind, m.to) for m in wired.members[2].ready().messages] == [("read-index", 1)], "only a leader knows"


def test_a_late_append_does_not_cut_off_what_came_after() -> None:
    log = Log()
    assert log.merge(0, 0, [Entry(1, 1, b"a"), Entry(1, 2, b"b"), Entry(1, 3, b"c")]) == 3
    assert log.merge(0, 0, [Entry(1, 1, b"a")]) == 1
    assert log.last == 3
    assert log.merge(1, 1, [Entry(2, 2, b"B")]) == 2
    assert [entry.data for entry in log.between(1, log.last)] == [b"a", b"B"]
    assert log.merge(5, 2, []) is None


@pytest.mark.parametrize("seed", range(30))
def test_random_cuts_never_make_members_disagree(seed: int) -> None:
    """Safety under partitions: what two members applied is the same as far as both went, and an acknowledged
    command is never lost."""
    random = Random(seed)
    wired = Wired([1, 2, 3, 4, 5], seed)
    acknowledged: list[bytes] = []
    for step in range(120):
        wired.cut = set(random.sample([1, 2, 3, 4, 5], random.choice([0, 0, 1, 2])))
        for member in wired.members.values():
            if random.random() < 0.7:
                member.tick()
        leaders = [m for m in wired.members.values() if m.role == LEADER]
        if leaders:
            leader = random.choice(leaders)
            command = b"%d" % step
            leader.propose([command])
            wired.settle()
            if command in wired.applied[leader.id]:
                acknowledged.append(command)
        wired.settle()
    wired.cut = set()
    for _ in range(100):
        for member in wired.members.values():
            member.tick()
        wired.settle()
    logs = list(wired.applied.values())
    assert all(log == logs[0] for log in logs), f"seed {seed}"
    assert [command for command in logs[0] if command in set(acknowledged)] == acknowledged, f"seed {seed}"
    assert acknowledged, f"seed {seed} acknowledged nothing: no test"
