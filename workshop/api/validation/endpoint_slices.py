"""EndpointSlices. Upstream: pkg/apis/discovery/validation, v1.36.2."""

from __future__ import annotations

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import addresses, metadata
from workshop.api.validation.field import ErrorList

PROTOCOLS = ("SCTP", "TCP", "UDP")


def endpoint_slice(errors: ErrorList, obj: Obj, old: Obj | None = None) -> None:
    kind = obj.get("addressType", "")
    errors.one_of("addressType", kind, ("FQDN", "IPv4", "IPv6"))
    _ports(errors, obj.get("ports") or [])
    endpoints = obj.get("endpoints") or []
    if old is None or old.get("endpoints") != obj.get("endpoints"):
        if len(endpoints) > 1000:
            errors.too_many("endpoints", len(endpoints), 1000)
        else:
            for index, each in enumerate(endpoints):
                _endpoint(errors, f"endpoints[{index}]", each, kind)
    if old is not None:
        errors.immutable("addressType", kind, old.get("addressType", ""))


def _ports(errors: ErrorList, ports: list[Obj]) -> None:
    if len(ports) > 20000:
        errors.too_many("ports", len(ports), 20000)
        return
    seen: set[str] = set()
    for index, port in enumerate(ports):
        at, name = f"ports[{index}]", port.get("name") or ""
        if name:
            errors.each(f"{at}.name", name, names.dns1123_label(name))
        if name in seen:
            errors.duplicate(f"{at}.name", name)
        seen.add(name)
        if port.get("protocol") is None:
            errors.required(f"{at}.protocol")
        else:
            errors.among(f"{at}.protocol", port["protocol"], PROTOCOLS)
        if port.get("appProtocol") is not None:
            metadata.label_key(errors, f"{at}.appProtocol", port["appProtocol"])


def _endpoint(errors: ErrorList, at: str, each: Obj, kind: str) -> None:
    found = each.get("addresses") or []
    if not found:
        errors.required(f"{at}.addresses", "must contain at least 1 address")
    elif len(found) > 100:
        errors.too_many(f"{at}.addresses", len(found), 100)
    for index, address in enumerate(found):
        _address(errors, f"{at}.addresses", index, address, kind)
    if (node := each.get("nodeName")) is not None:
        errors.each(f"{at}.nodeName", node, names.dns1123_subdomain(node))
    topology = each.get("deprecatedTopology") or {}
    if len(topology) > 16:
        errors.too_many(f"{at}.deprecatedTopology", len(topology), 16)
    metadata.labels(errors, f"{at}.deprecatedTopology", topology)
    if (host := each.get("hostname")) is not None:
        errors.each(f"{at}.hostname", host, names.dns1123_label(host))
    hints = each.get("hints") or {}
    for name, check in (("forZones", names.label_value), ("forNodes", names.dns1123_subdomain)):
        given = hints.get(name) or []
        if len(given) > 8:
            errors.too_many(f"{at}.hints.{name}", len(given), 8)
            return
        for index, hint in enumerate(given):
            path, value = f"{at}.hints.{name}[{index}].name", hint.get("name", "")
            if value in [other.get("name", "") for other in given[:index]]:
                errors.duplicate(path, value)
            errors.each(path, value, check(value))


def _address(errors: ErrorList, path: str, index: int, address: str, kind: str) -> None:
    at = f"{path}[{index}]"
    if kind == "FQDN":
        full_domain(errors, at, address)
    elif kind in ("IPv4", "IPv6"):
        check = addresses.legacy_ip if kind == "IPv4" else addresses.strict_ip
        if not check(errors, at, address):
            return
        if addresses.family(address) != kind:
            errors.invalid(path, address, f"must be an {kind} address")
        addresses.endpoint_ip(errors, at, address)


def full_domain(errors: ErrorList, path: str, name: str) -> None:
    """A name of several labels, with or without its last dot. Upstream: validation.IsFullyQualifiedDomainName."""
    if not name:
        errors.required(path)
        return
    name = name.removesuffix(".")
    if complaints := names.dns1123_subdomain(name):
        errors.invalid(path, name, ",".join(complaints))
        return
    if "." not in name:
        errors.invalid(path, name, "should be a domain with at least two segments separated by dots")
        return
    for label in name.split("."):
        if complaints := names.dns1123_label(label):
            errors.invalid(path, label, ",".join(complaints))
            return
