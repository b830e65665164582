"""What a ResourceClaim's status may say: what was allocated, for whom, and what drivers tell of the devices. Upstream:
pkg/apis/resource/validation (ValidateResourceClaimStatusUpdate), v1.36.2."""

from __future__ import annotations

import ipaddress
from typing import Any

from workshop.api.errors import quote
from workshop.api.meta import Obj
from workshop.api.validation import addresses, device_taints, devices, metadata, scheduling
from workshop.api.validation.field import IMMUTABLE, ErrorList

AT = "status.allocation"
MOST_CONSUMERS, MOST_RESULTS, MOST_CONFIGS = 256, 32, 64
MOST_CONDITIONS, MOST_ADDRESSES = 8, 16
LENGTHS = {"interfaceName": 256, "hardwareAddress": 128}
SOURCES = ("FromClaim", "FromClass")
GOING = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"


def claim_status(errors: ErrorList, new: Obj, old: Obj) -> None:
    status, before = new.get("status") or {}, old.get("status") or {}
    allocation, had = status.get("allocation"), before.get("allocation")
    reserved = status.get("reservedFor") or []
    devices.distinct(
        errors, "status.reservedFor", reserved, MOST_CONSUMERS, _consumer, lambda each: str(each.get("uid", ""))
    )
    _devices(errors, status.get("devices") or [], allocation)
    if reserved and allocation is None:
        errors.forbidden("status.reservedFor", "may not be specified when `allocated` is not set")
    elif new["metadata"].get("deletionTimestamp") and any(
        each not in (before.get("reservedFor") or []) for each in reserved
    ):
        errors.forbidden("status.reservedFor", GOING)
    if allocation is not None and had is not None:
        if allocation != had:
            errors.invalid(AT, allocation, IMMUTABLE)
    elif allocation is not None:
        _allocation(errors, allocation, devices.request_names((new.get("spec") or {}).get("devices") or {}))


def _consumer(errors: ErrorList, at: str, found: Obj) -> None:
    errors.needed(found, at, "resource", "name", "uid")


# --- what was given ---------------------------------------------------------------------------------------------------


def _allocation(errors: ErrorList, found: Obj, known: set[str]) -> None:
    given = found.get("devices") or {}

    def result(errors: ErrorList, at: str, each: Obj) -> None:
        devices.reference(errors, f"{at}.request", each.get("request", ""), known)
        _one(errors, at, each)
        device_taints.binding_conditions(errors, at, each)
        share_id(errors, f"{at}.shareID", each.get("shareID"))

    def config(errors: ErrorList, at: str, each: Obj) -> None:
        errors.one_of(f"{at}.source", each.get("source"), SOURCES)
        devices.references(errors, f"{at}.requests", each.get("requests") or [], known)
        devices.configuration(errors, at, each)

    devices.items(errors, f"{AT}.devices.results", given.get("results") or [], MOST_RESULTS, result)
    devices.items(errors, f"{AT}.devices.config", given.get("config") or [], MOST_CONFIGS, config)
    if found.get("nodeSelector") is not None:
        scheduling.node_selector(errors, f"{AT}.nodeSelector", found["nodeSelector"])


def _one(errors: ErrorList, at: str, found: Obj) -> None:
    """The name of a device: driver, pool, device."""
    devices.driver_name(errors, f"{at}.driver", found.get("driver", ""))
    devices.pool_name(errors, f"{at}.pool", found.get("pool", ""))
    devices.label(errors, f"{at}.device", found.get("device", ""))


NORMALIZED = (
    "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal "
    "characters"
)


def share_id(errors: ErrorList, path: str, text: str | None) -> None:
    if text is None:
        return
    if why := no_uuid(text):
        errors.invalid(path, text, f"error validating uid: {why}")
    elif len(text) != 36 or text != text.lower():
        errors.invalid(path, text, NORMALIZED)


def no_uuid(text: str) -> str:
    """Why it is none; "" for one in any of its forms. Upstream: google/uuid (Validate).

    >>> no_uuid("{x"), no_uuid("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6")
    ('invalid UUID length: 2', '')
    """
    data = text.encode()
    match len(data):
        case 45 if data[:9].lower() != b"urn:uuid:":
            return f"invalid urn prefix: {quote(data[:9].decode(errors='replace'))}"
        case 38 if data[:1] + data[-1:] != b"{}":
            return "invalid bracketed UUID format"
        case 32 | 36 | 38 | 45 as length:
            data = {45: data[9:], 38: data[1:-1]}.get(length, data)
        case length:
            return f"invalid UUID length: {length}"
    if len(data) == 36:
        if any(data[place : place + 1] != b"-" for place in (8, 13, 18, 23)):
            return "invalid UUID format"
        data = data[:8] + data[9:13] + data[14:18] + data[19:23] + data[24:]
    return "" if all(char in b"0123456789abcdefABCDEF" for char in data) else "invalid UUID format"


# --- what drivers tell ------------------------------------------------------------------------------------------------


def device_id(found: Obj) -> tuple[Any, ...]:
    return tuple(found.get(name) or "" for name in ("driver", "pool", "device", "shareID"))


def _shown(found: Obj) -> Obj:
    return dict(zip(("Driver", "Pool", "Device", "ShareID"), device_id(found), strict=True))


def _devices(errors: ErrorList, found: list[Obj], allocation: Obj | None) -> None:
    results = ((allocation or {}).get("devices") or {}).get("results") or []
    allocated = {device_id(each) for each in results}

    def rule(errors: ErrorList, at: str, each: Obj) -> None:
        _one(errors, at, each)
        share_id(errors, f"{at}.shareID", each.get("shareID"))
        if device_id(each) not in allocated:
            errors.invalid(at, _shown(each), "must be an allocated device in the claim")
        _told(errors, at, each)

    devices.distinct(errors, "status.devices", found, 0, rule, device_id, _shown)


def _told(errors: ErrorList, at: str, found: Obj) -> None:
    conditions = found.get("conditions") or []
    if len(conditions) > MOST_CONDITIONS:
        errors.too_many(f"{at}.conditions", len(conditions), MOST_CONDITIONS)
    metadata.conditions(errors, f"{at}.conditions", conditions)
    if found.get("data") is not None:
        devices.json_object(errors, f"{at}.data", found["data"])
    network = found.get("networkData") or {}
    for name, most in LENGTHS.items():
        if len(network.get(name, "").encode()) > most:
            errors.too_long(f"{at}.networkData.{name}", most)
    ips, path = network.get("ips") or [], f"{at}.networkData.ips"
    devices.distinct(errors, path, ips, MOST_ADDRESSES, interface_address, devices.itself)


def interface_address(errors: ErrorList, path: str, text: str) -> None:
    """`10.9.8.7/24`: a whole address and the length of its subnet. Upstream: util/validation/ip.go."""
    address, _, length = text.partition("/")
    found, longest = addresses.parse(address), 128 if ":" in address else 32
    if found is None or not (length.isascii() and length.isdigit()) or int(length) > longest:
        errors.invalid(path, text, "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)")
        return
    bits = int(length)
    if isinstance(found, ipaddress.IPv4Address) and bits > 32:  # an address of IPv4 within IPv6
        bits -= 96
    if text != (canonical := f"{found}/{bits}"):
        errors.invalid(path, text, f"must be in canonical form ({quote(canonical)})")
