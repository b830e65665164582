"""Device classes, claims and their templates, slices. Upstream: pkg/apis/resource/validation, v1.36.2. What a CEL
expression says, attributes and counters of devices are not looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation.field import ErrorList

MODES = ("All", "ExactCount")
ONE_OF = "exactly one of `exactly` or `firstAvailable` is required"
ONE_CONSTRAINT = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'
IN_CLAIM = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
ONE_PLACE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
EFFECTS, OPERATORS = ("NoExecute", "NoSchedule", "None"), ("Equal", "Exists")


def _named(errors: ErrorList, path: str, found: Iterable[Obj], rule: Callable[[ErrorList, str, Obj], None]) -> None:
    """A list whose members' names differ."""
    seen: set[str] = set()
    for index, each in enumerate(found):
        name, at = each.get("name", ""), f"{path}[{index}]"
        errors.each(f"{at}.name", name, names.dns1123_label(name))
        rule(errors, at, each)
        if name in seen:
            errors.duplicate(at, name)
        seen.add(name)


def _selectors(errors: ErrorList, path: str, found: list[Obj]) -> None:
    for index, each in enumerate(found):
        if each.get("cel") is None:
            errors.required(f"{path}[{index}].cel")


def _subdomain(errors: ErrorList, path: str, name: str, most: int = 253) -> None:
    if not name:
        errors.required(path)
        return
    if most < 253 and len(name) > most:
        errors.too_long(path, most)
    errors.each(path, name, names.dns1123_subdomain(name))


def _configuration(errors: ErrorList, at: str, found: Obj) -> None:
    opaque = found.get("opaque")
    if opaque is None:
        errors.required(f"{at}.opaque")
        return
    _subdomain(errors, f"{at}.opaque.driver", opaque.get("driver", ""), 63)
    if opaque.get("parameters") is None:
        errors.required(f"{at}.opaque.parameters")


def device_class(errors: ErrorList, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    _selectors(errors, "spec.selectors", spec.get("selectors") or [])
    for index, each in enumerate(spec.get("config") or []):
        _configuration(errors, f"spec.config[{index}]", each)


def claim(errors: ErrorList, obj: Obj) -> None:
    _devices(errors, "spec.devices", (obj.get("spec") or {}).get("devices") or {})


def claim_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    errors.immutable("spec", new.get("spec"), old.get("spec"))


def template(errors: ErrorList, obj: Obj) -> None:
    spec = (obj.get("spec") or {}).get("spec") or {}
    _devices(errors, "spec.spec.devices", spec.get("devices") or {})


def _devices(errors: ErrorList, at: str, found: Obj) -> None:
    requests = found.get("requests") or []
    _named(errors, f"{at}.requests", requests, _request)
    known = {each.get("name", "") for each in requests} | {
        f"{each.get('name', '')}/{sub.get('name', '')}" for each in requests for sub in each.get("firstAvailable") or []
    }
    for index, each in enumerate(found.get("constraints") or []):
        path = f"{at}.constraints[{index}]"
        _references(errors, f"{path}.requests", each.get("requests") or [], known)
        if each.get("matchAttribute") is None and each.get("distinctAttribute") is None:
            errors.required(path, ONE_CONSTRAINT)
    for index, each in enumerate(found.get("config") or []):
        path = f"{at}.config[{index}]"
        _references(errors, f"{path}.requests", each.get("requests") or [], known)
        _configuration(errors, path, each)


def _references(errors: ErrorList, path: str, found: list[str], known: set[str]) -> None:
    for index, each in enumerate(found):
        if each not in known:
            errors.invalid(f"{path}[{index}]", each, IN_CLAIM)
        if each in found[:index]:
            errors.duplicate(f"{path}[{index}]", each)


def _request(errors: ErrorList, at: str, found: Obj) -> None:
    exactly, first = found.get("exactly"), found.get("firstAvailable") or []
    if exactly is None and not first:
        errors.required(at, ONE_OF)
    elif exactly is not None and first:
        errors.invalid(at, None, f"{ONE_OF}, but multiple fields are set")
    elif exactly is not None:
        _asked(errors, f"{at}.exactly", exactly)
    else:
        _named(errors, f"{at}.firstAvailable", first, _asked)


def _asked(errors: ErrorList, at: str, found: Obj) -> None:
    _subdomain(errors, f"{at}.deviceClassName", found.get("deviceClassName", ""))
    _selectors(errors, f"{at}.selectors", found.get("selectors") or [])
    mode, count = found.get("allocationMode") or "ExactCount", found.get("count")
    if mode not in MODES:
        errors.not_supported(f"{at}.allocationMode", mode, MODES)
    elif mode == "All" and count:
        errors.invalid(f"{at}.count", count, "must not be specified when allocationMode is 'All'")
    elif mode == "ExactCount" and count is not None and count <= 0:
        errors.invalid(f"{at}.count", count, "must be greater than zero")
    for index, each in enumerate(found.get("tolerations") or []):
        _toleration(errors, f"{at}.tolerations[{index}]", each)


def _toleration(errors: ErrorList, at: str, found: Obj) -> None:
    key, operator, value = found.get("key", ""), found.get("operator") or "Equal", found.get("value", "")
    if key:
        errors.each(f"{at}.key", key, names.qualified_name(key))
    if operator not in OPERATORS:
        errors.not_supported(f"{at}.operator", operator, OPERATORS)
    elif operator == "Exists" and value:
        errors.invalid(f"{at}.value", value, "must be empty for operator `Exists`")
    if (effect := found.get("effect", "")) and effect not in EFFECTS:
        errors.not_supported(f"{at}.effect", effect, EFFECTS)


def resource_slice(errors: ErrorList, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    _subdomain(errors, "spec.driver", spec.get("driver", ""), 63)
    pool: Obj = spec.get("pool") or {}
    if not pool.get("name"):
        errors.required("spec.pool.name")
    if pool.get("resourceSliceCount", 0) <= 0:
        errors.invalid("spec.pool.resourceSliceCount", pool.get("resourceSliceCount", 0), "must be greater than zero")
    if pool.get("generation", 0) < 0:
        errors.invalid("spec.pool.generation", pool["generation"], "must be greater than or equal to zero")
    places: list[Any] = [
        name for name in ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection") if spec.get(name)
    ]
    if not places:
        errors.required("spec", ONE_PLACE)
    elif len(places) > 1:
        shown = "{" + ", ".join(f"`{name}`" for name in places) + "}"
        errors.invalid("spec", shown, f"{ONE_PLACE}, but multiple fields are set")
    _named(errors, "spec.devices", spec.get("devices") or [], lambda errors, at, each: None)
