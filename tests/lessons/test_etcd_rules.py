"""Lab 02's hidden cases and fault schedules find what is wrong with a rule, and pass the real ones."""

import inspect

import pytest

from workshop import hooks
from workshop.etcd.raft import election, replication
from workshop.lessons import etcd_lab, etcd_scenarios, judge
from workshop.lessons.exercise import Trial

VOTE = "def may_vote(me, candidate):\n    newer = {newer}\n    return {free} and newer\n"
FREE = "(me.vote == candidate.id or not me.vote and not me.leader or candidate.pre and candidate.term > me.term)"
NEWER = "(candidate.last_term, candidate.last_index) >= (me.last_term, me.last_index)"
COMMIT = "def commit_index(on_disk, committed, term, terms):\n    return {}\n"


def judged(hook, source, scenarios):
    hooks.of("etcd")
    return judge.run("etcd", hook, source, scenarios)


@pytest.mark.parametrize("exercise", etcd_lab.EXERCISES[2:], ids=lambda exercise: exercise.name)
def test_the_solution_passes_and_the_likely_mistake_does_not(exercise):
    scenarios = getattr(etcd_scenarios, exercise.swap.scenarios.partition(":")[2])
    solution = exercise.solution.partition("\n\nlab.")[0]
    assert judged(exercise.swap.hook, solution, scenarios).wrong == ""
    assert judged(exercise.swap.hook, exercise.mistake, scenarios).wrong


@pytest.mark.parametrize(
    "newer, free, words",
    [
        ("True", FREE, "leader completeness"),
        ("candidate.last_index >= me.last_index", FREE, "leader completeness"),
        ("candidate.last_term >= me.last_term", FREE, "leader completeness"),
        (NEWER, "True", "election safety"),
        (NEWER, "False", "progress"),
    ],
)
def test_fault_schedules_alone_find_a_wrong_vote(newer, free, words):
    schedules = [one for one in etcd_scenarios.VOTES if isinstance(one, Trial)]
    found = judged("raft.may_vote", VOTE.format(newer=newer, free=free), schedules)
    assert words in found.wrong and "seed" in found.wrong


@pytest.mark.parametrize(
    "rule, words",
    [
        ("max(committed, on_disk and max(on_disk))", "leader completeness"),
        ("committed", "progress"),
    ],
)
def test_fault_schedules_alone_find_a_wrong_commit(rule, words):
    schedules = [one for one in etcd_scenarios.COMMITS if isinstance(one, Trial)]
    found = judged("raft.commit_index", COMMIT.format(rule), schedules)
    assert words in found.wrong and "seed" in found.wrong


def test_the_cases_agree_with_the_rules_that_run():
    for scenarios, stock in (
        (etcd_scenarios.VOTES, election.may_vote),
        (etcd_scenarios.COMMITS, replication.commit_index),
    ):
        for one in scenarios:
            if isinstance(one, Trial):
                assert one.play(stock) == ""
            else:
                given = one.given()
                assert one.judge(inspect.unwrap(stock)(*given), given) == ""
