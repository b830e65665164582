"""Taints of devices and who bears them, conditions that must hold before a pod is bound, and rules that taint devices.
Upstream: pkg/apis/resource/validation (validateDeviceTaint, …Toleration, …BindingParameters), v1.36.2."""

from __future__ import annotations

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import devices, metadata
from workshop.api.validation.field import ErrorList

EFFECTS, OPERATORS = ("NoExecute", "NoSchedule", "None"), ("Equal", "Exists")
MOST_CONDITIONS = 4
MOST_RULE_CONDITIONS = 8


def taint(errors: ErrorList, at: str, found: Obj, before: Obj | None = None) -> None:
    """An effect that was there `before` stays right, even one that is unknown."""
    metadata.label_key(errors, f"{at}.key", found.get("key", ""))
    _value(errors, f"{at}.value", found.get("value", ""))
    if before is None or before.get("effect") != found.get("effect"):
        errors.one_of(f"{at}.effect", found.get("effect"), EFFECTS)


def _value(errors: ErrorList, path: str, value: str) -> None:
    errors.each(path, value, names.label_value(value))


def tolerations(errors: ErrorList, path: str, found: list[Obj]) -> None:
    devices.items(errors, path, found, 0, _toleration)


def _toleration(errors: ErrorList, at: str, found: Obj) -> None:
    key, operator, value = found.get("key", ""), found.get("operator", ""), found.get("value", "")
    if key:
        metadata.label_key(errors, f"{at}.key", key)
    errors.one_of(f"{at}.operator", operator, OPERATORS)
    if operator == "Exists" and value:
        errors.invalid(f"{at}.value", value, "must be empty for operator `Exists`")
    elif operator == "Equal":
        _value(errors, f"{at}.value", value)
    if effect := found.get("effect"):
        errors.among(f"{at}.effect", effect, EFFECTS)


def binding_conditions(errors: ErrorList, at: str, found: Obj) -> None:
    """Those that must hold and those that must not: both or none of them, and no condition in both."""
    lists = {name: found.get(name) or [] for name in ("bindingConditions", "bindingFailureConditions")}
    wanted, feared = lists.values()
    for name, conditions in lists.items():
        path = f"{at}.{name}"
        devices.items(errors, path, conditions, MOST_CONDITIONS, metadata.label_key)
        for index, each in enumerate(conditions):
            if each in conditions[:index]:
                errors.duplicate(f"{path}[{index}]", each)
    for index, each in enumerate(feared):
        if each in wanted:
            said = "bindingFailureConditions must not overlap with bindingConditions"
            errors.invalid(f"{at}.bindingFailureConditions[{index}]", each, said)
    for (name, mine), (other, others) in zip(lists.items(), reversed(lists.items()), strict=True):
        if not mine and others:
            errors.invalid(f"{at}.{name}", found.get(name), f"{name} are required to use {other}")


# --- DeviceTaintRule --------------------------------------------------------------------------------------------------


def rule(errors: ErrorList, new: Obj, old: Obj | None = None) -> None:
    spec = new.get("spec") or {}
    chosen = spec.get("deviceSelector") or {}
    for name, check in (("driver", devices.driver_name), ("pool", devices.pool_name), ("device", devices.label)):
        if (value := chosen.get(name)) is not None:
            check(errors, f"spec.deviceSelector.{name}", value)
    before = ((old.get("spec") or {}).get("taint") or {}) if old is not None else None
    taint(errors, "spec.taint", spec.get("taint") or {}, before)


def rule_status(errors: ErrorList, new: Obj, old: Obj) -> None:
    found = (new.get("status") or {}).get("conditions") or []
    metadata.conditions(errors, "status.conditions", found)
    if len(found) > MOST_RULE_CONDITIONS:
        errors.too_many("status.conditions", len(found), MOST_RULE_CONDITIONS)
