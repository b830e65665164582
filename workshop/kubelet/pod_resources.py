"""What a pod as a whole is given, as its status says it. Pure.

Upstream: `pkg/kubelet/kubelet_pods.go` (`convertToAPIPodLevelResourcesStatus`).
"""

from __future__ import annotations

from workshop.api.scheduling.pod_resources import Amounts, Side, of_pod
from workshop.kubelet.pods import Obj


def _shown(found: Amounts) -> dict[str, str]:
    return {name: str(amount) for name, amount in sorted(found.items())}


def allocated(pod: Obj) -> dict[str, str]:
    """`status.allocatedResources`."""
    return _shown(of_pod(pod, "requests"))


def in_force(pod: Obj) -> Obj:
    """`status.resources`; of a pod that runs, only what a control group knows, and what the pod itself names."""
    found = {}
    sides: tuple[Side, Side] = ("limits", "requests")
    for part in sides:
        amounts, own = of_pod(pod, part), (pod["spec"].get("resources") or {}).get(part) or {}
        if (pod.get("status") or {}).get("phase") == "Running":
            amounts = {name: amount for name, amount in amounts.items() if name in ("cpu", "memory") or name in own}
        found[part] = _shown(amounts)
    return {part: amounts for part, amounts in found.items() if amounts}
