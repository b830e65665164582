"""Small questions about a pod and what the runtime shows of it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from workshop.api import quantity
from workshop.kubelet import cri
from workshop.kubelet.cri import ContainerStatus, PodSandboxStatus

Obj = dict[str, Any]


@dataclass(frozen=True)
class Observed:
    """A pod as the runtime has it. Upstream: `kubecontainer.PodStatus`."""

    sandboxes: tuple[PodSandboxStatus, ...] = ()
    containers: tuple[ContainerStatus, ...] = ()

    def sandbox(self) -> PodSandboxStatus | None:
        """The newest one."""
        return max(self.sandboxes, key=lambda s: (s.attempt, s.created_at), default=None)

    def history(self, name: str) -> list[ContainerStatus]:
        """All attempts of a container, the newest first."""
        found = [container for container in self.containers if container.name == name]
        return sorted(found, key=lambda c: (c.attempt, c.created_at), reverse=True)

    def latest(self, name: str) -> ContainerStatus | None:
        """The newest attempt."""
        return next(iter(self.history(name)), None)

    def running(self) -> list[ContainerStatus]:
        return [container for container in self.containers if container.state == cri.RUNNING]


def containers(pod: Obj) -> list[Obj]:
    found: list[Obj] = pod["spec"].get("containers") or []
    return found


def init_containers(pod: Obj) -> list[Obj]:
    found: list[Obj] = pod["spec"].get("initContainers") or []
    return found


def ephemeral_containers(pod: Obj) -> list[Obj]:
    found: list[Obj] = pod["spec"].get("ephemeralContainers") or []
    return found


def all_containers(pod: Obj) -> list[Obj]:
    return [*init_containers(pod), *containers(pod), *ephemeral_containers(pod)]


def container_named(pod: Obj, name: str) -> Obj | None:
    return next((c for c in all_containers(pod) if c["name"] == name), None)


def field_path(pod: Obj, name: str) -> str:
    """As events name a container: `spec.initContainers{setup}`."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        if any(c["name"] == name for c in pod["spec"].get(field) or ()):
            return f"spec.{field}{{{name}}}"
    return ""


def is_sidecar(container: Mapping[str, Any]) -> bool:
    """An init container that goes on running (KEP-753)."""
    return container.get("restartPolicy") == "Always"


def restart_policy(pod: Obj) -> str:
    return str(pod["spec"].get("restartPolicy", "Always"))


def full_name(pod: Obj) -> str:
    """`web-0_default(uid)`, as kubelet's messages name a pod."""
    meta = pod["metadata"]
    return f"{meta['name']}_{meta.get('namespace', 'default')}({meta.get('uid', '')})"


def container_hash(container: Obj) -> str:
    """Changes when the container must be made anew (upstream hashes name and image)."""
    return hashlib.sha256(f"{container['name']}\0{container.get('image', '')}".encode()).hexdigest()[:8]


def is_terminal(phase: str | None) -> bool:
    return phase in ("Succeeded", "Failed")


def qos_class(pod: Obj) -> str:
    """Guaranteed, Burstable or BestEffort. Upstream: `pkg/apis/core/v1/helper/qos`."""
    requests: dict[str, quantity.Quantity] = {}
    limits: dict[str, quantity.Quantity] = {}
    guaranteed, own = True, pod["spec"].get("resources") or {}
    whole = [{"resources": own}] if own.get("requests") or own.get("limits") else []
    for container in whole or [*containers(pod), *init_containers(pod)]:
        resources = container.get("resources") or {}
        for target, source in ((requests, "requests"), (limits, "limits")):
            for name, text in (resources.get(source) or {}).items():
                if name in ("cpu", "memory") and not quantity.parse(text).is_zero():
                    amount = quantity.parse(text)
                    target[name] = target[name] + amount if name in target else amount
        given = {name for name, text in (resources.get("limits") or {}).items() if not quantity.parse(text).is_zero()}
        if not {"cpu", "memory"} <= given:
            guaranteed = False
    if not requests and not limits:
        return "BestEffort"
    same = all(name in limits and limits[name] == amount for name, amount in requests.items())
    return "Guaranteed" if guaranteed and same and len(requests or limits) == len(limits) else "Burstable"


def names(found: Iterable[Obj]) -> list[str]:
    return [c["name"] for c in found]
