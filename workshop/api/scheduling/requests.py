"""What a pod asks for: plain integers, cpu in thousandths and everything else in its own unit.

Upstream: `component-helpers/resource/helpers.go`, `pkg/scheduler/util/pod_resources.go`.

>>> pod_requests({"spec": {"containers": [{"resources": {"requests": {"cpu": "250m", "memory": "1Ki"}}}]}})
{'cpu': 250, 'memory': 1024}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workshop.api import quantity

Amounts = dict[str, int]

DEFAULT_CPU = 100
DEFAULT_MEMORY = 200 * 1024 * 1024
"""A container that asks for nothing counts so much when nodes are scored; never when they are filtered."""


def amounts(quantities: Mapping[str, Any] | None) -> Amounts:
    """Of a resource list such as `requests` or a node's `allocatable`."""
    result: Amounts = {}
    for name, text in (quantities or {}).items():
        parsed = quantity.parse(text)
        result[name] = parsed.milli_value() if name == "cpu" else parsed.value()
    return result


def _requests(container: Mapping[str, Any], nonzero: bool, told: Mapping[str, Any]) -> Amounts:
    """`told`: the container's status, which counts while a resize is under way: as much as it may use at most."""
    given = (container.get("resources") or {}).get("requests")
    asked = amounts(given)
    for held in (told.get("allocatedResources"), (told.get("resources") or {}).get("requests")):
        if held and held != given:
            asked = _max(asked, {name: amount for name, amount in amounts(held).items() if name in ("cpu", "memory")})
    if nonzero:
        asked.setdefault("cpu", DEFAULT_CPU)
        asked.setdefault("memory", DEFAULT_MEMORY)
    return asked


def _add(total: Amounts, more: Amounts) -> Amounts:
    return {name: total.get(name, 0) + more.get(name, 0) for name in total | more}


def _max(a: Amounts, b: Amounts) -> Amounts:
    return {name: max(a.get(name, 0), b.get(name, 0)) for name in a | b}


def pod_requests(pod: Mapping[str, Any], nonzero: bool = False, reported: bool = False) -> Amounts:
    """The most that the pod needs at any one time: its containers together, or its hungriest init container.

    Sidecars (init containers that are always restarted) run beside both. `nonzero` counts a container that names no
    request with the defaults above. `reported`: what the status says is granted or in use counts, too, where it is
    more (upstream: `UseStatusResources`).
    """
    spec = pod.get("spec") or {}
    told = _told(pod) if reported else {}
    total: Amounts = {}
    for container in spec.get("containers") or ():
        total = _add(total, _requests(container, nonzero, told.get(container.get("name"), {})))
    sidecars: Amounts = {}
    starting: Amounts = {}
    for container in spec.get("initContainers") or ():
        asked = _requests(container, nonzero, told.get(container.get("name"), {}))
        if container.get("restartPolicy") == "Always":
            sidecars = _add(sidecars, asked)
            asked = sidecars
        else:
            asked = _add(asked, sidecars)
        starting = _max(starting, asked)
    total = _max(_add(total, sidecars), starting)
    total |= amounts((spec.get("resources") or {}).get("requests"))  # stated for the pod as a whole
    return _add(total, amounts(spec.get("overhead"))) if spec.get("overhead") else total


def _told(pod: Mapping[str, Any]) -> dict[str | None, Mapping[str, Any]]:
    status = pod.get("status") or {}
    found = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return {each["name"]: each for each in found}
