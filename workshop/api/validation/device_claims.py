"""Who asks for devices: classes, claims and their templates. Upstream: pkg/apis/resource/validation, v1.36.2."""

from __future__ import annotations

from workshop.api.meta import Obj
from workshop.api.validation import device_taints, devices, metadata
from workshop.api.validation.amounts import is_extended
from workshop.api.validation.devices import by_name
from workshop.api.validation.field import POSITIVE, ErrorList

MODES = ("All", "ExactCount")
MOST_ALTERNATIVES = 8
ONE_OF = "exactly one of `exactly` or `firstAvailable` is required"
ONE_CONSTRAINT = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'


# --- classes ----------------------------------------------------------------------------------------------------------


def device_class(errors: ErrorList, new: Obj, old: Obj | None = None) -> None:
    spec = new.get("spec") or {}
    config = spec.get("config") or []
    stored = old is not None and config == ((old.get("spec") or {}).get("config") or [])
    devices.selectors(errors, "spec.selectors", spec.get("selectors") or [])

    def parameters(errors: ErrorList, at: str, found: Obj) -> None:
        devices.configuration(errors, at, found, stored)

    devices.items(errors, "spec.config", config, devices.MOST_CONFIGS, parameters)
    if (name := spec.get("extendedResourceName")) is not None and not is_extended(name):
        errors.invalid("spec.extendedResourceName", name, "must be a valid extended resource name")


# --- claims and templates ---------------------------------------------------------------------------------------------


def claim(errors: ErrorList, obj: Obj) -> None:
    _devices(errors, "spec.devices", (obj.get("spec") or {}).get("devices") or {})


def claim_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    errors.immutable("spec", new.get("spec"), old.get("spec"))


def template(errors: ErrorList, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    metadata.of_template(errors, "spec.metadata", spec.get("metadata") or {})
    _devices(errors, "spec.spec.devices", (spec.get("spec") or {}).get("devices") or {})


def _devices(errors: ErrorList, at: str, found: Obj) -> None:
    known = devices.request_names(found)

    def constraint(errors: ErrorList, path: str, each: Obj) -> None:
        devices.references(errors, f"{path}.requests", each.get("requests") or [], known)
        _constraint(errors, path, each)

    def configuration(errors: ErrorList, path: str, each: Obj) -> None:
        devices.references(errors, f"{path}.requests", each.get("requests") or [], known)
        devices.configuration(errors, path, each)

    devices.distinct(errors, f"{at}.requests", found.get("requests") or [], devices.MOST_REQUESTS, _request, by_name)
    constraints, configs = found.get("constraints") or [], found.get("config") or []
    devices.items(errors, f"{at}.constraints", constraints, devices.MOST_CONSTRAINTS, constraint)
    devices.items(errors, f"{at}.config", configs, devices.MOST_CONFIGS, configuration)


def _constraint(errors: ErrorList, at: str, found: Obj) -> None:
    """All devices have the same value of an attribute, or each another one. Where both are asked for, upstream looks at
    the first; where none is, it says what it would say of both."""
    for name in ("matchAttribute", "distinctAttribute"):
        if (attribute := found.get(name)) is not None:
            devices.fully_qualified_name(errors, f"{at}.{name}", attribute)
            return
    errors.required(at, ONE_CONSTRAINT)


def _request(errors: ErrorList, at: str, found: Obj) -> None:
    devices.label(errors, f"{at}.name", by_name(found))
    exactly, first = found.get("exactly"), found.get("firstAvailable") or []
    if exactly is None and not first:
        errors.required(at, ONE_OF)
    elif exactly is not None and first:
        errors.invalid(at, None, f"{ONE_OF}, but multiple fields are set")
    elif exactly is not None:
        _asked(errors, f"{at}.exactly", exactly)
    else:
        devices.distinct(errors, f"{at}.firstAvailable", first, MOST_ALTERNATIVES, _alternative, by_name)


def _alternative(errors: ErrorList, at: str, found: Obj) -> None:
    devices.label(errors, f"{at}.name", by_name(found))
    _asked(errors, at, found)


def _asked(errors: ErrorList, at: str, found: Obj) -> None:
    devices.subdomain(errors, f"{at}.deviceClassName", found.get("deviceClassName", ""))
    devices.selectors(errors, f"{at}.selectors", found.get("selectors") or [])
    _count(errors, at, found.get("allocationMode", ""), found.get("count") or 0)
    device_taints.tolerations(errors, f"{at}.tolerations", found.get("tolerations") or [])


def _count(errors: ErrorList, at: str, mode: str, count: int) -> None:
    if mode == "All" and count:
        errors.invalid(f"{at}.count", count, "must not be specified when allocationMode is 'All'")
    elif mode == "ExactCount" and count <= 0:
        errors.invalid(f"{at}.count", count, POSITIVE)
    errors.among(f"{at}.allocationMode", mode, MODES)
