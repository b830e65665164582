"""One device of a slice: what is to be known of it, how much of it there is, what it takes of counters that it shares.
Upstream: pkg/apis/resource/validation (validateDevice), v1.36.2."""

from __future__ import annotations

import re
from functools import partial

from workshop.api import names, quantity
from workshop.api.meta import Obj
from workshop.api.quantity import Quantity
from workshop.api.validation import device_taints, devices, scheduling
from workshop.api.validation.field import ErrorList

MOST_ATTRIBUTES, MOST_VALUES = 32, 48
LONGEST_VALUE = 64
MOST_TAINTS, MOST_CONSUMED, MOST_COUNTERS, MOST_OPTIONS = 16, 2, 32, 10
PLACES = ("nodeName", "nodeSelector", "allNodes")
TOGETHER = (
    "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the "
    "ResourceSlice spec"
)
APART = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true "
    "in the ResourceSlice spec"
)


def device(errors: ErrorList, at: str, found: Obj, before: Obj | None, each_place: bool) -> None:
    """`before` is the device of the same name; `each_place`: devices of this slice say themselves where they are."""
    devices.label(errors, f"{at}.name", devices.by_name(found))
    attributes, capacity = found.get("attributes") or {}, found.get("capacity") or {}
    if (total := len(attributes) + len(capacity)) > MOST_ATTRIBUTES:
        errors.invalid(at, total, f"the total number of attributes and capacities must not exceed {MOST_ATTRIBUTES}")
    if (total := len(attributes)) > MOST_VALUES:
        errors.invalid(at, total, f"the total number of attribute values must not exceed {MOST_VALUES}")
    longest, shared = devices.LONGEST_KEY, bool(found.get("allowMultipleAllocations"))
    devices.entries(errors, f"{at}.attributes", attributes, longest, devices.qualified_name, _attribute)
    rule = _shared_capacity if shared else _whole_capacity
    devices.entries(errors, f"{at}.capacity", capacity, longest, devices.qualified_name, rule)
    taints = found.get("taints") or []
    if before is None or (before.get("taints") or []) != taints:
        devices.items(errors, f"{at}.taints", taints, MOST_TAINTS, device_taints.taint)
    consumed, consuming = found.get("consumesCounters") or [], partial(counters_of, field="counterSet")
    devices.distinct(errors, f"{at}.consumesCounters", consumed, MOST_CONSUMED, consuming, _counter_set)
    if each_place:
        _apart(errors, at, found)
    elif any(found.get(place) is not None for place in PLACES):
        errors.invalid(at, None, TOGETHER)
    device_taints.binding_conditions(errors, at, found)


def _apart(errors: ErrorList, at: str, found: Obj) -> None:
    node, selector = found.get("nodeName"), found.get("nodeSelector")
    if node is not None and not node:
        errors.invalid(f"{at}.nodeName", node, "must not be empty")
    elif node is not None:
        errors.each(f"{at}.nodeName", node, names.dns1123_subdomain(node))
    if selector is not None:
        scheduling.node_selector(errors, f"{at}.nodeSelector", selector)
    if found.get("allNodes") is False:
        errors.invalid(f"{at}.allNodes", False, "must be either unset or set to true")
    chosen = [name for name in PLACES if (selector is not None if name == "nodeSelector" else found.get(name))]
    if not chosen:
        errors.required(at, APART)
    elif len(chosen) > 1:
        errors.invalid(at, "{" + ", ".join(f"`{name}`" for name in chosen) + "}", APART)


# --- counters ---------------------------------------------------------------------------------------------------------


def _counter_set(found: Obj) -> str:
    return str(found.get("counterSet", ""))


def counters_of(errors: ErrorList, at: str, found: Obj, field: str) -> None:
    """A set of counters that devices share, or what one of them takes of it; `field` holds the set's name."""
    name, counters = found.get(field, ""), found.get("counters") or {}
    if not name:
        errors.required(f"{at}.{field}")
    else:
        devices.label(errors, f"{at}.{field}", name)
    if not counters:
        errors.required(f"{at}.counters")
    elif len(counters) > MOST_COUNTERS:
        errors.too_many(f"{at}.counters", len(counters), MOST_COUNTERS)
    else:
        for key in counters:
            devices.label(errors, f"{at}.counters", key)


# --- attributes -------------------------------------------------------------------------------------------------------

