"""Services and Endpoints. Upstream: core/validation (validateService, ValidateServiceUpdate, ValidateEndpoints),
v1.36.2."""

from __future__ import annotations

from typing import Any

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import addresses, metadata, probes
from workshop.api.validation.field import ErrorList

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
POLICIES = ("Cluster", "Local")
DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
FAMILIES, FAMILY_POLICIES = ("IPv4", "IPv6"), ("PreferDualStack", "RequireDualStack", "SingleStack")
HINTS, MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
ONLY_BALANCER = "may only be used when `type` is 'LoadBalancer'"
ONE_EACH = "may specify no more than one IP for each IP family"
UNCHANGED = "may not change once set"


def is_headless(spec: Obj) -> bool:
    return _ips(spec) == ["None"]


def _ips(spec: Obj) -> list[str]:
    """`clusterIPs`, or what the registry makes of `clusterIP`."""
    return spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])


def service(errors: ErrorList, obj: Obj, old: Obj | None = None) -> None:
    spec, annotations = obj["spec"], obj["metadata"].get("annotations") or {}
    before = (old or {}).get("spec") or {}
    kind, headless = spec.get("type", ""), is_headless(spec)
    if HINTS in annotations and annotations.get(MODE, annotations[HINTS]) != annotations[HINTS]:
        said = f"must match annotations[{HINTS}] when both are specified"
        errors.invalid(f"metadata.annotations[{MODE}]", annotations[MODE], said)
    if not spec.get("ports") and not headless and kind != "ExternalName":
        errors.required("spec.ports")
    if kind in ("NodePort", "LoadBalancer") and headless:
        errors.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind == "ExternalName":
        _external_name(errors, spec)
    _ports(errors, spec, kind)
    metadata.labels(errors, "spec.selector", spec.get("selector"))
    _affinity(errors, spec)
    if kind != "ExternalName":
        _cluster_ips(errors, spec, before)
    known = before.get("externalIPs") or []
    for index, ip in enumerate(spec.get("externalIPs") or []):
        if addresses.legacy_ip(errors, f"spec.externalIPs[{index}]", ip, known):
            addresses.endpoint_ip(errors, f"spec.externalIPs[{index}]", ip)
    errors.one_of("spec.type", kind, TYPES)
    _source_ranges(errors, spec, annotations, before)
    if kind != "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not None:
        errors.forbidden("spec.allocateLoadBalancerNodePorts", ONLY_BALANCER)
    if kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is None:
        errors.required("allocateLoadBalancerNodePorts")
    _balancer_class(errors, spec)
    _traffic(errors, spec, kind)


def _external_name(errors: ErrorList, spec: Obj) -> None:
    for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(name):
            errors.forbidden(f"spec.{name}", "may not be set for ExternalName services")
    name = spec.get("externalName", "").removesuffix(".")
    if name:
        errors.each("spec.externalName", name, names.dns1123_subdomain(name))
    else:
        errors.required("spec.externalName")


def _ports(errors: ErrorList, spec: Obj, kind: str) -> None:
    found = spec.get("ports") or []
    seen: set[str] = set()
    on_nodes: set[tuple[Any, ...]] = set()
    pairs: set[tuple[Any, ...]] = set()
    for index, port in enumerate(found):
        _port(errors, f"spec.ports[{index}]", port, seen, len(found) > 1)
    for index, port in enumerate(found):
        at, number, protocol = f"spec.ports[{index}]", port.get("nodePort", 0), port.get("protocol", "")
        if number and kind == "ClusterIP":
            errors.forbidden(f"{at}.nodePort", "may not be used when `type` is 'ClusterIP'")
        if number and (protocol, number) in on_nodes:
            errors.duplicate(f"{at}.nodePort", number)
        on_nodes.add((protocol, number))
        pair = (protocol, port.get("port", 0))
        if pair in pairs:
            shown = {
                "Name": "",
                "Protocol": protocol,
                "AppProtocol": None,
                "Port": pair[1],
                "TargetPort": 0,
                "NodePort": 0,
            }
            errors.duplicate(at, shown)
        pairs.add(pair)


def _port(errors: ErrorList, at: str, port: Obj, seen: set[str], named: bool) -> None:
    name, number = port.get("name", ""), port.get("port", 0)
    if named and not name:
        errors.required(f"{at}.name")
    elif name:
        errors.each(f"{at}.name", name, names.dns1123_label(name))
        if name in seen:
            errors.duplicate(f"{at}.name", name)
        seen.add(name)
    errors.each(f"{at}.port", number, names.port_number(number))
    errors.one_of(f"{at}.protocol", port.get("protocol"), PROTOCOLS)
    probes.port(errors, f"{at}.targetPort", port.get("targetPort", 0))
    if port.get("appProtocol") is not None:
        metadata.label_key(errors, f"{at}.appProtocol", port["appProtocol"])


