"""What a whole pod asks for, exactly: requests and limits as quantities, summed over its containers. (`requests` counts
in whole numbers, quicker, for the scheduler.)

Ordinary containers run side by side, so they add up. Init containers run one after another before them, so only the
largest counts; those that keep running (`restartPolicy: Always`) count beside all that start later.

Upstream: `staging/src/k8s.io/component-helpers/resource/helpers.go`.
"""

from __future__ import annotations

from typing import Literal

from workshop.api.meta import Obj
from workshop.api.quantity import Quantity, parse

Amounts = dict[str, Quantity]
Side = Literal["requests", "limits"]


def amounts(resources: Obj | None, side: Side) -> Amounts:
    """The parsed quantities of a `resources` field."""
    return {key: parse(value) for key, value in ((resources or {}).get(side) or {}).items()}


def add(*parts: Amounts) -> Amounts:
    """The sum, resource by resource."""
    total: Amounts = {}
    for part in parts:
        for key, value in part.items():
            total[key] = total[key] + value if key in total else value
    return total


def largest(*parts: Amounts) -> Amounts:
    """The maximum, resource by resource."""
    most: Amounts = {}
    for part in parts:
        for key, value in part.items():
            most[key] = max(most[key], value) if key in most else value
    return most


def of_pod(pod: Obj, side: Side) -> Amounts:
    """Sum of a pod's containers; what is set for the pod as a whole counts instead; overhead is added to requests."""
    spec = pod.get("spec") or {}
    total = add(*(amounts(c.get("resources"), side) for c in spec.get("containers") or ()))
    sidecars: Amounts = {}
    starting: Amounts = {}
    for container in spec.get("initContainers") or ():
        own = amounts(container.get("resources"), side)
        if container.get("restartPolicy") == "Always":
            total, sidecars = add(total, own), add(sidecars, own)
            own = sidecars
        else:
            own = add(own, sidecars)
        starting = largest(starting, own)
    total = largest(total, starting)
    for key, value in amounts(spec.get("resources"), side).items():
        if key in ("cpu", "memory") or key.startswith("hugepages-"):
            total[key] = value
    overhead = {key: parse(value) for key, value in (spec.get("overhead") or {}).items()}
    if side == "limits":
        overhead = {key: value for key, value in overhead.items() if key in total and not total[key].is_zero()}
    return add(total, overhead)
