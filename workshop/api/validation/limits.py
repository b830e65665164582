"""LimitRanges and ResourceQuotas. Upstream: core/validation (ValidateLimitRange, ValidateResourceQuota), v1.36.2."""

from __future__ import annotations

from typing import Any

from workshop.api import names, quantity
from workshop.api.meta import Obj
from workshop.api.validation import amounts
from workshop.api.validation.field import ErrorList

LIMIT_TYPES = ("Container", "PersistentVolumeClaim", "Pod")
NOT_FOR_PODS = "may not be specified when `type` is 'Pod'"
MAX_MILLI = (2**63 - 1) // 1000


def limit_range(errors: ErrorList, obj: Obj) -> None:
    seen: set[str] = set()
    for index, limit in enumerate(obj["spec"].get("limits") or []):
        at, kind = f"spec.limits[{index}]", limit.get("type", "")
        _limit_type(errors, f"{at}.type", kind)
        if kind in seen:
            errors.duplicate(f"{at}.type", kind)
        seen.add(kind)
        _limit(errors, at, limit, kind)


def _limit_type(errors: ErrorList, path: str, kind: str) -> None:
    complaints = names.qualified_name(kind)
    errors.each(path, kind, complaints)
    if not complaints and "/" not in kind and kind not in LIMIT_TYPES:
        errors.invalid(path, kind, "must be a standard limit type or fully qualified")


PARTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def _limit(errors: ErrorList, at: str, limit: Obj, kind: str) -> None:
    check: Any = amounts.container_resource if kind in ("Pod", "Container") else amounts.resource_name
    found: dict[str, dict[str, quantity.Quantity]] = {}
    for part in PARTS:
        given = limit.get(part) or {}
        if kind == "Pod" and part in ("default", "defaultRequest"):
            if given:
                errors.forbidden(f"{at}.{part}", NOT_FOR_PODS)
            continue
        for name, value in given.items():
            check(errors, f"{at}.{part}[{name}]", name)
            found.setdefault(name, {})[part] = quantity.parse(value)
    if kind == "PersistentVolumeClaim" and not any("storage" in (limit.get(part) or {}) for part in ("min", "max")):
        said = "either minimum or maximum storage value is required, but neither was provided"
        errors.required(f"{at}.limits", said)
    for name, values in found.items():
        _compare(errors, at, name, values)


ORDER = (  # (what must not be above, what must not be below, whose field is told, whose value is shown, what they are)
    ("min", "max", "min", "min", "min value {} is greater than max value {}"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest",
     "min value {} is greater than default request value {}"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest",
     "default request value {} is greater than max value {}"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest",
     "default request value {} is greater than default limit value {}"),
    ("min", "default", "default", "min", "min value {} is greater than default value {}"),
    ("default", "max", "default", "max", "default value {} is greater than max value {}"),
)  # fmt: skip


def _compare(errors: ErrorList, at: str, name: str, values: dict[str, quantity.Quantity]) -> None:
    for low, high, told, shown, said in ORDER:
        if low in values and high in values and values[low] > values[high]:
            errors.invalid(f"{at}.{told}[{name}]", str(values[shown]), said.format(values[low], values[high]))
    ratio = values.get("maxLimitRequestRatio")
    if ratio is not None:
        _ratio(errors, f"{at}.maxLimitRequestRatio[{name}]", ratio, values)
    default, request = values.get("default"), values.get("defaultRequest")
    if not amounts.may_overcommit(name) and default is not None and request is not None and default != request:
        said = f"default value {default} must equal to defaultRequest value {request} in {name}"
        errors.invalid(f"{at}.defaultRequest[{name}]", str(request), said)


def _ratio(errors: ErrorList, at: str, ratio: quantity.Quantity, values: dict[str, quantity.Quantity]) -> None:
    if ratio < quantity.parse("1"):
        errors.invalid(at, str(ratio), f"ratio {ratio} is less than 1")
    if "min" not in values or "max" not in values:
        return
    three = (ratio, values["min"], values["max"])
    if all(each.value() < MAX_MILLI for each in three):
        mine, low, high = ratio.milli_value() / 1000, values["min"].milli_value(), values["max"].milli_value()
    else:
        mine, low, high = float(ratio.value()), values["min"].value(), values["max"].value()
    if low == 0:
        return
    if mine > high / low:
        errors.invalid(at, str(ratio), f"ratio {ratio} is greater than max/min = {high / low:f}")