def _affinity(errors: ErrorList, spec: Obj) -> None:
    kind, config, at = spec.get("sessionAffinity"), spec.get("sessionAffinityConfig"), "spec.sessionAffinityConfig"
    errors.one_of("spec.sessionAffinity", kind, ("ClientIP", "None"))
    if kind == "ClientIP":
        why = "when session affinity type is ClientIP"
        if config is None:
            errors.required(at, why)
        elif config.get("clientIP") is None:
            errors.required(f"{at}.clientIP", why)
        elif (seconds := config["clientIP"].get("timeoutSeconds")) is None:
            errors.required(f"{at}.clientIP.timeoutSeconds", why)
        elif not 0 < seconds <= 86400:
            errors.invalid(f"{at}.clientIP.timeoutSeconds", seconds, "must be greater than 0 and less than 86400")
    elif kind == "None" and config is not None:
        errors.forbidden(at, "must not be set when session affinity is None")


def cluster_ip_fields(service: Obj, old: Obj | None) -> ErrorList:
    """What is wrong with addresses and families, which is asked before any are given. Upstream:
    ValidateServiceClusterIPsRelatedFields."""
    errors = ErrorList()
    _cluster_ips(errors, service["spec"], (old or {}).get("spec") or {})
    return errors


def _cluster_ips(errors: ErrorList, spec: Obj, before: Obj) -> None:
    first, ips, at = spec.get("clusterIP", ""), _ips(spec), "spec.clusterIPs"
    families = spec.get("ipFamilies") or []
    if first and ips[0] != first:
        errors.invalid(at, ips, "first value must match `clusterIP`")
    elif ips and not first:
        errors.invalid(at, ips, "must be empty when `clusterIP` is not specified")
    for index, family in enumerate(families):
        errors.among(f"spec.ipFamilies[{index}]", family, FAMILIES)
        if family in families[:index]:
            errors.duplicate(f"spec.ipFamilies[{index}]", family)
    if spec.get("ipFamilyPolicy") is not None:
        errors.among("spec.ipFamilyPolicy", spec["ipFamilyPolicy"], FAMILY_POLICIES)
    wrong = False
    for index, ip in enumerate(ips):
        if index == 0 and ip == "None":
            if len(ips) > 1:
                wrong = True
                errors.invalid(at, ips, "'None' must be the first and only value")
            continue
        wrong |= not addresses.legacy_ip(errors, f"{at}[{index}]", ip, before.get("clusterIPs") or [])
    if len(ips) > 2:
        errors.invalid(at, ips, "may only hold up to 2 values")
    if wrong:
        return
    if len(ips) > 1 and not addresses.dual(ips):
        errors.invalid(at, ips, ONE_EACH)
    if is_headless(spec):
        return
    for index, (ip, family) in enumerate(zip(ips, families, strict=False)):
        if family in FAMILIES and addresses.family(ip) != family:
            said = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            errors.invalid(f"{at}[{index}]", ip, said)


def _source_ranges(errors: ErrorList, spec: Obj, annotations: dict[str, str], before: Obj) -> None:
    ranges, balancer = spec.get("loadBalancerSourceRanges") or [], spec.get("type") == "LoadBalancer"
    at = "spec.LoadBalancerSourceRanges"
    if ranges:
        if not balancer:
            errors.forbidden(at, ONLY_BALANCER)
        known = [value.strip() for value in before.get("loadBalancerSourceRanges") or []]
        for index, value in enumerate(ranges):
            addresses.legacy_range(errors, f"{at}[{index}]", value.strip(), known)
    elif RANGES in annotations:
        at = f"metadata.annotations[{RANGES}]"
        if not balancer:
            errors.forbidden(at, ONLY_BALANCER)
        for value in annotations[RANGES].strip().split(",") if annotations[RANGES].strip() else ():
            addresses.legacy_range(errors, at, value.strip())


def _balancer_class(errors: ErrorList, spec: Obj) -> None:
    given, at = spec.get("loadBalancerClass"), "spec.loadBalancerClass"
    if given is None:
        return
    if spec.get("type") == "LoadBalancer":
        metadata.label_key(errors, at, given)
    else:
        errors.forbidden(at, ONLY_BALANCER)


def _needs_health_check(spec: Obj) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _traffic(errors: ErrorList, spec: Obj, kind: str) -> None:
    policy, port = spec.get("externalTrafficPolicy", ""), spec.get("healthCheckNodePort", 0)
    outside = kind in ("LoadBalancer", "NodePort") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    if outside:
        errors.one_of("spec.externalTrafficPolicy", policy, POLICIES)
    elif policy:
        errors.invalid("spec.externalTrafficPolicy", policy, "may only be set for externally-accessible services")
    at = "spec.healthCheckNodePort"
    if not _needs_health_check(spec):
        if port:
            said = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            errors.invalid(at, port, said)
    elif not port:
        errors.required(at)
    else:
        errors.each(at, port, names.port_number(port))
    inner = spec.get("internalTrafficPolicy")
    if inner is None and kind in ("NodePort", "LoadBalancer", "ClusterIP"):
        errors.required("spec.internalTrafficPolicy")
    if inner is not None:
        errors.among("spec.internalTrafficPolicy", inner, POLICIES)
    if spec.get("trafficDistribution") is not None:
        errors.among("spec.trafficDistribution", spec["trafficDistribution"], DISTRIBUTIONS)


