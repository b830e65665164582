"""A pod waits until its ResourceClaims are there and allocated, and goes only where their devices are.

First form: no device is chosen here. A claim is allocated by whoever writes its status; until then the pod hears what
it would hear in a cluster without devices, `cannot allocate all claims`.

Upstream: `pkg/scheduler/framework/plugins/dynamicresources`, `k8s.io/dynamic-resource-allocation/resourceclaim`.
"""

from __future__ import annotations

from workshop.api import meta
from workshop.api.errors import quote
from workshop.api.meta import Key, Obj
from workshop.api.scheduling.node_affinity import NodeSelectorTerm, node_selector_term
from workshop.scheduler.framework import CycleState, Plugin, Status, unresolvable
from workshop.scheduler.node_info import NodeInfo, PodInfo, Snapshot
from workshop.scheduler.plugins.volume_binding import NOTHING, Objects

MOST_CONSUMERS = 256
IN_USE, UNALLOCATED = "resourceclaim in use", "cannot allocate all claims"
ELSEWHERE = "resourceclaim not available on the node"


class DynamicResources(Plugin):
    name = "DynamicResources"
    events = frozenset({"ResourceClaim/Change", "Pod/GeneratedClaim", "Node/Add", "Node/Label"})

    def __init__(self, claims: Objects = NOTHING, classes: Objects = NOTHING) -> None:
        self.claims, self.classes = claims, classes

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        asked = pod.spec.get("resourceClaims") or ()
        if not asked:
            state.skip_filter.add(self.name)
            return None
        reach: list[tuple[NodeSelectorTerm, ...]] = []
        allocated = True
        for each in asked:
            found = self._claim(pod, each)
            if isinstance(found, str):
                return unresolvable(found)
            if found is None:
                continue  # its template made none
            status = found.get("status") or {}
            allocation = status.get("allocation")
            if allocation is None and (missing := self._missing_class(found)):
                return unresolvable(missing)
            allocated = allocated and allocation is not None
            users = status.get("reservedFor") or []
            if allocation and len(users) >= MOST_CONSUMERS and pod.uid not in [u.get("uid") for u in users]:
                return unresolvable(IN_USE)
            if selector := (allocation or {}).get("nodeSelector"):
                reach.append(tuple(map(node_selector_term, selector.get("nodeSelectorTerms") or ())))
        state.notes[self.name] = reach, allocated
        return None

    def _claim(self, pod: PodInfo, asked: Obj) -> Obj | str | None:
        """The claim that an entry of `spec.resourceClaims` names, or that was made for it; or why there is none."""
        namespace, name = pod.key.namespace, asked.get("resourceClaimName")
        made = asked.get("resourceClaimTemplateName") is not None
        if made:
            statuses = (pod.pod.get("status") or {}).get("resourceClaimStatuses") or ()
            told = next((each for each in statuses if each.get("name") == asked.get("name")), None)
            if told is None:
                return f'pod "{namespace}/{pod.key.name}": ResourceClaim not created yet'
            if (name := told.get("resourceClaimName")) is None:
                return None
        found = self.claims.get(Key(namespace, name or ""))
        if found is None:
            return f"could not find ResourceClaim {quote(f'{namespace}/{name}')}"
        if meta.deletion_timestamp(found) is not None:
            return f"resourceclaim {quote(name or '')} is being deleted"
        if made and (meta.controller_of(found) or {}).get("uid") != pod.uid:
            pair = f"ResourceClaim {namespace}/{name} was not created for Pod {namespace}/{pod.key.name}"
            return f"{pair} (Pod is not owner)"
        return found

    def _missing_class(self, claim: Obj) -> str:
        for request in ((claim.get("spec") or {}).get("devices") or {}).get("requests") or ():
            name = request.get("name", "")
            exactly = request.get("exactly")
            alternatives = [(f"{name}/{each.get('name', '')}", each) for each in request.get("firstAvailable") or ()]
            for path, asked in [(name, exactly)] if exactly is not None else alternatives:
                if self.classes.get(Key("", asked.get("deviceClassName", ""))) is None:
                    return f"request {path}: device class {asked.get('deviceClassName', '')} does not exist"
        return ""

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        reach, allocated = state.notes[self.name]
        if any(not any(term.matches(node.node) for term in terms) for terms in reach):
            return unresolvable(ELSEWHERE)
        return None if allocated else unresolvable(UNALLOCATED)
