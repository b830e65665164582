"""One entry of containerStatuses, initContainerStatuses or ephemeralContainerStatuses.

What the runtime shows comes first; what it does not know any more is taken over from the last status (`told`), so that
a container whose traces are gone is not taken for one that never ran.
Upstream: `pkg/kubelet/kubelet_pods.go` (`convertToAPIContainerStatuses`), `pkg/kubelet/prober/prober_manager.go`
(`UpdatePodStatus`), `pkg/kubelet/status/status_manager.go` (`TerminatePod`). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workshop.clock import rfc3339
from workshop.kubelet import cri, pods, restarts
from workshop.kubelet.pods import Obj, Observed

MESSAGES = 12 * 1024
"""Bytes of all termination messages of a pod together."""
RESTARTING = "RestartingAllContainers"
REMOVED = "The container is removed because RestartAllContainers in place"
UNKNOWN = "ContainerStatusUnknown"
NOT_LOCATED = "The container could not be located when the pod was terminated"
WAS_RUNNING = "The container could not be located when the pod was deleted.  The container used to be Running"
INITIALIZED = (
    "Unable to get init container status from container runtime and pod has been initialized, "
    "treat it as exited normally"
)


@dataclass(frozen=True)
class Facts:
    """What else the status tells: results of probes, failed starts, addresses."""

    ready: Mapping[str, bool] = field(default_factory=dict)  # container id -> readiness probe's result
    started: Mapping[str, bool] = field(default_factory=dict)  # container id -> startup probe's result
    waiting: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # container name -> (reason, message)
    host_ip: str = ""
    start_time: float = 0.0
    reason: str = ""  # set when kubelet itself ended the pod (DeadlineExceeded, Evicted, …)
    message: str = ""
    disrupted: str = ""  # the message of the condition DisruptionTarget
    actual: Mapping[str, Obj] = field(default_factory=dict)  # container name -> resources in force
    resize: Mapping[str, Obj] = field(default_factory=dict)  # type -> PodResizePending, PodResizeInProgress
    stopped: bool = False  # all containers are gone for good
    runtime: str = "process"


def time(seconds: float) -> str | None:
    return rfc3339(seconds) if seconds else None


def container_id(status: cri.ContainerStatus, runtime: str) -> str:
    return f"{runtime}://{status.id}"


def _terminated(reason: str, message: str, exit_code: int = 137) -> Obj:
    """Of a container that nobody has seen end."""
    return {
        "exitCode": exit_code,
        "reason": reason,
        "message": message,
        "startedAt": None,
        "finishedAt": None,
    }


def _waiting(reason: str = "", message: str = "") -> Obj:
    return {"waiting": ({"reason": reason} if reason else {}) | ({"message": message} if message else {})}


def _state(status: cri.ContainerStatus, longest: int, runtime: str) -> Obj:
    if status.state == cri.RUNNING:
        return {"running": {"startedAt": time(status.started_at)}}
    if status.state != cri.EXITED:
        return _waiting()
    ended = {
        "exitCode": status.exit_code,
        "reason": status.reason or ("Completed" if status.exit_code == 0 else "Error"),
        "startedAt": time(status.started_at),
        "finishedAt": time(status.finished_at),
        "containerID": container_id(status, runtime),
    }
    if status.message:
        ended["message"] = status.message.encode()[:longest].decode(errors="ignore")
    return {"terminated": ended}


def volume_mounts(container: Obj) -> list[Obj]:
    """`volumeMounts` of the status: what of the container's mounts came to be."""
    found = []
    for entry in container.get("volumeMounts") or ():
        mount = {"mountPath": entry["mountPath"], "name": entry["name"]}
        if entry.get("readOnly"):
            mount |= {"readOnly": True, "recursiveReadOnly": "Disabled"}
        found.append(mount)
    return found


def _resources(container: Obj, latest: cri.ContainerStatus, facts: Facts) -> Obj:
    """Granted and in force. They differ while a resize is under way."""
    granted: Obj = container.get("resources") or {}
    in_force = facts.actual.get(container["name"], granted) if latest.state == cri.RUNNING else granted
    found: Obj = {"resources": in_force}
    if granted.get("requests"):
        found["allocatedResources"] = granted["requests"]
    return found


def _user(status: cri.ContainerStatus) -> Obj:
    if status.user is None:
        return {}
    linux: Obj = {"gid": status.user.gid, "uid": status.user.uid}
    if status.user.groups:
        linux["supplementalGroups"] = list(status.user.groups)
    return {"user": {"linux": linux}}


def _blank(pod: Obj, container: Obj, told: Obj | None) -> Obj:
    """Of a container that the runtime does not show."""
    if told is not None and told["state"].get("terminated"):
        return dict(told)
    reason = "PodInitializing" if pods.init_containers(pod) else "ContainerCreating"
    found: Obj = {"name": container["name"], "image": container.get("image", ""), "imageID": "", "ready": False}
    found |= {"restartCount": told["restartCount"] if told else 0, "lastState": told["lastState"] if told else {}}
    found["state"] = _waiting(reason)
    if mounts := volume_mounts(container):
        found["volumeMounts"] = mounts
    return found


