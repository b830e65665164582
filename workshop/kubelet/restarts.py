"""Which containers of a pod are started again, and when the whole pod begins anew (`workshop.api.restarts` has the
rules). Upstream: `pkg/kubelet/container/helpers.go`. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workshop.api import restarts
from workshop.api.restarts import asks_for_all
from workshop.kubelet import cri, pods
from workshop.kubelet.pods import Obj, Observed

RESTARTING = "AllContainersRestarting"
"""The pod's condition while its containers are taken away."""


def policy_of(pod: Obj, container: Obj) -> str:
    return restarts.policy_of(pod["spec"], container)


def restarts_after(pod: Obj, container: Obj, exit_code: int) -> bool:
    return restarts.restarts_after(pod["spec"], container, exit_code)


def may_restart_all(pod: Obj) -> bool:
    return restarts.may_restart_all(pod["spec"])


def should_restart(pod: Obj, container: Obj, status: cri.ContainerStatus | None) -> bool:
    """Whether a container that is not running is to be (re)started. Upstream: `ShouldContainerBeRestarted`."""
    if pod["metadata"].get("deletionTimestamp"):
        return False
    if status is None or status.state in (cri.CREATED, cri.UNKNOWN):
        return True
    return status.state != cri.RUNNING and restarts_after(pod, container, status.exit_code)


def _restartable(pod: Obj) -> list[Obj]:
    return [*pods.init_containers(pod), *pods.containers(pod)]


def all_restart(pod: Obj, observed: Observed, told: Mapping[str, Any]) -> bool:
    """Whether the whole pod begins anew: it was said so in its status (`told`), or a container's end asks for it."""
    if not may_restart_all(pod):
        return False
    if any(c["type"] == RESTARTING and c["status"] == "True" for c in told.get("conditions") or ()):
        return True
    ended = {
        status["name"]: status["state"]["terminated"]["exitCode"]
        for field in ("initContainerStatuses", "containerStatuses")
        for status in told.get(field) or ()
        if status["state"].get("terminated")
    }
    for container in _restartable(pod):
        latest = observed.latest(container["name"])
        if latest is None or latest.state != cri.EXITED:
            continue
        if asks_for_all(container, latest.exit_code) or asks_for_all(container, ended.get(container["name"], -1)):
            return True
    return False


def all_removed(pod: Obj, observed: Observed) -> bool:
    """Nothing of the last time is left: it can begin anew."""
    return all(observed.latest(container["name"]) is None for container in _restartable(pod))


def to_remove(pod: Obj, observed: Observed) -> tuple[cri.ContainerStatus, ...]:
    """What has to go before the pod begins anew: who asked for it comes last, so that the cause stays to be seen."""
    asked: list[cri.ContainerStatus] = []
    others: list[cri.ContainerStatus] = []
    for container in [*pods.containers(pod), *pods.init_containers(pod)]:
        for status in observed.history(container["name"]):
            caused = status.state == cri.EXITED and asks_for_all(container, status.exit_code)
            (asked if caused else others).append(status)
    return (*others, *asked)
