"""Nodes. Upstream: core/validation (ValidateNode, ValidateNodeUpdate), v1.36.2."""

from __future__ import annotations

import re

from workshop.api.meta import Obj
from workshop.api.validation import addresses, amounts, scheduling
from workshop.api.validation.field import ErrorList

FEATURE = re.compile(r"[A-Z][a-zA-Z0-9]*(/[a-zA-Z][a-zA-Z0-9]*)*")
NOT_A_FEATURE = (
    "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or "
    "MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
)


def node(errors: ErrorList, obj: Obj) -> None:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    scheduling.taints(errors, "metadata.taints", spec.get("taints") or [])
    _resources(errors, status)
    swap = (status.get("nodeInfo") or {}).get("swap") or {}
    if swap.get("capacity") is not None and swap["capacity"] <= 0:
        errors.invalid("metadata.nodeSwapStatus.capacity", swap["capacity"], "must be greater than zero")
    _features(errors, status.get("declaredFeatures") or [])
    ranges = spec.get("podCIDRs") or []
    for index, value in enumerate(ranges):
        addresses.legacy_range(errors, f"spec.podCIDRs[{index}]", value)
    if len(ranges) > 1 and (not addresses.dual(ranges) or len(ranges) > 2):
        errors.invalid("spec.podCIDRs", ranges, "may specify no more than one CIDR for each IP family")


def _resources(errors: ErrorList, status: Obj) -> None:
    for part in ("capacity", "allocatable"):
        for name, value in (status.get(part) or {}).items():
            amounts.amount(errors, f"status.{part}.{name}", name, value)


def _features(errors: ErrorList, found: list[str]) -> None:
    for index, name in enumerate(found):
        at = f"status.declaredFeatures[{index}]"
        if len(name) > 253:
            errors.invalid(at, name, f'invalid feature name "{name}": must be no more than 253 characters')
        elif not FEATURE.fullmatch(name):
            errors.invalid(at, name, f'invalid feature name "{name}": {NOT_A_FEATURE}')
        if index and found[index - 1] == name:
            errors.duplicate(at, name)
        elif index and found[index - 1] > name:
            errors.invalid(at, name, "list must be sorted alphabetically")


def node_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    spec, before, status = new.get("spec") or {}, old.get("spec") or {}, new.get("status") or {}
    _resources(errors, status)
    _features(errors, status.get("declaredFeatures") or [])
    seen: list[Obj] = []
    for index, address in enumerate(status.get("addresses") or []):
        if address in seen:
            shown = {"Type": address.get("type", ""), "Address": address.get("address", "")}
            errors.duplicate(f"status.addresses[{index}]", shown)
        seen.append(address)
    mine, theirs = spec.get("podCIDRs") or [], before.get("podCIDRs") or []
    if theirs:
        said = 'node updates may not change podCIDR except from "" to valid'
        changed = len(mine) != len(theirs) or sum(a != b for a, b in zip(mine, theirs, strict=True))
        for _ in range(int(changed)):
            errors.forbidden("spec.podCIDRs", said)
    if before.get("providerID") and spec.get("providerID") != before["providerID"]:
        said = 'node updates may not change providerID except from "" to valid'
        errors.forbidden("spec.providerID", said)
    scheduling.taints(errors, "metadata.taints", spec.get("taints") or [])
    if spec.get("externalID", "") != before.get("externalID", ""):
        errors.forbidden("spec.externalID", "may not be updated")
