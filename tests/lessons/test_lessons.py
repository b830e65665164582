"""Exercises, hints and progress, without a cluster."""

import json

import pytest

from workshop.cluster.board import World
from workshop.lessons.exercise import TIERS
from workshop.lessons.lab import Lab
from workshop.lessons.progress import Progress
from workshop.lessons.tour import EXERCISES, three_truths, without_scheduler

CONTROL = frozenset(("etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager"))


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    return Lab("tour", EXERCISES, progress=Progress(tmp_path / "progress.json"))


def late(node=None):
    return {"kind": "Pod", "metadata": {"name": "late", "uid": "1"}, "spec": {"nodeName": node} if node else {}}


def test_no_node_is_judged_by_state():
    down = CONTROL - {"kube-scheduler"}
    assert without_scheduler(World((), (late(),), {}, down)).passed
    assert "has a node already" in without_scheduler(World((), (late("n"),), {}, down)).wrong
    assert "exactly one" in without_scheduler(World((), (late(),), {}, CONTROL)).wrong
    assert "exactly one" in without_scheduler(World((), (late(),), {}, down - {"etcd"})).wrong
    assert "no pod" in without_scheduler(World((), (), {}, down)).wrong


def test_three_truths_have_to_agree():
    web = {"kind": "Deployment", "metadata": {"name": "web", "namespace": "default", "uid": "w"}}
    web |= {"spec": {"replicas": 3}, "status": {"readyReplicas": 3}}
    assert "no Deployment" in three_truths(World((), (), {}, CONTROL)).wrong
    finding = three_truths(World((web,), (), {}, CONTROL))
    assert "observed 0" in finding.looked_at and "do not agree" in finding.wrong
    web["spec"]["replicas"] = 2
    assert "asks for 2" in three_truths(World((web,), (), {}, CONTROL)).wrong


def test_hints_go_from_tier_to_tier_and_end_with_the_solution(lab, capsys):
    for exercise in EXERCISES:
        for _ in TIERS:
            lab.hint(exercise.name)
        said = capsys.readouterr().out
        assert [tier for tier in TIERS if tier in said] == list(TIERS)
        assert exercise.solution in said and exercise.where in said and exercise.half in said


def test_a_check_without_a_cluster_says_what_to_do_next(lab, capsys):
    assert lab.check("no node") is False
    assert "lab.up()" in capsys.readouterr().out
    assert lab.check("nonsense") is False
    assert "it has three truths, no node" in capsys.readouterr().out


def test_a_prediction_is_shown_beside_what_happened_after_a_restart(lab, capsys):
    lab.predict("who?", "me")
    Lab("tour", EXERCISES, progress=Progress(lab.store.path)).observe("who?", "kube-apiserver")
    assert "predicted: me\nhappened:  kube-apiserver" in capsys.readouterr().out


@pytest.mark.parametrize("content", ['{"tour": {"a"', "[]", '{"tour": 3}'])
def test_a_corrupt_progress_file_is_put_aside_and_said(tmp_path, content):
    store = Progress(tmp_path / "progress.json")
    store.path.write_text(content)
    store.record("tour", "no node", passed=True)
    assert json.loads(store.path.read_text()) == {"tour": {"no node": {"passed": True}}}
    assert [path.read_text() for path in tmp_path.glob("*.broken-*")] == [content]
    assert "kept as" in store.notice
