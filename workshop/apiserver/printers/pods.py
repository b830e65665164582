"""The row of a pod: the READY, STATUS and RESTARTS that everybody reads first."""

from __future__ import annotations

from typing import Any

from workshop.api.meta import Obj
from workshop.apiserver.printers.cells import age, get, printer, since


def _is_sidecar(spec: Obj, name: str) -> bool:
    return any(c["name"] == name and c.get("restartPolicy") == "Always" for c in spec.get("initContainers") or [])


def _ended(state: Obj, lead: str = "") -> str:
    """Why a container ended: its reason, else the signal or the exit code."""
    if state.get("reason"):
        return f"{lead}{state['reason']}"
    if state.get("signal"):
        return f"{lead}Signal:{state['signal']}"
    return f"{lead}ExitCode:{state.get('exitCode', 0)}"


class _Restarts:
    """How many, and when the last one was."""

    def __init__(self) -> None:
        self.count, self.last = 0, ""

    def add(self, status: Obj) -> None:
        self.count += status.get("restartCount", 0)
        self.last = max(self.last, get(status, "lastState.terminated.finishedAt", ""))

    def text(self, now: float) -> str:
        return f"{self.count} ({since(self.last, now)} ago)" if self.count and self.last else str(self.count)


def _init_reason(spec: Obj, index: int, status: Obj) -> str | None:
    """What an init container that is not done yet makes of STATUS; None when it holds nothing up."""
    terminated, waiting = get(status, "state.terminated"), get(status, "state.waiting", {})
    if terminated is not None and terminated.get("exitCode", 0) == 0:
        return None
    if _is_sidecar(spec, status["name"]) and status.get("started"):
        return None
    if terminated is not None:
        return _ended(terminated, "Init:")
    if waiting.get("reason") and waiting["reason"] != "PodInitializing":
        return f"Init:{waiting['reason']}"
    return f"Init:{index}/{len(spec.get('initContainers') or [])}"


def summary(pod: Obj, now: float) -> tuple[str, str, str]:
    """READY, STATUS and RESTARTS of a pod."""
    spec, status = pod.get("spec", {}), pod.get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions") or []}
    total = len(spec.get("containers") or [])
    total += sum(c.get("restartPolicy") == "Always" for c in spec.get("initContainers") or [])
    phase = status.get("phase", "")
    reason, ready = status.get("reason") or phase, 0
    if get(conditions, "PodScheduled.reason") == "SchedulingGated":
        reason = "SchedulingGated"

    of_init, restarts, initializing = _Restarts(), _Restarts(), False
    for index, each in enumerate(status.get("initContainerStatuses") or []):
        of_init.add(each)
        if _is_sidecar(spec, each["name"]):
            restarts.add(each)
            ready += bool(each.get("started") and each.get("ready") and not get(each, "state.terminated"))
        if (held_up := _init_reason(spec, index, each)) is not None:
            reason, initializing = held_up, True
            break

    if initializing and get(conditions, "Initialized.status") != "True":
        restarts = of_init
    else:
        reason, more = _main_containers(status, conditions, reason, restarts)
        ready += more
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif phase not in ("Succeeded", "Failed"):
            reason = "Terminating"
    return f"{ready}/{total}", reason, restarts.text(now)


def _main_containers(status: Obj, conditions: dict[str, Obj], reason: str, restarts: _Restarts) -> tuple[str, int]:
    """STATUS as the containers have it (the first one that waits or ended wins), and how many are ready."""
    ready, failed = 0, ""
    for each in reversed(status.get("containerStatuses") or []):
        restarts.add(each)
        terminated = get(each, "state.terminated")
        if waiting := get(each, "state.waiting.reason"):
            reason = waiting
        elif terminated is not None:
            reason = _ended(terminated)
            failed = reason if terminated.get("exitCode", 0) else failed
        elif each.get("ready") and get(each, "state.running") is not None:
            ready += 1
    if reason == "Completed":
        if ready and get(conditions, "Ready.status") == "True":
            reason = "Running"
        elif failed or ready:
            reason = failed or "NotReady"
    return reason, ready


def _readiness_gates(pod: Obj) -> str:
    gates = [gate["conditionType"] for gate in get(pod, "spec.readinessGates", [])]
    true = {c["type"] for c in get(pod, "status.conditions", []) if c["status"] == "True"}
    return f"{sum(gate in true for gate in gates)}/{len(gates)}" if gates else "<none>"


@printer("pods")
def pod(obj: Obj, now: float) -> list[Any]:
    ready, status, restarts = summary(obj, now)
    addresses = get(obj, "status.podIPs") or [{}]
    return [
        obj["metadata"]["name"],
        ready,
        status,
        restarts,
        age(obj, now),
        addresses[0].get("ip") or get(obj, "status.podIP") or "<none>",
        get(obj, "spec.nodeName") or "<none>",
        get(obj, "status.nominatedNodeName") or "<none>",
        _readiness_gates(obj),
    ]