def _vanished(pod: Obj, found: Obj, told: Obj, restarting: bool) -> Obj:
    """It was there when the last status was written, and has left no trace."""
    if restarting and not told["state"].get("waiting"):
        last = {"terminated": _terminated(RESTARTING, REMOVED)}
        again = {"state": _waiting(RESTARTING, REMOVED), "lastState": last, "restartCount": told["restartCount"] + 1}
        return {**found, **again}
    if not told["state"].get("running") or found["lastState"].get("terminated"):
        return found
    more = 0 if pod["metadata"].get("deletionTimestamp") else 1
    last = {"terminated": _terminated(UNKNOWN, WAS_RUNNING)}
    return {**found, "lastState": last, "restartCount": found["restartCount"] + more}


def _seen(container: Obj, history: list[cri.ContainerStatus], told: Obj | None, longest: int, facts: Facts) -> Obj:
    """Of a container that the runtime shows; its last end is its previous attempt's, or the one that was told."""
    latest = history[0]
    found: Obj = {"name": container["name"], "image": latest.image or container.get("image", "")}
    found |= {"imageID": latest.image_ref, "containerID": container_id(latest, facts.runtime), "ready": False}
    count, last = latest.attempt, {}
    if told is not None:
        count = max(count, told["restartCount"])
        ended = told["state"].get("terminated")
        if ended and latest.state == cri.RUNNING and told["restartCount"] >= latest.attempt:
            count = told["restartCount"] + 1
        if ended and told.get("containerID") != found["containerID"]:
            last = {"terminated": ended}
        else:
            last = told["lastState"]
    if len(history) > 1:
        last = _state(history[1], longest, facts.runtime)
    found |= {"restartCount": count, "lastState": last, "state": _state(latest, longest, facts.runtime)}
    if mounts := volume_mounts(container):
        found["volumeMounts"] = mounts
    return found | _resources(container, latest, facts) | _user(latest)


def statuses(
    pod: Obj, containers: list[Obj], observed: Observed, facts: Facts, told: list[Obj], *, restarting: bool = False
) -> list[Obj]:
    """One for each of `containers`, in their order."""
    before = {status["name"]: {"lastState": {}, "state": {}, "restartCount": 0, **status} for status in told}
    return [_status(pod, each, observed, facts, before.get(each["name"]), restarting) for each in containers]


def _status(pod: Obj, container: Obj, observed: Observed, facts: Facts, told: Obj | None, restarting: bool) -> Obj:
    name, longest = container["name"], MESSAGES // max(1, len(pods.all_containers(pod)))
    is_init = any(container is each for each in pods.init_containers(pod))
    is_ephemeral = any(container is each for each in pods.ephemeral_containers(pod))
    history = observed.history(name)
    if history:
        found = _seen(container, history, told, longest, facts)
    else:
        found = _blank(pod, container, told)
        if told is not None:
            found = _vanished(pod, found, told, restarting)
        if is_init and not pods.is_sidecar(container) and "waiting" in found["state"] and _has_begun(pod, observed):
            found["state"] = {"terminated": _terminated("Completed", INITIALIZED, 0)}
    latest = history[0] if history else None
    done = is_init and latest is not None and latest.state == cri.EXITED and latest.exit_code == 0
    why = facts.waiting.get(name)
    if why and not (done and not pods.is_sidecar(container)) and restarts.should_restart(pod, container, latest):
        if ended := found["state"].get("terminated"):
            found["lastState"] = {"terminated": ended}
        found["state"] = _waiting(*why)
    if not is_ephemeral:
        found |= _health(container, found, latest, facts, plain_init=is_init and not pods.is_sidecar(container))
    return found


def _health(container: Obj, found: Obj, latest: cri.ContainerStatus | None, facts: Facts, *, plain_init: bool) -> Obj:
    """`started` and `ready`: by the probes, where there are some."""
    runs = latest is not None and "running" in found["state"]
    started = runs and latest is not None and facts.started.get(latest.id, not container.get("startupProbe"))
    if plain_init:
        return {"started": started, "ready": found["state"].get("terminated", {}).get("exitCode") == 0}
    ready = started and latest is not None and facts.ready.get(latest.id, not container.get("readinessProbe"))
    return {"started": started, "ready": ready}


def _has_begun(pod: Obj, observed: Observed) -> bool:
    return any(observed.latest(each["name"]) is not None for each in pods.containers(pod))


# -- the end ---------------------------------------------------------------------------------------------------------


def _initialized(pod: Obj, told: Mapping[str, Any]) -> bool:
    """Upstream: `hasPodInitialized`."""
    if not pods.init_containers(pod):
        return True
    if any(
        s["lastState"].get("terminated") or not s["state"].get("waiting") for s in told.get("containerStatuses") or ()
    ):
        return True
    ended = (told.get("initContainerStatuses") or [])[-1:]
    for status in ended:
        if pods.is_sidecar(pods.init_containers(pod)[-1]):
            return bool(status["state"].get("running") and status.get("started"))
        ends = (status["state"].get("terminated"), status["lastState"].get("terminated"))
        return any(end and end["exitCode"] == 0 for end in ends)
    return False


def closed(pod: Obj, told: Mapping[str, Any], main: list[Obj], init: list[Obj]) -> None:
    """The pod is over: what has no end that anybody saw gets one, changed in place. Init containers behind the last
    one that ran stay as they are: they never began."""
    unknown = [status for status in main if _initialized(pod, told)]
    ran = [
        index
        for index, status in enumerate(init)
        if "waiting" not in status["state"] or status["lastState"].get("terminated")
    ]
    unknown += init[: max(ran, default=0) + 1]
    for status in unknown:
        if "terminated" not in status["state"]:
            status |= {"state": {"terminated": _terminated(UNKNOWN, NOT_LOCATED)}, "started": False, "ready": False}
