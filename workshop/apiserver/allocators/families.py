"""What a Service's type, families and addresses imply for one another. Pure.

Upstream: `pkg/registry/core/service/strategy.go` (dropTypeDependentFields, PatchAllocatedValues),
`pkg/registry/core/service/storage/{storage,alloc}.go` (NormalizeClusterIPs, initIPFamilyFields).
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from typing import Any

from workshop.api import errors
from workshop.api.meta import Obj

NONE = "None"
_OTHER = {"IPv4": "IPv6", "IPv6": "IPv4"}


def has_node_ports(spec: Obj) -> bool:
    return spec.get("type") in ("NodePort", "LoadBalancer")


def wants_node_ports(spec: Obj) -> bool:
    """Whether each port gets a node port, also where none is named."""
    if spec.get("type") == "LoadBalancer":
        return spec.get("allocateLoadBalancerNodePorts") is not False
    return spec.get("type") == "NodePort"


def needs_health_check(spec: Obj) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def is_headless(spec: Obj) -> bool:
    return spec.get("clusterIP") == NONE or (spec.get("clusterIPs") or [""])[0] == NONE


def node_ports(spec: Obj) -> set[int]:
    """Those of its ports, and of its health check."""
    found = {p["nodePort"] for p in spec.get("ports") or () if p.get("nodePort")}
    return found | ({spec["healthCheckNodePort"]} if spec.get("healthCheckNodePort") else set())


def cluster_ips(spec: Obj) -> list[str]:
    """The addresses it holds; none if it is headless or an alias."""
    if spec.get("type") == "ExternalName" or is_headless(spec):
        return []
    return [ip for ip in spec.get("clusterIPs") or [spec.get("clusterIP", "")] if ip]


def family_of(ip: str) -> str:
    """`IPv4` or `IPv6`; "" for no address."""
    try:
        return f"IPv{ipaddress.ip_address(ip).version}"
    except ValueError:
        return ""


def prepare(new: Obj, old: Obj | None) -> None:
    """Before validation: fill in `new` what the client may leave out, and drop what its new type has no use for."""
    spec = new["spec"] = new.get("spec") or {}
    if old is not None:
        _keep_allocated(spec, old["spec"])
    _normalize_cluster_ips(spec, old["spec"] if old else None)
    if old is not None:
        _drop_type_dependent(spec, old["spec"])


def _keep_allocated(new: Obj, old: Obj) -> None:
    """An update that does not name addresses and ports keeps those that the Service has."""
    if new.get("type") != "ExternalName" and old.get("type") != "ExternalName" and not new.get("clusterIP"):
        # naming other addresses but no first one is for validation to refuse
        if old.get("clusterIP") and not new.get("clusterIPs"):
            new["clusterIP"], new["clusterIPs"] = old["clusterIP"], list(old.get("clusterIPs") or [old["clusterIP"]])
        elif old.get("clusterIP") and new.get("clusterIPs") == old.get("clusterIPs"):
            new["clusterIP"] = old["clusterIP"]
    if has_node_ports(old) and has_node_ports(new):
        known = {(p.get("protocol"), p.get("port")): p["nodePort"] for p in old.get("ports") or () if p.get("nodePort")}
        taken = {p["nodePort"] for p in new.get("ports") or () if p.get("nodePort")}
        for port in new.get("ports") or ():
            kept = known.get((port.get("protocol"), port.get("port")))
            if not port.get("nodePort") and kept and (kept not in taken) and wants_node_ports(new):
                port["nodePort"] = kept
    if needs_health_check(old) and needs_health_check(new) and not new.get("healthCheckNodePort"):
        new["healthCheckNodePort"] = old.get("healthCheckNodePort", 0)


def _normalize_cluster_ips(new: Obj, old: Obj | None) -> None:
    """Keep `clusterIP` and the first of `clusterIPs` the same, whichever of the two the client writes."""
    if old is None:
        if new.get("clusterIP") and not new.get("clusterIPs"):
            new["clusterIPs"] = [new["clusterIP"]]
        elif new.get("clusterIPs") and not new.get("clusterIP"):
            new["clusterIP"] = new["clusterIPs"][0]
        return
    changed = new.get("clusterIP") != old.get("clusterIP")
    same_list = (new.get("clusterIPs") or []) == (old.get("clusterIPs") or [])
    if changed and same_list:
        if new.get("clusterIP"):
            new["clusterIPs"] = [new["clusterIP"]]
        else:
            new.pop("clusterIPs", None)
    elif not changed and not same_list and new.get("clusterIPs") and new.get("clusterIP") != new["clusterIPs"][0]:
        new["clusterIP"] = new["clusterIPs"][0]


def _drop_type_dependent(new: Obj, old: Obj) -> None:
    """Fields that the old type needed, the new one does not, and the client left as they were."""
    if old.get("type") != "ExternalName" and new.get("type") == "ExternalName":
        for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            if field in new and new[field] == old.get(field):
                del new[field]
    if old.get("type") == "ExternalName" != new.get("type") and new.get("externalName") == old.get("externalName"):
        new.pop("externalName", None)
    if has_node_ports(old) and not has_node_ports(new):
        before = [(p.get("port"), p.get("nodePort")) for p in old.get("ports") or ()]
        for port in new.get("ports") or ():
            if (port.get("port"), port.get("nodePort")) in before:
                port.pop("nodePort", None)
        if new.get("externalTrafficPolicy") == old.get("externalTrafficPolicy"):
            new.pop("externalTrafficPolicy", None)
    checked = needs_health_check(old) and not needs_health_check(new)
    if checked and new.get("healthCheckNodePort") == old.get("healthCheckNodePort"):
        new.pop("healthCheckNodePort", None)
    if old.get("type") == "LoadBalancer" and new.get("type") != "LoadBalancer":
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if new.get(field) == old.get(field):
                new.pop(field, None)


def init_families(new: Obj, old: Obj | None, configured: Sequence[str]) -> None:
    """Set `ipFamilyPolicy` and `ipFamilies`. `configured`: the cluster's families, its default first.

    Raises ApiError (422) for what the cluster cannot give.
    """
    spec = new["spec"]
    if spec.get("type") == "ExternalName":
        return
    selectorless = is_headless(spec) and not spec.get("selector")
    if not spec.get("ipFamilyPolicy"):
        before = old["spec"].get("ipFamilyPolicy") if old else None
        spec["ipFamilyPolicy"] = before or ("RequireDualStack" if selectorless else "SingleStack")
    policy = spec["ipFamilyPolicy"]
    if old is not None and policy == "SingleStack":
        for field in ("clusterIPs", "ipFamilies"):
            if spec.get(field) == old["spec"].get(field) and len(spec.get(field) or ()) > 1:
                spec[field] = spec[field][:1]
    problems: list[dict[str, str]] = []
    if policy == "SingleStack":
        for field, label in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")):
            if len(spec.get(field) or ()) == 2:
                why = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {label} are specified"
                problems.append(invalid("spec.ipFamilyPolicy", policy, why))
    families: list[str] = list(spec.get("ipFamilies") or ())
    for i, ip in enumerate(cluster_ips(spec)):
        if i >= len(families):
            family = family_of(ip)
            if family in configured:
                families.append(family)
            else:
                why = f"{family} is not configured on this cluster"
                problems.append(invalid(f"spec.clusterIPs[{i}]", spec.get("clusterIPs"), why))
    _raise(new, problems)
    if selectorless:
        families = families or [configured[0]]
        if len(families) < 2 and policy != "SingleStack" and families[0] in _OTHER:
            families.append(_OTHER[families[0]])
        spec["ipFamilies"] = families
        return
    if policy == "RequireDualStack" and len(configured) < 2:
        why = "this cluster is not configured for dual-stack services"
        problems.append(invalid("spec.ipFamilyPolicy", policy, why))
    for i, family in enumerate(families):
        if family not in configured:
            problems.append(invalid(f"spec.ipFamilies[{i}]", family, "not configured on this cluster"))
    _raise(new, problems)
    families = families or [configured[0]]
    if policy != "SingleStack" and len(families) == 1 and len(configured) == 2:
        families.append(_OTHER[families[0]])
    spec["ipFamilies"] = families


def invalid(field: str, value: Any, why: str) -> dict[str, str]:
    """The cause of a 422: `Invalid value: VALUE: why`."""
    return errors.cause("FieldValueInvalid", f"Invalid value: {json.dumps(value)}: {why}", field)


def _raise(service: Obj, problems: list[dict[str, str]]) -> None:
    if problems:
        raise errors.invalid("Service", service["metadata"].get("name", ""), problems)
