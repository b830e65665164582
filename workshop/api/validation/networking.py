"""Ingresses, NetworkPolicies, EndpointSlices, IPAddresses, ServiceCIDRs. Upstream: pkg/apis/networking/validation,
pkg/apis/discovery/validation, v1.36.2."""

from __future__ import annotations

from collections.abc import Iterable

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import addresses, metadata, probes, signers
from workshop.api.validation.field import IMMUTABLE, ErrorList

PROTOCOLS = ("TCP", "UDP", "SCTP")
CLASS_ANNOTATION = "kubernetes.io/ingress.class"
PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
NOT_AN_ADDRESS = "must be a DNS name, not an IP address"


# --- ingresses ------------------------------------------------------------------------------------------------------


def ingress(errors: ErrorList, obj: Obj) -> None:
    """A new one; on update the annotation of old may say what it likes."""
    ingress_spec(errors, obj)
    given = (obj["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    wanted = obj["spec"].get("ingressClassName")
    if given is not None and wanted is not None and given != wanted:
        said = "must match `ingressClassName` when both are specified"
        errors.invalid(f"annotations.{CLASS_ANNOTATION}", given, said)


def ingress_spec(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        errors.invalid("spec", spec.get("rules"), "either `defaultBackend` or `rules` must be specified")
    if spec.get("defaultBackend") is not None:
        _backend(errors, "spec.defaultBackend", spec["defaultBackend"])
    for index, rule in enumerate(spec.get("rules") or []):
        _rule(errors, f"spec.rules[{index}]", rule)
    for index, tls in enumerate(spec.get("tls") or []):
        at = f"spec.tls[{index}]"
        for i, host in enumerate(tls.get("hosts") or []):
            errors.each(f"{at}.hosts[{i}]", host, _host(host))
        if tls.get("secretName"):
            errors.each(f"{at}.secretName", tls["secretName"], names.dns1123_subdomain(tls["secretName"]))
    if (name := spec.get("ingressClassName")) is not None:
        errors.each("spec.ingressClassName", name, names.dns1123_subdomain(name))


def _host(host: str) -> list[str]:
    return names.wildcard_dns1123_subdomain(host) if "*" in host else names.dns1123_subdomain(host)


def _rule(errors: ErrorList, at: str, rule: Obj) -> None:
    host, http = rule.get("host", ""), rule.get("http")
    if host:
        if addresses.parse(host) is not None:
            errors.invalid(f"{at}.host", host, NOT_AN_ADDRESS)
        errors.each(f"{at}.host", host, _host(host))
    if http is None:
        return
    errors.needed(http, f"{at}.http", "paths")
    for index, path in enumerate(http.get("paths") or []):
        _path(errors, f"{at}.http.paths[{index}]", path)


def _path(errors: ErrorList, at: str, found: Obj) -> None:
    kind, path = found.get("pathType"), found.get("path", "")
    if kind is None:
        errors.required(f"{at}.pathType", "pathType must be specified")
        return
    if kind in ("Exact", "Prefix"):
        if not path.startswith("/"):
            errors.invalid(f"{at}.path", path, "must be an absolute path")
        for part in ("//", "/./", "/../", "%2f", "%2F"):
            if part in path:
                errors.invalid(f"{at}.path", path, f"must not contain '{part}'")
        for end in ("/..", "/."):
            if path.endswith(end):
                errors.invalid(f"{at}.path", path, f"cannot end with '{end}'")
    elif kind == "ImplementationSpecific":
        if path and not path.startswith("/"):
            errors.invalid(f"{at}.path", path, "must be an absolute path")
    else:
        errors.not_supported(f"{at}.pathType", kind, PATH_TYPES)
    _backend(errors, f"{at}.backend", found.get("backend") or {})


def _backend(errors: ErrorList, at: str, backend: Obj) -> None:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        errors.invalid(at, "", "cannot set both resource and service backends")
    elif resource is not None:
        _reference(errors, f"{at}.resource", resource)
    elif service is not None:
        _service(errors, at, service)
    else:
        errors.invalid(at, "", "resource or service backend is required")


def _service(errors: ErrorList, at: str, service: Obj) -> None:
    name, port = service.get("name", ""), service.get("port") or {}
    if not name:
        errors.required(f"{at}.service.name")
    else:
        errors.each(f"{at}.service.name", name, names.dns1123_label(name))
    if port.get("name") and port.get("number"):
        errors.invalid(at, "", "cannot set both port name & port number")
    elif port.get("name"):
        errors.each(f"{at}.service.port.name", port["name"], names.port_name(port["name"]))
    elif port.get("number"):
        errors.each(f"{at}.service.port.number", port["number"], names.port_number(port["number"]))
    else:
        errors.required(at, "port name or number is required")


def _segments(errors: ErrorList, at: str, found: Obj, *fields: str) -> None:
    """Names that have to be there and to fit into a path."""
    for name in fields:
        if not found.get(name):
            errors.required(f"{at}.{name}")
        else:
            errors.each(f"{at}.{name}", found[name], names.path_segment(found[name]))


def _reference(errors: ErrorList, at: str, found: Obj) -> None:
    if (group := found.get("apiGroup")) is not None:
        errors.each(f"{at}.apiGroup", group, names.dns1123_subdomain(group))
    _segments(errors, at, found, "kind", "name")


def ingress_status(errors: ErrorList, new: Obj, old: Obj) -> None:
    found, had = (((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or [] for obj in (new, old))
    for index, each in enumerate(found):
        at, ip, host = f"status.loadBalancer.ingress[{index}]", each.get("ip", ""), each.get("hostname", "")
        if ip:
            addresses.legacy_ip(errors, f"{at}.ip", ip, [e.get("ip", "") for e in had])
        if host:
            errors.each(f"{at}.hostname", host, names.dns1123_subdomain(host))
            if addresses.parse(host) is not None:
                errors.invalid(f"{at}.hostname", host, NOT_AN_ADDRESS)


def ingress_class(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    controller, parameters = spec.get("controller", ""), spec.get("parameters")
    if len(controller) > 250:
        errors.too_long("spec.controller", 250)
    signers.prefixed_path(errors, "spec.controller", controller)
    if parameters is None:
        return
    at, scope, namespace = "spec.parameters", parameters.get("scope"), parameters.get("namespace")
    _reference(errors, at, parameters)
    if scope is None:
        errors.required(f"{at}.scope")
    elif scope not in ("Cluster", "Namespace"):
        errors.not_supported(f"{at}.scope", scope, ("Cluster", "Namespace"))
    elif scope == "Namespace":
        if namespace is None:
            errors.required(f"{at}.namespace", "`parameters.scope` is set to 'Namespace'")
        else:
            errors.each(f"{at}.namespace", namespace, names.dns1123_label(namespace))
    elif namespace is not None:
        errors.forbidden(f"{at}.namespace", "`parameters.scope` is set to 'Cluster'")


def ingress_class_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    errors.immutable("spec.controller", new["spec"].get("controller", ""), old["spec"].get("controller", ""))


# --- network policies -----------------------------------------------------------------------------------------------


def network_policy(errors: ErrorList, obj: Obj, old: Obj | None = None) -> None:
    spec = obj["spec"]
    known = set(_ranges(old)) if old is not None else set()
    metadata.selector(errors, "spec.podSelector", spec.get("podSelector"))
    for way, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(way) or []):
            at = f"spec.{way}[{index}]"
            for i, port in enumerate(rule.get("ports") or []):
                _policy_port(errors, f"{at}.ports[{i}]", port)
            for i, peer in enumerate(rule.get(peers) or []):
                _peer(errors, f"{at}.{peers}[{i}]", peer or {}, known)
    kinds = spec.get("policyTypes") or []
    if len(kinds) > 2:
        errors.invalid("spec.policyTypes", kinds, "may not specify more than two policyTypes")
        return
    for index, kind in enumerate(kinds):
        errors.among(f"spec.policyTypes[{index}]", kind, ("Ingress", "Egress"))


def _ranges(policy: Obj) -> Iterable[str]:
    """Ranges that stand there already may stay as they are written."""
    for way, peers in (("ingress", "from"), ("egress", "to")):
        for rule in policy["spec"].get(way) or []:
            for peer in rule.get(peers) or []:
                if (block := peer.get("ipBlock")) is not None:
                    yield block.get("cidr", "")
                    yield from block.get("except") or []


def _policy_port(errors: ErrorList, at: str, found: Obj) -> None:
    port, end = found.get("port"), found.get("endPort")
    if found.get("protocol") is not None:
        errors.among(f"{at}.protocol", found["protocol"], PROTOCOLS)
    if port is None:
        if end is not None:
            errors.invalid(f"{at}.endPort", end, "may not be specified when `port` is not specified")
        return
    if isinstance(port, str):
        if end is not None:
            errors.invalid(f"{at}.endPort", end, "may not be specified when `port` is non-numeric")
        probes.port(errors, f"{at}.port", port)
        return
    probes.port(errors, f"{at}.port", port)
    if end is not None:
        if end < port:
            errors.invalid(f"{at}.endPort", port, "must be greater than or equal to `port`")
        errors.each(f"{at}.endPort", end, names.port_number(end))


def _peer(errors: ErrorList, at: str, peer: Obj, known: set[str]) -> None:
    given = [kind for kind in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(kind) is not None]
    for kind in given:
        if kind == "ipBlock":
            _block(errors, f"{at}.ipBlock", peer["ipBlock"], known)
        else:
            metadata.selector(errors, f"{at}.{kind}", peer[kind])
    if not given:
        errors.required(at, "must specify a peer")
    elif len(given) > 1 and "ipBlock" in given:
        errors.forbidden(at, "may not specify both ipBlock and another peer")


def _block(errors: ErrorList, at: str, block: Obj, known: set[str]) -> None:
    cidr = block.get("cidr", "")
    if not cidr:
        errors.required(f"{at}.cidr")
        return
    addresses.legacy_range(errors, f"{at}.cidr", cidr, known)
    whole = addresses.parse_range(cidr)
    if whole is None:
        return
    for index, part in enumerate(block.get("except") or []):
        addresses.legacy_range(errors, f"{at}.except[{index}]", part, known)
        inner = addresses.parse_range(part)
        if inner is None:
            continue
        if inner.network_address not in whole or whole.prefixlen >= inner.prefixlen:
            errors.invalid(f"{at}.except[{index}]", part, "must be a strict subset of `cidr`")


# --- endpoint slices ------------------------------------------------------------------------------------------------


def endpoint_slice(errors: ErrorList, obj: Obj, old: Obj | None = None) -> None:
    kind = obj.get("addressType", "")
    errors.one_of("addressType", kind, ("FQDN", "IPv4", "IPv6"))
    _slice_ports(errors, obj.get("ports") or [])
    endpoints = obj.get("endpoints") or []
    if old is None or old.get("endpoints") != obj.get("endpoints"):
        if len(endpoints) > 1000:
            errors.too_many("endpoints", len(endpoints), 1000)
        else:
            for index, each in enumerate(endpoints):
                _endpoint(errors, f"endpoints[{index}]", each, kind)
    if old is not None:
        errors.immutable("addressType", kind, old.get("addressType", ""))


def _slice_ports(errors: ErrorList, ports: list[Obj]) -> None:
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
            errors.among(f"{at}.protocol", port["protocol"], sorted(PROTOCOLS))
        if port.get("appProtocol") is not None:
            metadata.label_key(errors, f"{at}.appProtocol", port["appProtocol"])


def _endpoint(errors: ErrorList, at: str, each: Obj, kind: str) -> None:
    found = each.get("addresses") or []
    if not found:
        errors.required(f"{at}.addresses", "must contain at least 1 address")
    elif len(found) > 100:
        errors.too_many(f"{at}.addresses", len(found), 100)
    for index, address in enumerate(found):
        _endpoint_address(errors, f"{at}.addresses", index, address, kind)
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


def _endpoint_address(errors: ErrorList, path: str, index: int, address: str, kind: str) -> None:
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


# --- addresses ------------------------------------------------------------------------------------------------------


def ip_address(errors: ErrorList, obj: Obj) -> None:
    parent, at = obj["spec"].get("parentRef"), "spec.parentRef"
    if parent is None:
        errors.required(at)
        return
    if parent.get("group"):
        errors.each(f"{at}.group", parent["group"], names.dns1123_subdomain(parent["group"]))
    _segments(errors, at, parent, "resource", "name")
    if parent.get("namespace"):
        errors.each(f"{at}.namespace", parent["namespace"], names.path_segment(parent["namespace"]))


def ip_address_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    mine, theirs = (obj["spec"].get("parentRef") for obj in (new, old))
    if mine != theirs:
        fields = ("group", "resource", "namespace", "name")
        shown = None if mine is None else {name.capitalize(): mine.get(name, "") for name in fields}
        errors.invalid("spec.parentRef", shown, IMMUTABLE)


ONE_EACH = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"


def service_cidr(errors: ErrorList, obj: Obj) -> None:
    found, at = obj["spec"].get("cidrs") or [], "spec.cidrs"
    if not found:
        errors.required(at, "at least one CIDR required")
        return
    if len(found) > 2:
        errors.invalid(at, {"CIDRs": found}, "may only hold up to 2 values")
        return
    for index, each in enumerate(found):
        addresses.strict_range(errors, f"{at}[{index}]", each)
    families = [addresses.family(each.partition("/")[0]) for each in found if addresses.parse_range(each) is not None]
    if len(families) == 2 and families[0] == families[1]:
        errors.invalid(at, found, ONE_EACH)


def service_cidr_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    mine, theirs, at = new["spec"].get("cidrs") or [], old["spec"].get("cidrs") or [], "spec.cidrs"
    if len(mine) == len(theirs):
        for index, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            errors.immutable(f"{at}[{index}]", a, b)
    elif len(theirs) == 1 and len(mine) == 2:
        errors.immutable(f"{at}[0]", mine[0], theirs[0])
        service_cidr(errors, new)
    else:
        errors.invalid(at, mine or None, IMMUTABLE)
