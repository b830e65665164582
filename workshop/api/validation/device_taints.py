"""Taints of devices and who bears them, and conditions that must hold before a pod is bound.
Upstream: pkg/apis/resource/validation (validateDeviceTaint, …Toleration, …BindingParameters), v1.36.2."""

from __future__ import annotations

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import devices, metadata
from workshop.api.validation.field import ErrorList

EFFECTS, OPERATORS = ("NoExecute", "NoSchedule", "None"), ("Equal", "Exists")
MOST_CONDITIONS = 4


def taint(errors: ErrorList, at: str, found: Obj) -> None:
    metadata.label_key(errors, f"{at}.key", found.get("key", ""))
    _value(errors, f"{at}.value", found.get("value", ""))
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
