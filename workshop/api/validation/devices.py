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


def configuration(errors: ErrorList, at: str, found: Obj) -> None:
    opaque = found.get("opaque")
    if opaque is None:
        errors.required(f"{at}.opaque")
        return
    driver_name(errors, f"{at}.opaque.driver", opaque.get("driver", ""))
    if opaque.get("parameters") is None:
        errors.required(f"{at}.opaque.parameters")


def driver_name(errors: ErrorList, path: str, name: str) -> None:
    _subdomain(errors, path, name, 63)


LONGEST_ID = 32


def qualified_name(errors: ErrorList, path: str, name: str) -> None:
    """`domain/identifier`, or the identifier alone; upstream takes what has more slashes."""
    parts = name.split("/")
    if len(parts) > 2:
        return
    if len(parts) == 2 and not parts[0]:
        errors.invalid(path, "", "the domain must not be empty")
    elif len(parts) == 2:
        driver_name(errors, path, parts[0])
    if len(parts) == 2 and not parts[1]:
        errors.invalid(path, "", "the name must not be empty")
        return
    if len(parts[-1]) > LONGEST_ID:
        errors.too_long(path, LONGEST_ID)
    errors.each(path, parts[-1], names.c_identifier(parts[-1]))


def pool_name(errors: ErrorList, path: str, name: str) -> None:
    if not name:
        errors.required(path)
        return
    if len(name) > 253:
        errors.too_long(path, 253)
    for part in name.split("/"):
        errors.each(path, part, names.dns1123_subdomain(part))


def device_class(errors: ErrorList, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    _selectors(errors, "spec.selectors", spec.get("selectors") or [])
    for index, each in enumerate(spec.get("config") or []):
        configuration(errors, f"spec.config[{index}]", each)


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
    known = request_names(found)
    for index, each in enumerate(found.get("constraints") or []):
        path = f"{at}.constraints[{index}]"
        _references(errors, f"{path}.requests", each.get("requests") or [], known)
        if each.get("matchAttribute") is None and each.get("distinctAttribute") is None:
            errors.required(path, ONE_CONSTRAINT)
        if (attribute := each.get("matchAttribute")) is not None:
            qualified_name(errors, f"{path}.matchAttribute", attribute)
            if "/" not in attribute:
                said = "a fully qualified name must be a domain and a name separated by a slash"
                errors.invalid(f"{path}.matchAttribute", attribute, said)
    for index, each in enumerate(found.get("config") or []):
        path = f"{at}.config[{index}]"
        _references(errors, f"{path}.requests", each.get("requests") or [], known)
        configuration(errors, path, each)


def request_names(found: Obj) -> set[str]:
    """What may be referred to: `request`, and `request/subrequest`."""
    requests = found.get("requests") or []
    return {each.get("name", "") for each in requests} | {
        f"{each.get('name', '')}/{sub.get('name', '')}" for each in requests for sub in each.get("firstAvailable") or []
    }


def reference(errors: ErrorList, path: str, name: str, known: set[str]) -> None:
    parts = name.split("/")
    for part in parts if len(parts) <= 2 else ():
        errors.each(path, part, names.dns1123_label(part))
    if name not in known:
        errors.invalid(path, name, IN_CLAIM)


def _references(errors: ErrorList, path: str, found: list[str], known: set[str]) -> None:
    for index, each in enumerate(found):
        reference(errors, f"{path}[{index}]", each, known)
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
    driver_name(errors, "spec.driver", spec.get("driver", ""))
    pool: Obj = spec.get("pool") or {}
    pool_name(errors, "spec.pool.name", pool.get("name", ""))
    if node := spec.get("nodeName"):
        errors.each("spec.nodeName", node, names.dns1123_subdomain(node))
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
    rule = _apart if spec.get("perDeviceNodeSelection") else _together
    _named(errors, "spec.devices", spec.get("devices") or [], rule)


PLACES = ("nodeName", "nodeSelector", "allNodes")
TOGETHER = (
    "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the "
    "ResourceSlice spec"
)
APART = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec"  # noqa: E501


def _attributes(errors: ErrorList, at: str, device: Obj) -> None:
    for kind in ("attributes", "capacity"):
        for name in device.get(kind) or {}:
            qualified_name(errors, f"{at}.{kind}", name)


def _together(errors: ErrorList, at: str, device: Obj) -> None:
    _attributes(errors, at, device)
    if any(device.get(place) is not None for place in PLACES):
        errors.invalid(at, None, TOGETHER)


def _apart(errors: ErrorList, at: str, device: Obj) -> None:
    _attributes(errors, at, device)
    if not any(device.get(place) for place in PLACES):
        errors.required(at, APART)


def slice_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    mine, theirs = new.get("spec") or {}, old.get("spec") or {}
    errors.immutable("spec.driver", mine.get("driver", ""), theirs.get("driver", ""))
    pools = ((spec.get("pool") or {}).get("name", "") for spec in (mine, theirs))
    errors.immutable("spec.pool.name", *pools)
    errors.immutable("spec.nodeName", mine.get("nodeName"), theirs.get("nodeName"))
