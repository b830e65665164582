"""The status that kubelet reports of a pod: phase and conditions; `container_statuses.py` has its containers.

Upstream: `pkg/kubelet/kubelet_pods.go` (`generateAPIPodStatus`, `getPhase`) and `pkg/kubelet/status/generate.go`. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workshop.clock import rfc3339
from workshop.kubelet import container_statuses, cri, pod_resources, pods, restarts
from workshop.kubelet.container_statuses import Facts, time
from workshop.kubelet.pods import Obj, Observed

OWN = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
COME_AND_GO = ("PodResizePending", "PodResizeInProgress", restarts.RESTARTING)


def _end(status: Obj) -> Obj | None:
    """How a container ended, also when it waits to run again."""
    found: Obj | None = status["state"].get("terminated")
    if found is None and "waiting" in status["state"]:
        found = status["lastState"].get("terminated")
    return found


def _again(pod: Obj, container: Obj, end: Obj) -> bool:
    if end.get("reason") == container_statuses.RESTARTING:
        return True
    return restarts.restarts_after(pod, container, end["exitCode"])


def phase(pod: Obj, main: list[Obj], init: list[Obj], observed: Observed, *, stopped: bool) -> str:
    """Pending, Running, Succeeded or Failed. `stopped`: no container is started any more. Upstream: `getPhase`."""
    sandbox = observed.sandbox()
    begun = {container.name for container in observed.containers if sandbox and container.sandbox_id == sandbox.id}
    initialized = any(container["name"] in begun for container in pods.containers(pod))
    pending = running = waiting = 0
    for container, status in zip(pods.init_containers(pod), init, strict=True):
        end = _end(status)
        if pods.is_sidecar(container):
            running += "running" in status["state"]
            waiting += end is None and "waiting" in status["state"]
            pending += end is None and not status.get("started") and not initialized
        elif end is None:
            pending += 1
        elif end["exitCode"] and not _again(pod, container, end):
            return "Failed"
    ended = []
    for container, status in zip(pods.containers(pod), main, strict=True):
        running += "running" in status["state"]
        if (end := _end(status)) is None:
            waiting += "waiting" in status["state"]
        else:
            good = "terminated" in status["state"] and end["exitCode"] == 0
            ended.append((good, not stopped and _again(pod, container, end)))
    if pending or waiting:
        return "Pending"
    if running or any(again for _, again in ended):
        return "Running"
    if not ended:
        return "Pending"
    return "Succeeded" if all(good for good, _ in ended) else "Failed"


def _condition(kind: str, ok: bool, reason: str = "", message: str = "") -> Obj:
    found: Obj = {"type": kind, "status": "True" if ok else "False"}
    if reason:
        found["reason"] = reason
    if message:
        found["message"] = message
    return found


def _unfinished(pod: Obj, init: list[Obj]) -> list[str]:
    return [
        status["name"]
        for container, status in zip(pods.init_containers(pod), init, strict=True)
        if not (status.get("started") if pods.is_sidecar(container) else status["ready"])
    ]


def _initialized(pod: Obj, pod_phase: str, main: list[Obj], init: list[Obj], told: Mapping[str, Any]) -> Obj:
    if pod_phase == "Succeeded":
        return _condition("Initialized", True, "PodCompleted")
    unfinished = _unfinished(pod, init)
    was = any(c["type"] == "Initialized" and c["status"] == "True" for c in told.get("conditions") or ())
    if not unfinished or was or any("running" in s["state"] or "terminated" in s["state"] for s in main):
        return _condition("Initialized", True)
    said = f"containers with incomplete status: [{' '.join(unfinished)}]"
    return _condition("Initialized", False, "ContainersNotInitialized", said)


def _containers_ready(pod: Obj, pod_phase: str, main: list[Obj], init: list[Obj]) -> tuple[bool, str, str]:
    if pod_phase in ("Succeeded", "Failed"):
        return False, "PodCompleted" if pod_phase == "Succeeded" else "PodFailed", ""
    sidecars = {container["name"] for container in pods.init_containers(pod) if pods.is_sidecar(container)}
    unready = [s["name"] for s in init if s["name"] in sidecars and not s["ready"]]
    unready += [s["name"] for s in main if not s["ready"]]
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return True, "", ""


def _gates(pod: Obj) -> str:
    """What the conditions that others set (`readinessGates`) have against the pod."""
    existing = {c["type"]: c["status"] for c in (pod.get("status") or {}).get("conditions") or ()}
    said = []
    for gate in (gate["conditionType"] for gate in pod["spec"].get("readinessGates") or ()):
        if gate not in existing:
            said.append(f'corresponding condition of pod readiness gate "{gate}" does not exist.')
        elif existing[gate] != "True":
            said.append(f'the status of pod readiness gate "{gate}" is not "True", but {existing[gate]}')
    return ", ".join(said)


def _restarting(pod: Obj, pod_phase: str, observed: Observed, told: Mapping[str, Any]) -> Obj:
    if pods.is_terminal(pod_phase):
        return _condition(restarts.RESTARTING, False, "PodCompleted" if pod_phase == "Succeeded" else "PodFailed")
    if not restarts.all_restart(pod, observed, told) or restarts.all_removed(pod, observed):
        return _condition(restarts.RESTARTING, False)
    said = "container exited with restart policy rule"
    return _condition(restarts.RESTARTING, True, "RestartAllContainersStarted", said)


def conditions(
    pod: Obj, pod_phase: str, main: list[Obj], init: list[Obj], observed: Observed, told: Mapping[str, Any]
) -> list[Obj]:
    """The conditions that kubelet owns, without times."""
    sandbox = observed.sandbox()
    found = [
        _condition(
            "PodReadyToStartContainers", sandbox is not None and sandbox.state == cri.READY and bool(sandbox.ip)
        ),
        _initialized(pod, pod_phase, main, init, told),
    ]
    ready, reason, message = _containers_ready(pod, pod_phase, main, init)
    if ready and (missing := _gates(pod)):
        found.append(_condition("Ready", False, "ReadinessGatesNotReady", missing))
    else:
        found.append(_condition("Ready", ready, reason, message))
    found += [_condition("ContainersReady", ready, reason, message), _condition("PodScheduled", True)]
    if restarts.may_restart_all(pod):
        found.append(_restarting(pod, pod_phase, observed, told))
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
        if generation is not None and condition["type"] != restarts.RESTARTING:  # upstream leaves it out there
            merged.setdefault("observedGeneration", generation)
        result.append(merged)
    return result


def generate(pod: Obj, observed: Observed, facts: Facts, now: float) -> Obj:
    """The whole `.status`; the one that `pod` has is the last that was told."""
    old: Mapping[str, Any] = pod.get("status") or {}
    restarting = restarts.all_restart(pod, observed, old)

    def of(containers: list[Obj], field: str) -> list[Obj]:
        told = old.get(field) or []
        return container_statuses.statuses(pod, containers, observed, facts, told, restarting=restarting)

    main = of(pods.containers(pod), "containerStatuses")
    init = of(pods.init_containers(pod), "initContainerStatuses")
    ephemeral = of(pods.ephemeral_containers(pod), "ephemeralContainerStatuses")
    pod_phase = phase(pod, main, init, observed, stopped=facts.stopped)
    if facts.stopped:
        container_statuses.closed(pod, old, main, init)
        if facts.reason or not pods.is_terminal(pod_phase):
            pod_phase = "Failed"
    if pods.is_terminal(old.get("phase")):
        pod_phase = old["phase"]  # a phase that is final never changes
    generation = pod["metadata"].get("generation")
    found = conditions(pod, pod_phase, main, init, observed, old)
    if not pods.is_terminal(pod_phase):
        found = [*facts.resize.values(), *found]
    elif facts.disrupted:
        found = [_condition("DisruptionTarget", True, "TerminationByKubelet", facts.disrupted), *found]
    result: Obj = {
        "phase": pod_phase,
        "conditions": merge_conditions(old.get("conditions") or [], found, now, generation),
        "hostIP": facts.host_ip,
        "hostIPs": [{"ip": facts.host_ip}],
        "startTime": old.get("startTime") or time(facts.start_time or now),
        "containerStatuses": sorted(main, key=lambda status: str(status["name"])),
        "qosClass": old.get("qosClass") or pods.qos_class(pod),
        "resources": pod_resources.in_force(pod),
    }
    if allocated := pod_resources.allocated(pod):
        result["allocatedResources"] = allocated
    if generation is not None:
        result["observedGeneration"] = generation
    if init:
        result["initContainerStatuses"] = init
    if ephemeral:
        result["ephemeralContainerStatuses"] = sorted(ephemeral, key=lambda status: str(status["name"]))
    sandbox = observed.sandbox()
    if address := (sandbox.ip if sandbox else "") or old.get("podIP"):
        result["podIP"] = address
        result["podIPs"] = [{"ip": address}]
    if facts.reason and pod_phase == "Failed":
        result |= {"reason": facts.reason, "message": facts.message}
    elif pod_phase == old.get("phase"):
        result |= {key: old[key] for key in ("reason", "message") if old.get(key)}
    return result


def refused(pod: Obj, reason: str, message: str, now: float) -> Obj:
    """Of a pod that is not admitted: it has no conditions any more. Upstream: `rejectPod`."""
    old = pod.get("status") or {}
    generation = pod["metadata"].get("generation")
    return {
        "phase": "Failed",
        "reason": reason,
        "message": f"Pod was rejected: {message}",
        "conditions": [],
        "startTime": old.get("startTime") or time(now),
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
        over = [kind for kind in (*OWN, *COME_AND_GO) if kind in before and kind not in still]
        conditions_changed += [{"type": kind, "$patch": "delete"} for kind in over]
        del changed["conditions"]
        if conditions_changed:
            changed["conditions"] = conditions_changed
        if conditions_changed and new["conditions"]:  # the real API server takes no empty order
            changed["$setElementOrder/conditions"] = [{"type": c["type"]} for c in new["conditions"]]
    return {"metadata": {"uid": uid}, "status": changed}
