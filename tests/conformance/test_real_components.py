"""The real scheduler, controller manager and kubelet in the places of ours, on our API server and our etcd.

KUBE_BINARIES names a folder with upstream's binaries of 1.36: kube-scheduler, kube-controller-manager, kubectl, and
kubemark, which is the real kubelet with a hollow container runtime.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from workshop.cluster.facade import Cluster

from .kubectl import Kubectl, eventually

PROGRAMS = ("kube-controller-manager", "kube-scheduler")
NODE = "node-1"
WITHIN = 120.0


def _binary(name: str) -> str:
    folder = os.environ.get("KUBE_BINARIES", "")
    path = Path(folder, name)
    if not folder or not path.exists():
        pytest.skip(f"KUBE_BINARIES names no folder with upstream's {name}")
    return str(path)


def _hollow(ours: Cluster) -> list[str]:
    ports = [f"--kubelet-port={free_port()}", f"--kubelet-read-only-port={free_port()}"]
    config = f"--kubeconfig={ours.layout.kubeconfig(f'kubelet-{NODE}')}"
    return [_binary("kubemark"), "--morph=kubelet", f"--name={NODE}", config, *ports, "--use-host-image-service=false"]


@pytest.fixture
def k(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubectl]:
    """kubectl on a cluster of which only etcd and kube-apiserver are ours."""
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    wanted = {name: _binary(name) for name in PROGRAMS}
    kubectl = _binary("kubectl")
    ours = Cluster("real")
    running: list[subprocess.Popen[bytes]] = []
    try:
        ours.up(nodes=1, mode="plain", runtime="simulated")
        commands = {f"kubelet-{NODE}": _hollow(ours)}
        for name, program in wanted.items():
            component = ours.plan().component(name)
            assert component is not None
            commands[name] = [program, *component.argv[1:]]
        for name, command in commands.items():
            ours.stop(name)
            with (ours.layout.root / "logs" / f"real-{name}.log").open("wb") as log:
                running.append(subprocess.Popen(command, stdout=log, stderr=log))
        yield Kubectl(kubectl, str(ours.kubeconfig()))
        assert [process.poll() for process in running] == [None] * len(running)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
        ours.down(purge=True)


def test_a_deployment_comes_heals_and_goes(k: Kubectl) -> None:
    eventually(
        lambda: k("get", "node", NODE, "-o", "jsonpath={.status.nodeInfo.kubeletVersion}").startswith("v1.36"), WITHIN
    )
    k("wait", "--for=condition=Ready", f"node/{NODE}", f"--timeout={WITHIN:.0f}s")
    k("create", "deployment", "web", "--image=nginx", "--replicas=3")
    k("rollout", "status", "deployment/web", f"--timeout={WITHIN:.0f}s", timeout=WITHIN + 10)
    before: set[str] = {pod["metadata"]["name"] for pod in _pods(k)}
    assert {pod["spec"]["nodeName"] for pod in _pods(k)} == {NODE} and len(before) == 3
    k("delete", "pod", next(iter(before)), "--wait=false")
    eventually(lambda: len({p["metadata"]["name"] for p in _pods(k) if _ready(p)} - before) == 1, WITHIN)
    k("rollout", "status", "deployment/web", f"--timeout={WITHIN:.0f}s", timeout=WITHIN + 10)
    k("delete", "deployment", "web")
    eventually(lambda: not _pods(k), WITHIN)


def _pods(k: Kubectl) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(k("get", "pods", "-l", "app=web", "-o", "json"))["items"]
    return found


def _ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
