"""Whatever a learner does, the lab says what to do next and loses nothing."""

import pytest
from IPython.testing.globalipapp import start_ipython

from workshop.cluster.board import World
from workshop.lessons import checks, load_ipython_extension, magic
from workshop.lessons.exercise import TIERS, Finding
from workshop.lessons.lab import Lab
from workshop.lessons.progress import Progress
from workshop.lessons.show import Indicator
from workshop.lessons.tour import EXERCISES, SECTIONS

FAILED = Finding("the pods", "there is no pod late", "make one")


class Feed:
    """A board's feed that stands still."""

    def __init__(self, world=None, synced=True):
        self.world, self.synced, self.sequence = world or World((), (), {}, frozenset()), synced, 0

    def wait_for_change(self, after, timeout):
        return False


def judged(lab, monkeypatch, finding):
    monkeypatch.setattr(lab, "_judge", lambda exercise, limit, indicator: finding)


def test_a_check_before_its_cell(lab, capsys):
    assert lab.check() is False
    assert "Run its cell first" in capsys.readouterr().out
    assert lab.check("nonsense") is False
    assert "it has three truths, no node, a favourite pod" in capsys.readouterr().out
    lab.hint()
    lab.solution()
    assert capsys.readouterr().out.count("Run its cell first") == 2


def test_a_check_without_a_cluster(lab, capsys):
    lab.exercise("no node")
    assert lab.check() is False
    said = capsys.readouterr().out
    assert "workshop up" in said or "lab.up()" in said
    for act in (lambda: lab.stop("etcd"), lab.ps, lab.board, lambda: lab.swap("etcd", "def f(): ...")):
        act()
        assert "next: lab.up()" in capsys.readouterr().out


@pytest.mark.parametrize("synced, running, next_", [(False, (), "lab.up()"), (True, ("etcd",), "kube-apiserver")])
def test_a_check_with_a_dead_cluster(synced, running, next_):
    found = checks.look(EXERCISES[0], Feed(World((), (), {}, frozenset(running)), synced), lambda: None)
    assert not found.passed and next_ in f"{found.wrong} {found.hint}" and "lab.up()" in found.hint


def test_a_judge_that_stumbles_does_not_end_the_lab():
    running = frozenset(("etcd", "kube-apiserver"))
    found = checks.look(EXERCISES[0], Feed(World((), (), {}, running)), lambda: 1 // 0)
    assert "ZeroDivisionError" in found.wrong and "catch_up" in found.hint


def test_a_check_twice_and_out_of_order(lab, capsys, monkeypatch):
    judged(lab, monkeypatch, FAILED)
    lab.check("no node")  # before its own cell, and before the exercises in front of it
    assert "it builds on 'stop kube-scheduler': lab.catch_up(" in capsys.readouterr().out
    judged(lab, monkeypatch, Finding("the pods"))
    assert lab.check("no node") and lab.check("no node")
    step = lab.store.steps("tour")["no node"]
    assert (step["passed"], step["tries"], step["stuck_since"]) == (True, 3, 0.0)
    judged(lab, monkeypatch, FAILED)
    assert lab.check("no node") is False
    assert lab.store.steps("tour")["no node"]["passed"], "what was solved once stays solved"


def test_a_restarted_kernel_knows_where_it_was(lab, capsys, monkeypatch):
    judged(lab, monkeypatch, FAILED)
    lab.predict("who?", "me")
    lab.section("stop kube-scheduler")
    lab.exercise("no node")
    lab.check()
    lab.hint()
    again = Lab("tour", EXERCISES, SECTIONS)  # as the first cell of a new kernel makes it
    capsys.readouterr()
    again.hint()
    assert "hint 2 of 4" in capsys.readouterr().out
    again.observe("who?", "kube-apiserver")
    assert "me" in capsys.readouterr().out
    assert "✗ not yet" in repr(again.progress()) and "there is no pod late" in repr(again.progress())


def test_a_new_kernel_says_which_cell_to_run(capsys):
    shell = start_ipython() or __import__("IPython").get_ipython()
    load_ipython_extension(shell)
    load_ipython_extension(shell)
    assert shell.events.callbacks["post_run_cell"].count(magic._after_cell) == 1
    shell.user_ns.pop("lab", None)
    shell.run_cell("lab.check()")
    assert "run the first cell of this lab" in capsys.readouterr().out
    shell.run_cell("nothing_of_the_kind")
    assert "NameError" in capsys.readouterr().out


def test_without_a_front_end_all_is_text(lab, capsys, monkeypatch):
    judged(lab, monkeypatch, FAILED)
    lab.exercise("no node")
    lab.check()
    said = capsys.readouterr().out
    assert "▸ Exercise: no node" in said and "✗ not yet: no node" in said and "next: lab.hint()" in said
    assert "<div" not in said


def test_a_corrupt_progress_file(lab, home, capsys, monkeypatch):
    judged(lab, monkeypatch, Finding("the pods"))
    (home / "progress.json").write_text("{")
    assert lab.check("no node") is True
    assert "it is kept as" in capsys.readouterr().out
    assert Progress().steps("tour")["no node"]["passed"]


def test_an_interrupted_check(lab, capsys, monkeypatch):
    def interrupted(exercise, limit, indicator):
        raise KeyboardInterrupt

    monkeypatch.setattr(lab, "_judge", interrupted)
    assert lab.check("no node") is False
    assert "nothing is lost" in capsys.readouterr().out


def test_the_indicator_shows_what_is_looked_at(capsys):
    running = frozenset(("etcd", "kube-apiserver"))
    feed = Feed(World((), (), {}, running))
    sight = lambda: type("Sight", (), {"world": feed.world, "swapped": (), "own": ()})()  # noqa: E731
    found = checks.watch(EXERCISES[0], feed, sight, 0.02, Indicator())
    assert not found.passed
    said = capsys.readouterr().out
    assert "checking three truths" in said and "looking at: the Deployments" in said


def test_hints_go_from_tier_to_tier_with_the_failures_own_first(lab, capsys, monkeypatch):
    for exercise in EXERCISES:
        judged(lab, monkeypatch, FAILED)
        lab.check(exercise.name)
        capsys.readouterr()
        for _ in TIERS:
            lab.hint(exercise.name)
        said = capsys.readouterr().out
        places = [said.index(tier) for tier in TIERS]
        assert places == sorted(places)
        assert (
            said.index(FAILED.wrong) < said.index(FAILED.hint) < said.index(exercise.where) < said.index(exercise.half)
        )
        assert exercise.solution in said
    judged(lab, monkeypatch, Finding("the pods", "another thing is wrong"))
    lab.check("no node")
    capsys.readouterr()
    lab.hint("no node")
    assert "hint 1 of 4" in capsys.readouterr().out, "another failure begins with its own hint"


def test_a_placeholder_is_no_prediction(lab, capsys):
    lab.predict("who?", "…write your answer here…")
    assert "write your own guess" in capsys.readouterr().out
    assert lab.store.steps("tour") == {}


def test_kubectl_with_a_lonely_quote(capsys):
    magic.kubectl("get pods 'web")
    assert "No closing quotation" in capsys.readouterr().out
