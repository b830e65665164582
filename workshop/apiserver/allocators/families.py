"""What a Service's type, families and addresses imply for one another. Pure.

Upstream: `pkg/registry/core/service/strategy.go` (dropTypeDependentFields, PatchAllocatedValues),
`pkg/registry/core/service/storage/{storage,alloc}.go` (NormalizeClusterIPs, initIPFamilyFields).
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from copy import copy
from typing import Any

from workshop.api import errors
from workshop.api.meta import Obj
from workshop.api.validation import services

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


def externally_accessible(spec: Obj) -> bool:
    return has_node_ports(spec) or (spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs")))


def is_headless(spec: Obj) -> bool:
    return spec.get("clusterIP") == NONE or (spec.get("clusterIPs") or [""])[0] == NONE


def node_ports(spec: Obj) -> set[int]:
    """Those of its ports, and of its health check."""
    found = {p["nodePort"] for p in spec.get("ports") or () if p.get("nodePort")}
    return found | ({spec["healthCheckNodePort"]} if spec.get("healthCheckNodePort") else set())


def doubled_port(spec: Obj) -> str:
    """`{TCP 31000}`, a pair of protocol and node port that stands twice, as Go prints it; else ""."""
    seen: set[tuple[str, int]] = set()
    for port in spec.get("ports") or ():
        pair = (port.get("protocol", ""), port.get("nodePort", 0))
        if pair[1] and pair in seen:
            return f"{{{pair[0]} {pair[1]}}}"
        seen.add(pair)
    return ""


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
    """Before anything is allocated: fill in `new` what the client may leave out."""
    spec = new["spec"] = new.get("spec") or {}
    if old is not None:
        _keep_allocated(spec, old["spec"])
    _normalize_cluster_ips(spec, old["spec"] if old else None)


def _keep_allocated(new: Obj, old: Obj) -> None:
    """An update that does not name addresses and ports keeps those that the Service has."""
    if "ExternalName" not in (new.get("type"), old.get("type")):
        for name in ("clusterIP", "clusterIPs"):
            if not new.get(name) and old.get(name):
                new[name] = copy(old[name])
    if wants_node_ports(old) and wants_node_ports(new):
        known = {port.get("name", ""): port.get("nodePort", 0) for port in old.get("ports") or ()}
        had, has = ({p["nodePort"] for p in spec.get("ports") or () if p.get("nodePort")} for spec in (old, new))
        for port in new.get("ports") or ():
            kept = known.get(port.get("name", ""))
            if not port.get("nodePort") and kept and kept not in had & has:
                port["nodePort"] = kept
    if needs_health_check(old) and needs_health_check(new) and not new.get("healthCheckNodePort"):
        new["healthCheckNodePort"] = old.get("healthCheckNodePort", 0)


def _normalize_cluster_ips(new: Obj, old: Obj | None) -> None:
    """An old client knows `clusterIP` alone; one that writes `clusterIPs` has to write both."""
    if old is None:
        if new.get("clusterIP") and not new.get("clusterIPs"):
            new["clusterIPs"] = [new["clusterIP"]]
        return
    if new.get("clusterIP", "") != old.get("clusterIP", "") and _same(new, old, "clusterIPs"):
        if new.get("clusterIP"):
            new["clusterIPs"] = [new["clusterIP"]]
        else:
            new.pop("clusterIPs", None)


def _same(new: Obj, old: Obj, name: str) -> bool:
    return (new.get(name) or None) == (old.get(name) or None)


def drop_type_dependent(new_service: Obj, old_service: Obj) -> None:
    """Fields that the old type needed, the new one does not, and the client left as they were."""
    new, old = new_service["spec"], old_service["spec"]

    def drop(*names: str) -> None:
        if all(_same(new, old, name) for name in names):
            for name in names:
                new.pop(name, None)

    if old.get("type") != "ExternalName" and new.get("type") == "ExternalName":
        drop("clusterIP", "clusterIPs")
        drop("ipFamilies")
        drop("ipFamilyPolicy")
    if has_node_ports(old) and not has_node_ports(new):
        before, after = ({p.get("nodePort", 0) for p in spec.get("ports") or ()} for spec in (old, new))
        for port in new.get("ports") or () if after - {0} <= before else ():
            port.pop("nodePort", None)
    if needs_health_check(old) and not needs_health_check(new):
        drop("healthCheckNodePort")
    if old.get("type") == "LoadBalancer" != new.get("type"):
        drop("allocateLoadBalancerNodePorts")
        drop("loadBalancerClass")
    if externally_accessible(old) and not externally_accessible(new):
        drop("externalTrafficPolicy")
    if new.get("type") != "LoadBalancer":
        new_service["status"] = {**new_service.get("status", {}), "loadBalancer": {}}


def init_families(new: Obj, old: Obj | None, configured: Sequence[str]) -> None:
    """Set `ipFamilyPolicy` and `ipFamilies`. `configured`: the cluster's families, its default first.

    Raises ApiError (422) for what the cluster cannot give.
    """
    spec = new["spec"]
    if spec.get("type") == "ExternalName":
        return
    selectorless = is_headless(spec) and not spec.get("selector")
    if spec.get("ipFamilyPolicy") is None:
        before = old["spec"].get("ipFamilyPolicy") if old else None
        spec["ipFamilyPolicy"] = before or ("RequireDualStack" if selectorless else "SingleStack")
    policy = spec["ipFamilyPolicy"]
    checked = services.cluster_ip_fields(service=new, old=old)
    if checked:
        raise errors.invalid("Service", new["metadata"].get("name", ""), checked.causes())
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
