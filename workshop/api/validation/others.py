"""Storage classes, priorities, leases, endpoint slices, networking. Upstream: pkg/apis/*/validation."""

from __future__ import annotations

import ipaddress
from typing import Any

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import metadata
from workshop.api.validation.addresses import LOOPBACK, NOT_AN_ADDRESS
from workshop.api.validation.field import ErrorList


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def storage_class(errors: ErrorList, obj: Obj) -> None:
    if not obj.get("provisioner"):
        errors.required("provisioner")
    errors.one_of("reclaimPolicy", obj.get("reclaimPolicy"), ("Delete", "Retain"))


SYSTEM_CLASSES = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}


def priority_class(errors: ErrorList, obj: Obj) -> None:
    name, value = obj["metadata"].get("name", ""), obj.get("value", 0)
    if name.startswith("system-"):
        if SYSTEM_CLASSES.get(name) != value:
            lead = "priority class names with 'system-' prefix are reserved for system use only. error: "
            errors.forbidden("metadata.name", f"{lead}{name} is not a known system priority class")
    elif value > 1000000000:
        errors.forbidden("value", "maximum allowed value of a user defined priority is 1000000000")


def lease(errors: ErrorList, obj: Obj) -> None:
    duration = obj["spec"].get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        errors.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0")
    if (transitions := obj["spec"].get("leaseTransitions")) is not None and transitions < 0:
        errors.invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0")


def _endpoint_address(errors: ErrorList, at: str, address: str) -> None:
    if not _is_address(address):
        errors.invalid(at, address, NOT_AN_ADDRESS)
    elif ipaddress.ip_address(address).is_loopback and not errors.allow_loopback:
        errors.invalid(at, address, LOOPBACK)


def endpoint_slice(errors: ErrorList, obj: Obj) -> None:
    for index, each in enumerate(obj.get("endpoints") or []):
        at = f"endpoints[{index}].addresses"
        if not each.get("addresses"):
            errors.required(at, "must contain at least 1 address")
        for i, address in enumerate(each.get("addresses") or []):
            if obj.get("addressType") != "FQDN":
                _endpoint_address(errors, f"{at}[{i}]", address)
    seen: set[str] = set()
    for index, port in enumerate(obj.get("ports") or []):
        name = port.get("name") or ""
        if name in seen:
            errors.duplicate(f"ports[{index}].name", name)
        elif name:
            errors.each(f"ports[{index}].name", name, names.dns1123_label(name))
        seen.add(name)


def ingress(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        errors.invalid("spec", spec.get("rules"), "either `defaultBackend` or `rules` must be specified")
    for index, rule in enumerate(spec.get("rules") or []):
        host = rule.get("host", "")
        if host:
            wild = names.wildcard_dns1123_subdomain if "*" in host else names.dns1123_subdomain
            errors.each(f"spec.rules[{index}].host", host, wild(host))
        for i, path in enumerate((rule.get("http") or {}).get("paths") or []):
            _ingress_path(errors, f"spec.rules[{index}].http.paths[{i}]", path)


def _ingress_path(errors: ErrorList, at: str, path: Obj) -> None:
    if not path.get("pathType"):
        errors.required(f"{at}.pathType", "pathType must be specified")
    elif path["pathType"] != "ImplementationSpecific" and not path.get("path", "").startswith("/"):
        errors.invalid(f"{at}.path", path.get("path", ""), "must be an absolute path")
    target: dict[str, Any] = (path.get("backend") or {}).get("service") or {}
    if target and not (target.get("port") or {}).get("number") and not (target.get("port") or {}).get("name"):
        errors.required(f"{at}.backend", "port name or number is required")


def network_policy(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    metadata.selector(errors, "spec.podSelector", spec.get("podSelector"))
    for way, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(way) or []):
            at = f"spec.{way}[{index}]"
            for i, port in enumerate(rule.get("ports") or []):
                if isinstance(number := port.get("port"), int):
                    errors.each(f"{at}.ports[{i}].port", number, names.port_number(number))
            for i, peer in enumerate(rule.get(peers) or []):
                if not peer:
                    errors.required(f"{at}.{peers}[{i}]", "must specify a peer")
    for index, kind in enumerate(spec.get("policyTypes") or []):
        errors.one_of(f"spec.policyTypes[{index}]", kind, ("Ingress", "Egress"))
