"""The status that kubelet reports of a pod: phase, conditions, container statuses.

Upstream: `pkg/kubelet/kubelet_pods.go` (`generateAPIPodStatus`, `getPhase`) and `pkg/kubelet/status/generate.go`. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workshop.clock import rfc3339
from workshop.kubelet import cri, pods
from workshop.kubelet.pods import Obj, Observed


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


def _time(seconds: float) -> str | None:
    return rfc3339(seconds) if seconds else None


def container_id(status: cri.ContainerStatus, runtime: str) -> str:
    return f"{runtime}://{status.id}"


def _terminated(status: cri.ContainerStatus, runtime: str) -> Obj:
    state = {
        "exitCode": status.exit_code,
        "reason": status.reason or ("Completed" if status.exit_code == 0 else "Error"),
        "startedAt": _time(status.started_at),
        "finishedAt": _time(status.finished_at),
        "containerID": container_id(status, runtime),
    }
    if status.message:
        state["message"] = status.message
    return {"terminated": state}


def container_status(pod: Obj, container: Obj, observed: Observed, facts: Facts) -> Obj:
    """One entry of containerStatuses."""
    name = container["name"]
    history = observed.history(name)
    latest = history[0] if history else None
    result: Obj = {"name": name, "image": container.get("image", ""), "imageID": "", "lastState": {}}
    result |= {"ready": False, "restartCount": 0, "started": False}
    is_init = any(c["name"] == name for c in pods.init_containers(pod))
    is_ephemeral = any(c["name"] == name for c in pods.ephemeral_containers(pod))
    waiting = facts.waiting.get(name)
    if latest is None:
        reason = (
            "PodInitializing" if pods.init_containers(pod) and not (is_init or is_ephemeral) else "ContainerCreating"
        )
        if is_init:
            reason = "PodInitializing"
        why = waiting or (reason, "")
        if facts.stopped:
            result["state"] = _never_ran(pod)
        else:
            result["state"] = {"waiting": {"reason": why[0], **({"message": why[1]} if why[1] else {})}}
        return result
    result |= {
        "restartCount": latest.attempt,
        "containerID": container_id(latest, facts.runtime),
        "image": latest.image or container.get("image", ""),
        "imageID": latest.image_ref,
    }
    if not is_ephemeral:
        allocated = container.get("resources") or {}
        result["resources"] = facts.actual.get(name, allocated) if latest.state == cri.RUNNING else allocated
        if allocated.get("requests"):
            result["allocatedResources"] = allocated["requests"]
    if len(history) > 1 and history[1].state == cri.EXITED:
        result["lastState"] = _terminated(history[1], facts.runtime)
    if latest.state == cri.RUNNING:
        result["state"] = {"running": {"startedAt": _time(latest.started_at)}}
        started = facts.started.get(latest.id, not container.get("startupProbe"))
        result["started"] = started
        probed = facts.ready.get(latest.id, not container.get("readinessProbe"))
        result["ready"] = started and probed and not is_ephemeral and (not is_init or pods.is_sidecar(container))
    elif latest.state == cri.EXITED:
        state = _terminated(latest, facts.runtime)
        again = not facts.stopped and not is_ephemeral and pods.should_restart(pod, container, latest)
        if is_init and not pods.is_sidecar(container):
            again = again and latest.exit_code != 0
        if again and waiting:
            result["lastState"] = state
            result["state"] = {"waiting": {"reason": waiting[0], **({"message": waiting[1]} if waiting[1] else {})}}
        else:
            result["state"] = state
        result["ready"] = is_init and latest.exit_code == 0 and not again
    else:
        why = waiting or ("ContainerCreating", "")
        result["state"] = {"waiting": {"reason": why[0], **({"message": why[1]} if why[1] else {})}}
    return result


def _never_ran(pod: Obj) -> Obj:
    return {
        "terminated": {
            "exitCode": 137,
            "reason": "ContainerStatusUnknown",
            "message": "The container could not be located when the pod was terminated",
            "startedAt": None,
            "finishedAt": None,
        }
    }


def phase(pod: Obj, statuses: list[Obj], init_statuses: list[Obj], facts: Facts) -> str:
    """Pending, Running, Succeeded or Failed. Upstream: `getPhase`."""
    policy = pods.restart_policy(pod)
    pending_init = 0
    for container, status in zip(pods.init_containers(pod), init_statuses, strict=True):
        state = status["state"]
        if pods.is_sidecar(container):
            pending_init += not status.get("started") and "terminated" not in state and not status.get("lastState")
        elif "terminated" in state:
            if state["terminated"]["exitCode"] != 0:
                if policy == "Never" or facts.stopped:
                    return "Failed"
                pending_init += 1
        else:
            pending_init += 1
    waiting = running = succeeded = failed = 0
    for status in statuses:
        state = status["state"]
        if "running" in state:
            running += 1
        elif "terminated" in state:
            succeeded += state["terminated"]["exitCode"] == 0
            failed += state["terminated"]["exitCode"] != 0
        elif "terminated" in status.get("lastState", {}):
            running += 1  # it ran, and waits to run again
        else:
            waiting += 1
    main_ran = running or succeeded or failed
    if facts.reason and facts.stopped:
        return "Failed"
    if pending_init and not main_ran:
        return "Pending"
    if waiting:
        return "Pending"
    if running:
        return "Running"
    if policy == "Always" and not facts.stopped:
        return "Running"
    if not failed:
        return "Succeeded" if succeeded else "Pending"
    return "Failed" if policy == "Never" or facts.stopped else "Running"


def _condition(kind: str, ok: bool, reason: str = "", message: str = "") -> Obj:
    found: Obj = {"type": kind, "status": "True" if ok else "False"}
    if reason:
        found["reason"] = reason
    if message:
        found["message"] = message
    return found


def conditions(
    pod: Obj, pod_phase: str, statuses: list[Obj], init_statuses: list[Obj], sandbox_ready: bool
) -> list[Obj]:
    """The five conditions that kubelet owns or completes, without times."""
    incomplete = [
        status["name"]
        for container, status in zip(pods.init_containers(pod), init_statuses, strict=True)
        if not (status.get("started") if pods.is_sidecar(container) else status["ready"])
    ]
    main_ran = any("running" in s["state"] or "terminated" in s["state"] or s.get("lastState") for s in statuses)
    unready = [status["name"] for status in statuses if not status["ready"]]
    unready += [
        status["name"]
        for container, status in zip(pods.init_containers(pod), init_statuses, strict=True)
        if pods.is_sidecar(container) and not status["ready"]
    ]
    done = main_ran or not incomplete
    text = f"containers with incomplete status: [{' '.join(incomplete)}]"
    initialized = _condition("Initialized", done, "" if done else "ContainersNotInitialized", "" if done else text)
    if pod_phase == "Succeeded":
        initialized = _condition("Initialized", True, "PodCompleted")
        ready_reason, ready_message = "PodCompleted", ""
        unready = unready or ["-"]
    elif pod_phase == "Failed":
        ready_reason, ready_message = "PodFailed", ""
        unready = unready or ["-"]
    else:
        ready_reason = "ContainersNotReady"
        ready_message = f"containers with unready status: [{' '.join(unready)}]"
    found = [_condition("PodReadyToStartContainers", sandbox_ready), initialized]
    containers_ready = not unready
    gates = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or ()]
    existing = {c["type"]: c["status"] for c in (pod.get("status") or {}).get("conditions") or ()}
    missing = [gate for gate in gates if existing.get(gate) != "True"]
    if not containers_ready:
        found.append(_condition("Ready", False, ready_reason, ready_message))
    elif missing:
        lines = [
            f'corresponding condition of pod readiness gate "{gate}" '
            + ("does not exist." if gate not in existing else f'equals to "{existing[gate]}".')
            for gate in missing
        ]
        text = ", ".join(lines)
        found.append(_condition("Ready", False, "ReadinessGatesNotReady", text))
    else:
        found.append(_condition("Ready", True))
    found.append(
        _condition("ContainersReady", True)
        if containers_ready
        else _condition("ContainersReady", False, ready_reason, ready_message)
    )
    found.append(_condition("PodScheduled", True))
    return found


def merge_conditions(old: list[Obj], new: list[Obj], now: float, generation: int | None) -> list[Obj]:
    """Keep the transition time of what has not changed. Conditions of others are left out: the patch keeps them."""
    before = {condition["type"]: condition for condition in old}
    result = []
    for condition in new:
        kept = before.pop(condition["type"], None)
        same = kept is not None and kept.get("status") == condition["status"]
        if condition["type"].startswith("PodResize"):
            same = same and kept is not None and kept.get("reason") == condition.get("reason")
        merged = {**condition, "lastProbeTime": None}
        merged["lastTransitionTime"] = kept["lastTransitionTime"] if same and kept else rfc3339(now)
        if generation is not None:
            merged.setdefault("observedGeneration", generation)
        result.append(merged)
    return result


def generate(pod: Obj, observed: Observed, facts: Facts, now: float) -> Obj:
    """The whole `.status`."""
    old = pod.get("status") or {}
    statuses = [container_status(pod, c, observed, facts) for c in pods.containers(pod)]
    init_statuses = [container_status(pod, c, observed, facts) for c in pods.init_containers(pod)]
    ephemeral = [container_status(pod, c, observed, facts) for c in pods.ephemeral_containers(pod)]
    for status in ephemeral:
        status.pop("started", None)
    pod_phase = phase(pod, statuses, init_statuses, facts)
    if pods.is_terminal(old.get("phase")):
        pod_phase = old["phase"]  # a phase that is final never changes
    sandbox = observed.sandbox()
    sandbox_ready = sandbox is not None and sandbox.state == cri.READY and bool(sandbox.ip)
    generation = pod["metadata"].get("generation")
    found = conditions(pod, pod_phase, statuses, init_statuses, sandbox_ready)
    if not pods.is_terminal(pod_phase):
        found = [*facts.resize.values(), *found]
    elif facts.disrupted:
        found.append(_condition("DisruptionTarget", True, "TerminationByKubelet", facts.disrupted))
    result: Obj = {
        "phase": pod_phase,
        "conditions": merge_conditions(old.get("conditions") or [], found, now, generation),
        "hostIP": facts.host_ip,
        "hostIPs": [{"ip": facts.host_ip}],
        "startTime": old.get("startTime") or _time(facts.start_time or now),
        "containerStatuses": statuses,
        "qosClass": old.get("qosClass") or pods.qos_class(pod),
    }
    if generation is not None:
        result["observedGeneration"] = generation
    if init_statuses:
        result["initContainerStatuses"] = init_statuses
    if ephemeral:
        result["ephemeralContainerStatuses"] = ephemeral
    address = sandbox.ip if sandbox else ""
    if not address and old.get("podIP"):
        address = old["podIP"]
    if address:
        result["podIP"] = address
        result["podIPs"] = [{"ip": address}]
    if facts.reason:
        result |= {"reason": facts.reason, "message": facts.message}
    return result


def refused(pod: Obj, reason: str, message: str, now: float) -> Obj:
    """Of a pod that is not admitted. Upstream: `rejectPod`."""
    old = pod.get("status") or {}
    generation = pod["metadata"].get("generation")
    scheduled = [_condition("PodScheduled", True)]
    return {
        "phase": "Failed",
        "reason": reason,
        "message": f"Pod was rejected: {message}",
        "conditions": merge_conditions(old.get("conditions") or [], scheduled, now, generation),
        "startTime": old.get("startTime") or _time(now),
        "qosClass": old.get("qosClass") or pods.qos_class(pod),
        **({"observedGeneration": generation} if generation is not None else {}),
    }


def patch(old: Mapping[str, Any], new: Obj, uid: str) -> dict[str, Any]:
    """A strategic merge patch of the status, with the pod's uid so that a namesake is never touched."""
    changed = {key: value for key, value in new.items() if old.get(key) != value}
    for key in ("reason", "message", "podIP", "initContainerStatuses"):
        if key in old and key not in new:
            changed[key] = None
    if "conditions" in changed:
        before = {condition["type"]: condition for condition in old.get("conditions") or ()}
        conditions_changed = []
        for condition in new["conditions"]:
            was = before.get(condition["type"])
            if was == condition:
                continue
            gone = {key: None for key in ("reason", "message") if was and key in was and key not in condition}
            conditions_changed.append({**condition, **gone})
        still = {condition["type"] for condition in new["conditions"]}
        over = [kind for kind in ("PodResizePending", "PodResizeInProgress") if kind in before and kind not in still]
        conditions_changed += [{"type": kind, "$patch": "delete"} for kind in over]
        changed["conditions"] = conditions_changed
        changed["$setElementOrder/conditions"] = [{"type": c["type"]} for c in new["conditions"]]
    return {"metadata": {"uid": uid}, "status": changed}
