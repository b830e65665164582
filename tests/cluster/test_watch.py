"""The picture of `workshop watch`, as text."""

import io

from rich.console import Console

from workshop.cluster.board import World
from workshop.cluster.cli.watch import picture

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
JOB = {"kind": "Job", "metadata": {"name": "once", "namespace": "default", "uid": "j"}, "spec": {"parallelism": 2}}


def shown(running, workloads=(), synced=True):
    processes = [
        {"name": name, "pid": 7 if name in running else None, "restarts": 0}
        | {"state": "running" if name in running else "stopped"}
        for name in CONTROL_PLANE
    ]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(picture("lab: running", processes, World(tuple(workloads), (), {}, frozenset(running)), synced))
    return console.export_text()


def test_a_workload_and_who_acts_next():
    text = shown(CONTROL_PLANE, [JOB])
    assert "job/once │ 2       │ 0        │ 0" in text
    assert "kube-controller-manager (2 pods" in text
    assert "● etcd 7" in text


def test_what_is_not_known_is_said():
    assert "no workload yet" in shown(CONTROL_PLANE)
    assert "the API server has not answered yet" in shown(CONTROL_PLANE, synced=False)
    text = shown(["etcd"])
    assert "✕ kube-apiserver stopped" in text
    assert "the API server's last word" in text