VALUES = {"int": "IntValue", "bool": "BoolValue", "string": "StringValue", "version": "VersionValue"}
"""And what upstream's own type calls them, which a message shows."""
LISTS = ("IntValues", "BoolValues", "StringValues", "VersionValues")
ONE_VALUE = "exactly one value must be specified"
_NUMBER, _MARK = r"(0|[1-9]\d*)", r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_MARK}(\.{_MARK})*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?", re.ASCII
)


def _attribute(errors: ErrorList, at: str, found: Obj) -> None:
    for name in ("string", "version"):
        text = found.get(name)
        if text is None:
            continue
        if name == "version" and not SEMVER.fullmatch(text):
            errors.invalid(f"{at}.version", text, "must be a string compatible with semver.org spec 2.0.0")
        if len(text.encode()) > LONGEST_VALUE:
            errors.too_long(f"{at}.{name}", LONGEST_VALUE)
    given = [name for name in VALUES if found.get(name) is not None]
    if not given:
        errors.invalid(at, "", ONE_VALUE)
    elif len(given) > 1:
        shown = {own: found.get(name) for name, own in VALUES.items()} | dict.fromkeys(LISTS)
        errors.invalid(at, shown, ONE_VALUE)


# --- capacity ---------------------------------------------------------------------------------------------------------


def _whole_capacity(errors: ErrorList, at: str, found: Obj) -> None:
    if found.get("requestPolicy") is not None:
        errors.forbidden(f"{at}.requestPolicy", "allowMultipleAllocations must be true")


def _shared_capacity(errors: ErrorList, at: str, found: Obj) -> None:
    """How much a request may take: one of some values, or of a range, with a default that is one of them."""
    if (policy := found.get("requestPolicy")) is None:
        return
    at, most = f"{at}.requestPolicy", quantity.parse(found.get("value") or "0")
    options, range_ = policy.get("validValues") or [], policy.get("validRange")
    if options and range_ is not None:
        said = 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'
        errors.forbidden(at, said)
        return
    chosen = "validValues" if options else "validRange" if range_ is not None else ""
    if not chosen:
        return
    if policy.get("default") is None:
        errors.required(f"{at}.default", f"required when {chosen} is defined")
        return
    default = quantity.parse(policy["default"])
    if options:
        _options(errors, f"{at}.validValues", default, most, [quantity.parse(each) for each in options])
    else:
        _range(errors, f"{at}.validRange", default, most, range_ or {})


def _options(errors: ErrorList, path: str, default: Quantity, most: Quantity, found: list[Quantity]) -> None:
    for index, each in enumerate(found[1:], 1):
        if each < found[index - 1]:
            errors.invalid(f"{path}[{index}]", str(each), "values must be sorted in ascending order")

    def fits(errors: ErrorList, at: str, each: Quantity) -> None:
        if most < each:
            errors.invalid(at, str(each), f"option is larger than capacity value: {most}")

    devices.distinct(errors, path, found, MOST_OPTIONS, fits, lambda each: str(each.value()))
    if len(found) > MOST_OPTIONS or default not in found:
        errors.invalid(path, str(default), "default value is not valid according to the requestPolicy")


def _range(errors: ErrorList, at: str, default: Quantity, capacity: Quantity, found: Obj) -> None:
    if found.get("min") is None:
        errors.required(f"{at}.min", "required when validRange is defined")
        return
    least, most, step = (
        None if found.get(name) is None else quantity.parse(found[name]) for name in ("min", "max", "step")
    )
    assert least is not None
    wrong: list[tuple[bool, str, Quantity, str]] = [
        (capacity < least, "min", least, f"min is larger than capacity value: {capacity}"),
        (default < least, "min", default, f"default is less than min: {least}"),
    ]
    if most is not None:
        wrong += [
            (most < least, "max", least, f"min is larger than max: {most}"),
            (capacity < most, "max", most, f"max is larger than capacity value: {capacity}"),
            (most < default, "max", default, f"default is more than max: {most}"),
        ]
    if step is not None:
        first = least + step
        said = f"one step {first} is larger than capacity value: {capacity}"
        wrong.append((capacity < first, "step", step, said))
        said = f"value is not a multiple of a given step ({step}) from ({least})"
        wrong += [(_off(each, least, step), "step", each, said) for each in (default, most) if each is not None]
    for is_wrong, name, shown, said in wrong:
        if is_wrong:
            errors.invalid(f"{at}.{name}", str(shown), said)


def _off(value: Quantity, least: Quantity, step: Quantity) -> bool:
    """Not reached by whole steps; none is by steps of nothing (where upstream divides by zero)."""
    return not step.value() or (value.value() - least.value()) % step.value() != 0
