"""What a pod as a whole is given, as its status says it. Pure.

Upstream: `component-helpers/resource/helpers.go` (`PodRequests`, `PodLimits`), `pkg/kubelet/kubelet_pods.go`
(`convertToAPIPodLevelResourcesStatus`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workshop.api import quantity
from workshop.api.quantity import Quantity
from workshop.kubelet import pods
from workshop.kubelet.pods import Obj

Amounts = dict[str, Quantity]


def _of(resources: Mapping[str, Any] | None, part: str) -> Amounts:
    return {name: quantity.parse(text) for name, text in ((resources or {}).get(part) or {}).items()}


def _add(one: Amounts, other: Amounts) -> Amounts:
    both = {name: one[name] + other[name] for name in one.keys() & other.keys()}
    return {**one, **other, **both}


def _most(one: Amounts, other: Amounts) -> Amounts:
    return {**one, **{name: amount for name, amount in other.items() if name not in one or one[name] < amount}}


def total(pod: Obj, part: str) -> Amounts:
    """`requests` or `limits` of the whole pod: what its containers use together, or its hungriest init container."""
    found: Amounts = {}
    for container in pods.containers(pod):
        found = _add(found, _of(container.get("resources"), part))
    sidecars: Amounts = {}
    starting: Amounts = {}
    for container in pods.init_containers(pod):
        asked = _of(container.get("resources"), part)
        if pods.is_sidecar(container):
            found, sidecars = _add(found, asked), _add(sidecars, asked)
            asked = sidecars
        else:
            asked = _add(asked, sidecars)
        starting = _most(starting, asked)
    found = _most(found, starting)
    found |= _of(pod["spec"].get("resources"), part)
    overhead = _of({part: pod["spec"].get("overhead")}, part)
    if part == "limits":
        overhead = {name: amount for name, amount in overhead.items() if name in found and not found[name].is_zero()}
    return _add(found, overhead)


def _shown(found: Amounts) -> dict[str, str]:
    return {name: str(amount) for name, amount in sorted(found.items())}


def allocated(pod: Obj) -> dict[str, str]:
    """`status.allocatedResources`."""
    return _shown(total(pod, "requests"))


def in_force(pod: Obj) -> Obj:
    """`status.resources`; of a pod that runs, only what a control group knows, and what the pod itself names."""
    found = {}
    for part in ("limits", "requests"):
        amounts, own = total(pod, part), _of(pod["spec"].get("resources"), part)
        if (pod.get("status") or {}).get("phase") == "Running":
            amounts = {name: amount for name, amount in amounts.items() if name in ("cpu", "memory") or name in own}
        found[part] = _shown(amounts)
    return {part: amounts for part, amounts in found.items() if amounts}