def service_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    after, before = new["spec"], old["spec"]
    if "ExternalName" not in (after.get("type"), before.get("type")):
        if not (is_headless(after) and is_headless(before)):
            _list_update(errors, "clusterIPs", after, before)
        if not (is_headless(after) or is_headless(before)):
            _list_update(errors, "ipFamilies", after, before)
    if after.get("type") == before.get("type") == "LoadBalancer":
        mine, theirs = after.get("loadBalancerClass"), before.get("loadBalancerClass")
        if mine != theirs:
            errors.invalid("spec.loadBalancerClass", mine, UNCHANGED)
    _balancer_class(errors, after)
    both = _needs_health_check(before) and _needs_health_check(after)
    if both and after.get("healthCheckNodePort", 0) != before.get("healthCheckNodePort", 0):
        errors.forbidden("spec.healthCheckNodePort", "field is immutable")
    service(errors, new, old)


def _list_update(errors: ErrorList, name: str, after: Obj, before: Obj) -> None:
    """The first of them stays; a second one may come and, with a policy that says so, go."""
    mine, theirs = after.get(name) or [], before.get(name) or []
    what = "clusterIP" if name == "clusterIPs" else "ipFamily"
    shown = mine if name == "clusterIPs" else after.get("clusterIPs")
    if len(mine) == len(theirs):
        for index, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            if a != b:
                errors.invalid(f"spec.{name}[{index if name == 'clusterIPs' else 0}]", mine, UNCHANGED)
        return
    if len(mine) < len(theirs) and not after.get("clusterIPs"):
        errors.invalid(f"spec.{name}[0]", mine or None, f"primary {what} can not be unset")
    if mine and theirs and mine[0] != theirs[0]:
        errors.invalid(f"spec.{name}[0]", shown, UNCHANGED)
    if len(mine) == 1 and len(mine) < len(theirs) and after.get("ipFamilyPolicy") != "SingleStack":
        said = f"must be set to 'SingleStack' when releasing the secondary {what}"
        errors.invalid("spec.ipFamilyPolicy", after.get("ipFamilyPolicy"), said)


def load_balancer_status(errors: ErrorList, new: Obj, old: Obj) -> None:
    found, had = (((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or [] for obj in (new, old))
    at = "status.loadBalancer.ingress"
    if new["spec"].get("type") != "LoadBalancer" and found:
        errors.forbidden(at, "may only be used when `spec.type` is 'LoadBalancer'")
        return
    for index, each in enumerate(found):
        path, ip, mode, host = f"{at}[{index}]", each.get("ip", ""), each.get("ipMode"), each.get("hostname", "")
        if ip:
            addresses.legacy_ip(errors, f"{path}.ip", ip, [e.get("ip", "") for e in had])
        if mode is None and ip:
            errors.required(f"{path}.ipMode", "must be specified when `ip` is set")
        elif mode is not None and not ip:
            errors.forbidden(f"{path}.ipMode", "may not be specified when `ip` is not set")
        elif mode is not None:
            errors.among(f"{path}.ipMode", mode, ("Proxy", "VIP"))
        if host:
            errors.each(f"{path}.hostname", host, names.dns1123_subdomain(host))
            if addresses.parse(host) is not None:
                errors.invalid(f"{path}.hostname", host, "must be a DNS name, not an IP address")


def endpoints(errors: ErrorList, obj: Obj) -> None:
    for index, subset in enumerate(obj.get("subsets") or []):
        at = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.required(at, "must specify `addresses` or `notReadyAddresses`")
        for kind in ("addresses", "notReadyAddresses"):
            for i, each in enumerate(subset.get(kind) or []):
                _endpoint(errors, f"{at}.{kind}[{i}]", each)
        ports = subset.get("ports") or []
        for i, port in enumerate(ports):
            _endpoint_port(errors, f"{at}.ports[{i}]", port, len(ports) > 1)


def _endpoint(errors: ErrorList, at: str, each: Obj) -> None:
    addresses.legacy_ip(errors, f"{at}.ip", each.get("ip", ""))
    if each.get("hostname"):
        errors.each(f"{at}.hostname", each["hostname"], names.dns1123_label(each["hostname"]))
    if (node := each.get("nodeName")) is not None:
        errors.each(f"{at}.nodeName", node, names.dns1123_subdomain(node))
    addresses.endpoint_ip(errors, f"{at}.ip", each.get("ip", ""))


def _endpoint_port(errors: ErrorList, at: str, port: Obj, named: bool) -> None:
    name, number = port.get("name", ""), port.get("port", 0)
    if named and not name:
        errors.required(f"{at}.name")
    elif name:
        errors.each(f"{at}.name", name, names.dns1123_label(name))
    errors.each(f"{at}.port", number, names.port_number(number))
    errors.one_of(f"{at}.protocol", port.get("protocol"), PROTOCOLS)
    if port.get("appProtocol") is not None:
        metadata.label_key(errors, f"{at}.appProtocol", port["appProtocol"])


def endpoints_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    """Subsets that were wrong already may stay as they are."""
    if new.get("subsets") != old.get("subsets"):
        endpoints(errors, new)
