"""What lab 02 does to a learner's rules: single cases first, then whole clusters in simulation, with faults by a seed.

The simulation is that of `workshop.sim`: the real cores on virtual time, and Raft's promises checked after each step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workshop.etcd.raft import Rules
from workshop.etcd.raft.election import Candidate, Voter
from workshop.sim.campaign import SECONDS, QuietEnd, begin, simulation_of
from workshop.sim.invariants import Violation

from .exercise import Scenario, Trial

Rule = Callable[..., Any]


def _schedule(seed: int, rules: Callable[[Rule], Rules], calm: bool = False) -> Trial:
    members = len(simulation_of(seed).members)
    what = "without faults" if calm else "with crashes, cuts and lost messages"
    many = f"{members} member{'s' * (members != 1)}"

    def play(function: Rule) -> str:
        simulation = simulation_of(seed, rules=rules(function))
        try:
            if not calm:
                begin(simulation, SECONDS)
            simulation.run(SECONDS)
            QuietEnd(simulation).check()
        except Violation as violation:
            return f"after {simulation.now:.1f} s: {violation}"
        return ""

    return Trial(f"a simulated cluster of {many} {what} (seed {seed})", play)


def _vote(story: str, me: Voter, candidate: Candidate, right: bool) -> Scenario:
    def judge(result: Any, _: tuple[Any, ...]) -> str:
        return "" if result is right else f"{me} was asked by {candidate}: the answer is {right}, yours was {result}"

    return Scenario(story, lambda: (me, candidate), judge)


VOTES: tuple[Scenario | Trial, ...] = (
    _vote("nobody else has asked, and its log is as long", Voter(2, 0, 0, 1, 5), Candidate(3, 2, 1, 5), True),
    _vote("another has this term's vote", Voter(2, 1, 0, 1, 5), Candidate(3, 2, 1, 5), False),
    _vote("the same asks twice, since the answer was lost", Voter(2, 3, 0, 1, 5), Candidate(3, 2, 1, 5), True),
    _vote("its log is shorter", Voter(2, 0, 0, 1, 5), Candidate(3, 2, 1, 4), False),
    _vote("its log is longer, but ends in an older term", Voter(4, 0, 0, 3, 5), Candidate(3, 4, 2, 9), False),
    _vote("its log is shorter, but ends in a newer term", Voter(4, 0, 0, 2, 9), Candidate(3, 4, 3, 5), True),
    _vote("a pre-vote for a later term", Voter(2, 1, 0, 1, 5), Candidate(3, 3, 1, 5, pre=True), True),
    _vote("a pre-vote with a log that lacks something", Voter(2, 0, 0, 2, 5), Candidate(3, 3, 1, 7, pre=True), False),
    _schedule(3, lambda rule: Rules(may_vote=rule), calm=True),
    *(_schedule(seed, lambda rule: Rules(may_vote=rule)) for seed in (1, 5, 8, 30, 72)),
)


def _commit(story: str, on_disk: list[int], committed: int, term: int, terms: list[int], right: int) -> Scenario:
    def given() -> tuple[Any, ...]:
        return list(on_disk), committed, term, list(terms)

    def judge(result: Any, _: tuple[Any, ...]) -> str:
        case = f"on_disk={on_disk}, committed={committed}, term={term}, terms={terms}"
        return "" if result == right else f"{case}: {right} is right, yours was {result}"

    return Scenario(story, given, judge)


COMMITS: tuple[Scenario | Trial, ...] = (
    _commit("two of three have it", [7, 6, 4], 4, 3, [2, 3, 3], 6),
    _commit("only the leader has it", [7, 4, 4], 4, 3, [3, 3, 3], 4),
    _commit("a cluster of one", [3], 0, 1, [1, 1, 1], 3),
    _commit("two of four are no majority", [9, 9, 5, 5], 5, 2, [2, 2, 2, 2], 5),
    _commit("three of five", [9, 8, 7, 2, 2], 2, 2, [2] * 7, 7),
    _commit("a new leader does not know yet what others have", [7, 0, 0], 4, 3, [3, 3, 3], 4),
    _commit("a majority has it, but it is of an older term (figure 8)", [7, 5, 4], 4, 3, [2, 3, 3], 4),
    _commit("older entries go along with one of the leader's own term", [7, 7, 4], 4, 3, [2, 2, 3], 7),
    _schedule(3, lambda rule: Rules(commit_index=rule), calm=True),
    *(_schedule(seed, lambda rule: Rules(commit_index=rule)) for seed in (1, 2, 5, 8, 11)),
)
