"""Pods and what a runtime shows of them, for the pure tests."""

from __future__ import annotations

from typing import Any

from workshop.kubelet import cri, pods
from workshop.kubelet.actions import HASH
from workshop.kubelet.pods import Observed


def container(name: str = "app", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "busybox", **more}


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web", "namespace": "default", "uid": "u1"},
        "spec": {"containers": list(containers) or [container()], "restartPolicy": "Always", **spec},
    }


def sandbox(state: str = cri.READY, attempt: int = 0) -> cri.PodSandboxStatus:
    return cri.PodSandboxStatus(f"s{attempt}", "web", "u1", "default", attempt, state, 1.0, ip="10.0.0.2")


def ran(
    spec: dict[str, Any], state: str, *, exit_code: int = 0, attempt: int = 0, sandbox_id: str = "s0", reason: str = ""
) -> cri.ContainerStatus:
    return cri.ContainerStatus(
        f"{spec['name']}-{attempt}",
        sandbox_id,
        spec["name"],
        attempt,
        state,
        created_at=float(attempt),
        started_at=100.0,
        finished_at=200.0 if state == cri.EXITED else 0.0,
        exit_code=exit_code,
        reason=reason,
        annotations={HASH: pods.container_hash(spec)},
    )


def observed(*containers: cri.ContainerStatus, box: cri.PodSandboxStatus | None = None) -> Observed:
    return Observed((box or sandbox(),), containers)