# --- quotas ---------------------------------------------------------------------------------------------------------

OF_PODS = {"pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"}
FITTING = {
    "Terminating": OF_PODS,
    "NotTerminating": OF_PODS,
    "NotBestEffort": OF_PODS,
    "PriorityClass": OF_PODS,
    "CrossNamespacePodAffinity": OF_PODS,
    "BestEffort": {"pods"},
    "VolumeAttributesClass": {"persistentvolumeclaims", "requests.storage"},
}
"""Scope → what it can be applied to."""
EXISTS = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)
OPPOSITES = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})


def quota(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    hard_amounts(errors, "spec.hard", spec.get("hard"))
    _scopes(errors, spec)
    if spec.get("scopeSelector") is not None:
        _scope_selector(errors, spec)


def hard_amounts(errors: ErrorList, path: str, found: dict[str, str] | None) -> None:
    for name, value in (found or {}).items():
        amounts.quota_resource(errors, f"{path}[{name}]", name)
        amounts.amount(errors, f"{path}[{name}]", name, value)


def _is_counted(name: str) -> bool:
    return name in amounts.QUOTA or amounts.is_quota_huge(name)


def _scopes(errors: ErrorList, spec: Obj) -> None:
    scopes, at = spec.get("scopes") or [], "spec.scopes"
    for scope in scopes:
        if scope not in FITTING:
            errors.invalid(at, scopes, "unsupported scope")
            continue
        for name in sorted(spec.get("hard") or {}):
            if _is_counted(name) and name not in FITTING[scope]:
                errors.invalid(at, scopes, "unsupported scope applied to resource")
    for pair in OPPOSITES:
        if pair <= set(scopes):
            errors.invalid(at, scopes, "conflicting scopes")


def _scope_selector(errors: ErrorList, spec: Obj) -> None:
    selector, at = spec["scopeSelector"], "spec.scopeSelector.matchExpressions"
    expressions = selector.get("matchExpressions") or []
    for each in expressions:
        scope, operator, values = each.get("scopeName", ""), each.get("operator", ""), each.get("values") or []
        if scope not in FITTING:
            errors.invalid(f"{at}.scopeName", scope, "unsupported scope")
        else:
            for name in sorted(spec.get("hard") or {}):
                if _is_counted(name) and name not in FITTING[scope]:
                    errors.invalid(at, _shown(expressions), "unsupported scope applied to resource")
        if scope in FITTING and scope not in ("PriorityClass", "VolumeAttributesClass") and operator != "Exists":
            errors.invalid(f"{at}.operator", operator, EXISTS)
        if operator in ("In", "NotIn"):
            if not values:
                said = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                errors.required(f"{at}.values", said)
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                said = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                errors.invalid(f"{at}.values", values, said)
        else:
            errors.invalid(f"{at}.operator", operator, "not a valid selector operator")
    scopes = {each.get("scopeName", "") for each in expressions}
    for pair in OPPOSITES:
        if pair <= scopes:
            errors.invalid(at, spec.get("scopes"), "conflicting scopes")


def _shown(expressions: list[Obj]) -> Obj:
    """As upstream prints its internal type."""
    made = [
        {"ScopeName": e.get("scopeName", ""), "Operator": e.get("operator", ""), "Values": e.get("values")}
        for e in expressions
    ]
    return {"MatchExpressions": made}


def quota_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    mine, theirs = (obj["spec"].get("scopes") for obj in (new, old))
    if set(mine or []) != set(theirs or []):
        errors.invalid("spec.scopes", mine, "field is immutable")


def quota_status(errors: ErrorList, new: Obj, old: Obj) -> None:
    for part in ("hard", "used"):
        hard_amounts(errors, f"status.{part}", (new.get("status") or {}).get(part))
