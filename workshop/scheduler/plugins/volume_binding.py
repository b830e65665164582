"""A pod waits until its PersistentVolumeClaims are bound, and goes only where their volumes can be reached.

First form: claims that wait for their first consumer hold no pod back, and no volume is chosen for them here. Upstream:
`pkg/scheduler/framework/plugins/volumebinding`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from workshop.api import meta
from workshop.api.errors import quote
from workshop.api.meta import Key, Obj
from workshop.api.scheduling.node_affinity import NodeSelectorTerm, node_selector_term
from workshop.scheduler.framework import CycleState, Plugin, Status, unresolvable
from workshop.scheduler.node_info import NodeInfo, PodInfo, Snapshot

UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
ELSEWHERE = "node(s) didn't match PersistentVolume's node affinity"


class Objects(Protocol):
    """What is asked of an informer's store."""

    def get(self, key: Key) -> Obj | None: ...


class Nothing:
    def get(self, key: Key) -> Obj | None:
        return None


NOTHING = Nothing()


class VolumeBinding(Plugin):
    name = "VolumeBinding"
    events = frozenset({"Claim/Change", "Volume/Change", "Node/Add", "Node/Label"})

    def __init__(
        self,
        claims: Objects = NOTHING,
        volumes: Objects = NOTHING,
        classes: Objects = NOTHING,
    ) -> None:
        self.claims, self.volumes, self.classes = claims, volumes, classes

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        reach: list[tuple[NodeSelectorTerm, ...] | None] = []
        for name, ephemeral in claims_of(pod):
            claim = self.claims.get(Key(pod.key.namespace, name))
            if claim is None:
                waits = "waiting for ephemeral volume controller to create the persistentvolumeclaim"
                missing = f"{waits} {quote(name)}" if ephemeral else f"persistentvolumeclaim {quote(name)} not found"
                return unresolvable(missing)
            if wrong := self._wrong(claim):
                return unresolvable(wrong)
            if volume := (claim.get("spec") or {}).get("volumeName"):
                found = self.volumes.get(Key("", volume))
                if found is None:
                    return unresolvable(f"persistentvolume {quote(volume)} not found")
                reach.append(reach_of(found))
        if not reach:
            state.skip_filter.add(self.name)
        state.notes[self.name] = reach
        return None

    def _wrong(self, claim: Obj) -> str:
        name, spec = quote(meta.name(claim)), claim.get("spec") or {}
        if (claim.get("status") or {}).get("phase") == "Lost":
            volume = quote(spec.get("volumeName") or "")
            return f"persistentvolumeclaim {name} bound to non-existent persistentvolume {volume}"
        if meta.deletion_timestamp(claim) is not None:
            return f"persistentvolumeclaim {name} is being deleted"
        bound = spec.get("volumeName") and "pv.kubernetes.io/bind-completed" in meta.annotations(claim)
        return "" if bound or self._may_wait(spec) else UNBOUND

    def _may_wait(self, spec: dict[str, Any]) -> bool:
        """Its class binds only when a pod has been given a node."""
        found = self.classes.get(Key("", spec.get("storageClassName") or "")) if not spec.get("volumeName") else None
        return found is not None and found.get("volumeBindingMode") == "WaitForFirstConsumer"

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        for terms in state.notes[self.name]:
            if terms is not None and not any(term.matches(node.node) for term in terms):
                return unresolvable(ELSEWHERE)
        return None


def reach_of(volume: Obj) -> tuple[NodeSelectorTerm, ...] | None:
    """The nodes from which a volume can be reached, one of the terms must match; None for all."""
    required = ((volume.get("spec") or {}).get("nodeAffinity") or {}).get("required")
    return tuple(map(node_selector_term, required.get("nodeSelectorTerms") or ())) if required else None


def claims_of(pod: PodInfo) -> Iterator[tuple[str, bool]]:
    """(name of the claim, is it the pod's own?) of each volume that has one."""
    for volume in pod.spec.get("volumes") or ():
        if claim := volume.get("persistentVolumeClaim"):
            yield claim.get("claimName") or "", False
        elif volume.get("ephemeral") is not None:
            yield f"{pod.key.name}-{volume.get('name', '')}", True
