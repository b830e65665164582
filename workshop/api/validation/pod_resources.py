"""Limits and requests of a whole pod, beside those of its containers. Upstream: core/validation
(validatePodResources), v1.36.2.
"""

from __future__ import annotations

from workshop.api import quantity
from workshop.api.meta import Obj
from workshop.api.validation import amounts
from workshop.api.validation.containers import Within
from workshop.api.validation.field import ErrorList


def pod_level(errors: ErrorList, at: str, spec: Obj, inside: Within) -> None:
    """Limits and requests of the whole pod."""
    found = spec.get("resources")
    if found is None:
        return
    if inside.os == "windows":
        errors.forbidden(at, "may not be set for a windows pod")
        return
    if found.get("claims"):
        errors.forbidden(f"{at}.claims", "claims may not be set for Resources at pod-level")
    amounts.requirements(errors, at, found, inside.claims, amounts.pod_resource)
    limits, requests = found.get("limits") or {}, found.get("requests") or {}
    for name, asked in _sum(spec, "requests").items():
        if name in requests and asked > quantity.parse(requests[name]):
            said = f"must be greater than or equal to aggregate container requests of {asked}"
            errors.invalid(f"{at}.requests[{name}]", requests[name], said)
    for name, asked in _sum(spec, "limits").items():
        if amounts.is_huge(name) and name in limits and asked > quantity.parse(limits[name]):
            said = f"must be greater than or equal to aggregate container limits of {asked}"
            errors.invalid(f"{at}.limits[{name}]", limits[name], said)
    for index, each in enumerate(spec.get("containers") or []):
        for name, value in ((each.get("resources") or {}).get("limits") or {}).items():
            if name in limits and quantity.parse(value) > quantity.parse(limits[name]):
                said = f"must be less than or equal to pod limits of {limits[name]}"
                errors.invalid(f"{at}.containers[{index}][{name}].limits", value, said)


def _sum(spec: Obj, kind: str) -> dict[str, quantity.Quantity]:
    """All containers together; sidecars count beside them, other init containers one at a time."""
    total: dict[str, quantity.Quantity] = {}
    sidecars: dict[str, quantity.Quantity] = {}
    peak: dict[str, quantity.Quantity] = {}
    zero = quantity.parse("0")

    def read(each: Obj) -> dict[str, quantity.Quantity]:
        found = (each.get("resources") or {}).get(kind) or {}
        return {name: quantity.parse(value) for name, value in found.items()}

    for each in spec.get("containers") or []:
        for name, value in read(each).items():
            total[name] = total.get(name, zero) + value
    for each in spec.get("initContainers") or []:
        for name, value in read(each).items():
            if each.get("restartPolicy") == "Always":
                total[name] = total.get(name, zero) + value
                sidecars[name] = sidecars.get(name, zero) + value
                now = sidecars[name]
            else:
                now = sidecars.get(name, zero) + value
            peak[name] = max(peak.get(name, zero), now)
    return {name: max(total.get(name, zero), peak.get(name, zero)) for name in {**total, **peak}}
