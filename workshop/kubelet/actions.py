"""What has to be done so that a pod becomes what its spec says: the kubelet's deciding function.

    compute_pod_actions(pod, observed, health) → PodActions

It looks at the spec and at what the runtime shows, and nothing else; `pod_worker.py` then acts. The acting part may
fail or be interrupted at any point: the next call looks again.
Upstream: `pkg/kubelet/kuberuntime/kuberuntime_manager.go`, `computePodActions`. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workshop.api.scheduling import requests
from workshop.kubelet import cri, pods, restarts
from workshop.kubelet.pods import Obj, Observed

HASH = "io.kubernetes.container.hash"


@dataclass(frozen=True)
class Kill:
    """A container to be stopped, and why."""

    container_id: str
    name: str
    message: str
    reason: str = ""


@dataclass(frozen=True)
class PodActions:
    """In the order in which they are done: kill, change limits, make the sandbox, start."""

    kill_pod: bool = False
    create_sandbox: bool = False
    attempt: int = 0
    kill: tuple[Kill, ...] = ()
    update: tuple[tuple[str, str], ...] = ()
    """(container name, id) whose limits are to be changed while it runs."""
    start: tuple[str, ...] = ()
    remove: tuple[tuple[str, str, bool], ...] = ()
    """(container name, id, whether it still runs): the pod begins anew, and these go first."""


@dataclass(frozen=True)
class Health:
    """What the probes have found: ids of containers whose liveness or startup probe failed, or that have started."""

    liveness_failed: frozenset[str] = frozenset()
    startup_failed: frozenset[str] = frozenset()
    started: Mapping[str, bool] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    """Container name → the `resources` that the runtime was told last, of those that run."""


def compute_pod_actions(pod: Obj, observed: Observed, health: Health, *, anew: bool = False) -> PodActions:
    """Decide. For a pod that is not being deleted. `anew`: a rule of a container asked that all be restarted."""
    sandbox = observed.sandbox()
    if anew and not restarts.all_removed(pod, observed):
        gone = restarts.to_remove(pod, observed)
        return PodActions(remove=tuple((c.name, c.id, c.state == cri.RUNNING) for c in gone))
    if sandbox is None or sandbox.state != cri.READY:
        return _new_sandbox(pod, observed, 0 if sandbox is None else sandbox.attempt + 1)
    kills, starts = _ephemeral(pod, observed)
    initialized, init_failed = _init_containers(pod, observed, health, starts, kills)
    if init_failed:
        return PodActions(kill_pod=True)
    if not initialized:
        return PodActions(attempt=sandbox.attempt, kill=tuple(kills), start=tuple(starts))
    kept = 0
    regular: list[str] = []
    for container in pods.containers(pod):
        status = observed.latest(container["name"])
        if status is None or status.state != cri.RUNNING:
            if restarts.should_restart(pod, container, status):
                regular.append(container["name"])
            continue
        why = _why_restart(pod, container, status, health)
        if why is None:
            kept += 1
            continue
        kills.append(why)
        if restarts.policy_of(pod, container) != "Never":
            kept += 1  # it is started again once it has ended
    if not kept and not regular:
        # all has run to its end: what is left (sidecars, the sandbox) is not needed any more
        return PodActions(kill_pod=True)
    changes = _limits_to_change(pod, observed, health, {kill.name for kill in kills})
    return PodActions(attempt=sandbox.attempt, kill=tuple(kills), update=changes, start=tuple(starts + regular))


def _limits_to_change(pod: Obj, observed: Observed, health: Health, killed: set[str]) -> tuple[tuple[str, str], ...]:
    """The running containers that are resized in place, those that shrink before those that grow."""
    found = []
    for container in [*pods.containers(pod), *pods.init_containers(pod)]:
        status = observed.latest(container["name"])
        if status is None or status.state != cri.RUNNING or container["name"] in killed:
            continue
        if delta := resized(container, health):
            grows = any(wanted > had for had, wanted in delta.values())
            found.append((grows, (container["name"], status.id)))
    return tuple(entry for _, entry in sorted(found, key=lambda pair: pair[0]))


def resized(container: Obj, health: Health) -> dict[tuple[str, str], tuple[int, int]]:
    """{(requests or limits, cpu or memory): (in force, wanted)} where they differ."""
    had = health.resources.get(container["name"])
    if had is None:
        return {}
    wanted, found = container.get("resources") or {}, {}
    for part in ("requests", "limits"):
        before, after = requests.amounts(had.get(part)), requests.amounts(wanted.get(part))
        for name in ("cpu", "memory"):
            if before.get(name, 0) != after.get(name, 0):
                found[part, name] = (before.get(name, 0), after.get(name, 0))
    return found


def _new_sandbox(pod: Obj, observed: Observed, attempt: int) -> PodActions:
    """No (ready) sandbox: make one, unless nothing would run in it."""
    wanted = []
    for container in pods.containers(pod):
        if restarts.should_restart(pod, container, observed.latest(container["name"])):
            wanted.append(container["name"])
    if not wanted:
        return PodActions(kill_pod=bool(observed.running()))
    failed_for_good = any(
        (status := observed.latest(c["name"]))
        and status.state == cri.EXITED
        and status.exit_code
        and not restarts.restarts_after(pod, c, status.exit_code)
        for c in pods.init_containers(pod)
        if not pods.is_sidecar(c)
    )
    if failed_for_good or (attempt and pods.restart_policy(pod) == "Never" and observed.containers):
        return PodActions(kill_pod=bool(observed.running()))
    first = pods.init_containers(pod)[:1]
    return PodActions(
        kill_pod=bool(observed.running()),
        create_sandbox=True,
        attempt=attempt,
        start=tuple(pods.names(first) or wanted),
    )


def _ephemeral(pod: Obj, observed: Observed) -> tuple[list[Kill], list[str]]:
    """Ephemeral containers are started once, whatever else happens."""
    new = [c["name"] for c in pods.ephemeral_containers(pod) if observed.latest(c["name"]) is None]
    return [], new


def _init_containers(
    pod: Obj, observed: Observed, health: Health, starts: list[str], kills: list[Kill]
) -> tuple[bool, bool]:
    """How far the init containers are. Returns (all done, failed for good); adds to `starts` and `kills`.

    It looks from the last one back: whoever has run tells that all before him are done, also when their traces are
    gone; of those only the sidecars are kept running. Containers of the present sandbox count: a pod whose sandbox was
    made anew runs its init containers again.
    """
    inits, sandbox = pods.init_containers(pod), observed.sandbox()
    here = sandbox.id if sandbox else ""
    initialized = not inits or any(
        status.sandbox_id == here
        for container in pods.containers(pod)
        for status in observed.history(container["name"])
    )
    passed, found = initialized, []
    for index, container in reversed(list(enumerate(inits))):
        status, sidecar = observed.latest(container["name"]), pods.is_sidecar(container)
        if status is None or status.sandbox_id != here:
            if passed and sidecar:
                found.append(index)
            continue
        if passed and not sidecar:
            continue
        done = False
        if status.state == cri.RUNNING and sidecar:
            done = health.started.get(status.id, not container.get("startupProbe"))
            if why := _why_restart(pod, container, status, health, "Init container"):
                kills.append(why)
        elif status.state == cri.EXITED and not sidecar and not status.exit_code:
            done = True
        elif (
            status.state == cri.EXITED and not sidecar and not restarts.restarts_after(pod, container, status.exit_code)
        ):
            return False, True
        elif status.state != cri.RUNNING:
            found.append(index)
        if done and index == len(inits) - 1:
            initialized = True
        elif done and not passed:
            found.append(index + 1)
        passed = True
    if not passed:
        found.append(0)
    starts += [inits[index]["name"] for index in sorted(found)]
    return initialized, False


def _why_restart(
    pod: Obj, container: Obj, status: cri.ContainerStatus, health: Health, kind: str = "Container"
) -> Kill | None:
    name, who = container["name"], f"{kind} {container['name']}"
    plain = kind == "Container" and restarts.policy_of(pod, container) != "Never"
    again = ", will be restarted" if plain else ""
    if status.annotations.get(HASH, pods.container_hash(container)) != pods.container_hash(container):
        return Kill(status.id, name, f"{who} definition changed, will be restarted")
    if status.id in health.liveness_failed:
        return Kill(status.id, name, f"{who} failed liveness probe{again}", "LivenessProbe")
    if status.id in health.startup_failed:
        return Kill(status.id, name, f"{who} failed startup probe{again}", "StartupProbe")
    restarting = {p["resourceName"] for p in container.get("resizePolicy") or () if p["restartPolicy"] != "NotRequired"}
    if any(resource in restarting for _, resource in resized(container, health)):
        return Kill(status.id, name, f"{who} resize requires restart")
    return None
