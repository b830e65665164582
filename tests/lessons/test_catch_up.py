"""From any state to the one that a section needs, and to a new cluster, on a real one."""

import json
import tempfile
import time

import pytest

from tests.machine import quiet
from workshop.cluster import procfs
from workshop.lessons import control_loop, own
from workshop.lessons.lab import Lab


@pytest.fixture
def lab(home, monkeypatch):
    monkeypatch.setenv("WORKSHOP_LAB_MODE", "plain")
    with tempfile.TemporaryDirectory(prefix="ws-") as short:  # a Unix socket's path has room for 107 bytes
        monkeypatch.setenv("WORKSHOP_HOME", short)
        made = Lab("control-loop", control_loop.EXERCISES, control_loop.SECTIONS)
        try:
            yield made
        finally:
            made.down()


@pytest.mark.cluster
def test_from_whatever_state(lab, capsys):
    lab.catch_up("break it")  # there is no cluster yet
    assert own.living(lab.cluster) == ["my-controller"]
    assert lab.pods("app=web") != []
    lab.swap("kube-scheduler", "def filter(self, state, pod, node):\n    return None\n")
    lab.stop("etcd")
    lab.stop("kube-apiserver")
    lab.cluster.pause("kube-scheduler")
    lab.catch_up("inside the real one")
    lab.catch_up("inside the real one")
    said = capsys.readouterr().out
    assert said.count("all is as 'inside the real one' needs it") == 2, said
    assert own.living(lab.cluster) == [] and lab.cluster.swapped() == []
    assert {row["state"] for row in lab.cluster.ps()} == {"running"}
    lab.catch_up("nobody acts")
    assert lab.pods("app=web") == []
    lab.stop("etcd")
    lab.kill("kube-apiserver")
    begun = time.monotonic()
    lab.reset()
    assert "is new after" in capsys.readouterr().out
    assert time.monotonic() - begun < 10 or not quiet()
    lab.section("nobody acts")
    assert "another state" not in capsys.readouterr().out
    lab.catch_up("break it")
    mine = json.loads((own.folder(lab.cluster) / "my-controller.json").read_text())
    assert procfs.alive(mine["pid"], mine["start"])
    lab.down()
    assert not procfs.alive(mine["pid"], mine["start"]), "the learner's own program went with the cluster"
