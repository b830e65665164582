"""Ingresses and IngressClasses. Upstream: pkg/apis/networking/validation, v1.36.2."""

from __future__ import annotations

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import addresses, paths, signers
from workshop.api.validation.field import ErrorList

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
NOT_AN_ADDRESS = "must be a DNS name, not an IP address"


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


def _reference(errors: ErrorList, at: str, found: Obj) -> None:
    if (group := found.get("apiGroup")) is not None:
        errors.each(f"{at}.apiGroup", group, names.dns1123_subdomain(group))
    paths.segments(errors, at, found, "kind", "name")


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
