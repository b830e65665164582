"""What a ResourceClaim's status may say: what was allocated, for whom, and what drivers tell of the devices. Upstream:
pkg/apis/resource/validation (ValidateResourceClaimStatusUpdate), v1.36.2. Network data is not looked at."""

from __future__ import annotations

from typing import Any

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import metadata, scheduling
from workshop.api.validation.devices import configuration, driver_name, pool_name, reference, request_names
from workshop.api.validation.field import ErrorList

AT = "status.allocation"


def claim_status(errors: ErrorList, new: Obj, old: Obj) -> None:
    status, before = new.get("status") or {}, old.get("status") or {}
    allocation, had = status.get("allocation"), before.get("allocation")
    reserved = status.get("reservedFor") or []
    _consumers(errors, reserved)
    results = ((allocation or {}).get("devices") or {}).get("results") or []
    _devices(errors, status.get("devices") or [], {_device_id(each) for each in results})
    if reserved and allocation is None:
        errors.forbidden("status.reservedFor", "may not be specified when `allocated` is not set")
    elif new["metadata"].get("deletionTimestamp") and any(
        each not in (before.get("reservedFor") or []) for each in reserved
    ):
        said = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
        errors.forbidden("status.reservedFor", said)
    if allocation is not None and had is not None:
        errors.immutable(AT, allocation, had)
    elif allocation is not None:
        _allocation(errors, allocation, request_names((new.get("spec") or {}).get("devices") or {}))


def _consumers(errors: ErrorList, found: list[Obj]) -> None:
    seen: set[str] = set()
    for index, each in enumerate(found):
        at = f"status.reservedFor[{index}]"
        errors.needed(each, at, "resource", "name", "uid")
        if each.get("uid", "") in seen:
            errors.duplicate(at, each.get("uid", ""))
        seen.add(each.get("uid", ""))


def _device_id(found: Obj) -> tuple[Any, ...]:
    return tuple(found.get(name, "") for name in ("driver", "pool", "device", "shareID"))


def _shown(found: Obj) -> Obj:
    return {"Driver": found.get("driver", ""), "Pool": found.get("pool", ""), "Device": found.get("device", "")}


def _devices(errors: ErrorList, found: list[Obj], allocated: set[tuple[Any, ...]]) -> None:
    seen: set[tuple[Any, ...]] = set()
    for index, each in enumerate(found):
        at, key = f"status.devices[{index}]", _device_id(each)
        driver_name(errors, f"{at}.driver", each.get("driver", ""))
        pool_name(errors, f"{at}.pool", each.get("pool", ""))
        errors.each(f"{at}.device", each.get("device", ""), names.dns1123_label(each.get("device", "")))
        if key not in allocated:
            errors.invalid(at, _shown(each), "must be an allocated device in the claim")
        if key in seen:
            errors.duplicate(at, _shown(each))
        seen.add(key)
        metadata.conditions(errors, f"{at}.conditions", each.get("conditions") or [])


def _allocation(errors: ErrorList, found: Obj, known: set[str]) -> None:
    devices = found.get("devices") or {}
    for index, each in enumerate(devices.get("results") or []):
        at = f"{AT}.devices.results[{index}]"
        reference(errors, f"{at}.request", each.get("request", ""), known)
        driver_name(errors, f"{at}.driver", each.get("driver", ""))
        pool_name(errors, f"{at}.pool", each.get("pool", ""))
        errors.each(f"{at}.device", each.get("device", ""), names.dns1123_label(each.get("device", "")))
    for index, each in enumerate(devices.get("config") or []):
        at = f"{AT}.devices.config[{index}]"
        errors.one_of(f"{at}.source", each.get("source"), ("FromClaim", "FromClass"))
        requests = each.get("requests") or []
        for i, name in enumerate(requests):
            reference(errors, f"{at}.requests[{i}]", name, known)
            if name in requests[:i]:
                errors.duplicate(f"{at}.requests[{i}]", name)
        configuration(errors, at, each)
    if found.get("nodeSelector") is not None:
        scheduling.node_selector(errors, f"{AT}.nodeSelector", found["nodeSelector"])
