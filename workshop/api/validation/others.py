"""Services, configuration, storage, RBAC, networking and the rest. Upstream: pkg/apis/*/validation."""

from __future__ import annotations

import base64
import ipaddress
from typing import Any

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import metadata
from workshop.api.validation.field import ErrorList

BIGGEST_DATA = 1024 * 1024
SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
NOT_AN_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
LOOPBACK = "may not be in the loopback range (127.0.0.0/8, ::1/128)"


def service(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    kind, ports = spec.get("type"), spec.get("ports") or []
    headless = "None" in (spec.get("clusterIP"), *(spec.get("clusterIPs") or []))
    if not ports and kind != "ExternalName" and not headless:
        errors.required("spec.ports")
    if kind == "ExternalName" and not spec.get("externalName"):
        errors.required("spec.externalName")
    if kind in ("NodePort", "LoadBalancer") and headless:
        errors.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    seen: set[str] = set()
    for index, port in enumerate(ports):
        _service_port(errors, f"spec.ports[{index}]", port, seen, len(ports) > 1)
    metadata.labels(errors, "spec.selector", spec.get("selector"))
    errors.one_of("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    errors.one_of("spec.type", kind, SERVICE_TYPES)
    for index, address in enumerate(spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])):
        if address != "None" and not _is_address(address):
            errors.invalid(f"spec.clusterIPs[{index}]", address, NOT_AN_ADDRESS)


def _service_port(errors: ErrorList, at: str, port: Obj, seen: set[str], named: bool) -> None:
    name, number, target = port.get("name", ""), port.get("port", 0), port.get("targetPort", 0)
    if named and not name:
        errors.required(f"{at}.name")
    elif name:
        errors.each(f"{at}.name", name, names.dns1123_label(name))
        if name in seen:
            errors.duplicate(f"{at}.name", name)
        seen.add(name)
    errors.each(f"{at}.port", number, names.port_number(number))
    errors.one_of(f"{at}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))
    check = names.port_name(target) if isinstance(target, str) else names.port_number(target)
    errors.each(f"{at}.targetPort", target, check)


def service_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    after, before = new["spec"], old["spec"]
    if before.get("type") != "ExternalName" and after.get("type") != "ExternalName" and before.get("clusterIPs"):
        first = (after.get("clusterIPs") or [""])[0]
        if first != before["clusterIPs"][0]:
            errors.invalid("spec.clusterIPs[0]", after.get("clusterIPs"), "may not change once set")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def config_map(errors: ErrorList, obj: Obj) -> None:
    size, binary = 0, obj.get("binaryData") or {}
    for key, value in (obj.get("data") or {}).items():
        errors.each(f"data[{key}]", key, names.config_map_key(key))
        if key in binary:
            errors.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
        size += len(value.encode())
    for key, value in binary.items():
        errors.each(f"binaryData[{key}]", key, names.config_map_key(key))
        size += len(value) * 3 // 4
    if size > BIGGEST_DATA:
        errors.too_long("", BIGGEST_DATA)


SECRET_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def secret(errors: ErrorList, obj: Obj) -> None:
    data, kind = obj.get("data") or {}, obj.get("type", "")
    for key in data:
        errors.each(f"data[{key}]", key, names.config_map_key(key))
    if sum(len(base64.b64decode(value)) for value in data.values()) > BIGGEST_DATA:
        errors.too_long("data", BIGGEST_DATA)
    for key in SECRET_KEYS.get(kind, ()):
        if key not in data:
            errors.required(f"data[{key}]")
    if kind == "kubernetes.io/service-account-token":
        annotation = "kubernetes.io/service-account.name"
        if not (obj["metadata"].get("annotations") or {}).get(annotation):
            errors.required(f"metadata.annotations[{annotation}]")


def frozen_data(errors: ErrorList, new: Obj, old: Obj) -> None:
    """A ConfigMap or Secret that is marked immutable stays so."""
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        errors.forbidden("immutable", "field is immutable when `immutable` is set")
    for name in ("data", "binaryData"):
        if (new.get(name) or {}) != (old.get(name) or {}):
            errors.forbidden(name, "field is immutable when `immutable` is set")


def secret_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    errors.immutable("type", new.get("type"), old.get("type"))
    frozen_data(errors, new, old)


ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
PV_FIELDS = {
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
}


def persistent_volume(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    if not spec.get("accessModes"):
        errors.required("spec.accessModes")
    capacity = spec.get("capacity")
    if not capacity:
        errors.required("spec.capacity")
    if not capacity or set(capacity) != {"storage"}:
        errors.not_supported("spec.capacity", capacity, ("storage",))
    if not set(spec) - PV_FIELDS:
        errors.required("spec", "must specify a volume type")


def persistent_volume_claim(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    if not spec.get("accessModes"):
        errors.required("spec.accessModes", "at least 1 access mode is required")
    for mode in spec.get("accessModes") or []:
        errors.one_of("spec.accessModes", mode, ACCESS_MODES)
    if "storage" not in (spec.get("resources", {}).get("requests") or {}):
        errors.required("spec.resources[storage]")


RBAC = "rbac.authorization.k8s.io"
SUBJECTS = ("ServiceAccount", "User", "Group")


def role_binding(errors: ErrorList, obj: Obj) -> None:
    ref = obj.get("roleRef", {})
    kinds = ("Role", "ClusterRole") if obj["kind"] == "RoleBinding" else ("ClusterRole",)
    errors.one_of("roleRef.apiGroup", ref.get("apiGroup"), (RBAC,))
    errors.one_of("roleRef.kind", ref.get("kind"), kinds)
    if not ref.get("name"):
        errors.required("roleRef.name")
    for index, each in enumerate(obj.get("subjects") or []):
        at = f"subjects[{index}]"
        if not each.get("name"):
            errors.required(f"{at}.name")
        errors.one_of(f"{at}.kind", each.get("kind"), SUBJECTS)
        if each.get("kind") == "ServiceAccount" and not each.get("namespace") and obj["kind"] != "RoleBinding":
            errors.required(f"{at}.namespace")


def role_binding_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    if new.get("roleRef") != old.get("roleRef"):
        ref = new.get("roleRef") or {}
        given = {"APIGroup": ref.get("apiGroup"), "Kind": ref.get("kind"), "Name": ref.get("name")}
        errors.invalid("roleRef", given, "cannot change roleRef")


def role(errors: ErrorList, obj: Obj) -> None:
    for index, rule in enumerate(obj.get("rules") or []):
        at, urls = f"rules[{index}]", rule.get("nonResourceURLs") or []
        if not rule.get("verbs"):
            errors.required(f"{at}.verbs", "verbs must contain at least one value")
        if urls:
            if obj["kind"] == "Role":
                errors.invalid(f"{at}.nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs")
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                said = "rules cannot apply to both regular resources and non-resource URLs"
                errors.invalid(f"{at}.nonResourceURLs", urls, said)
            continue
        if not rule.get("apiGroups"):
            errors.required(f"{at}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            errors.required(f"{at}.resources", "resource rules must supply at least one resource")


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


def _endpoint_address(errors: ErrorList, at: str, address: str, allow_loopback: bool) -> None:
    if not _is_address(address):
        errors.invalid(at, address, NOT_AN_ADDRESS)
    elif ipaddress.ip_address(address).is_loopback and not allow_loopback:
        errors.invalid(at, address, LOOPBACK)


def endpoint_slice(errors: ErrorList, obj: Obj, allow_loopback: bool = False) -> None:
    for index, each in enumerate(obj.get("endpoints") or []):
        at = f"endpoints[{index}].addresses"
        if not each.get("addresses"):
            errors.required(at, "must contain at least 1 address")
        for i, address in enumerate(each.get("addresses") or []):
            if obj.get("addressType") != "FQDN":
                _endpoint_address(errors, f"{at}[{i}]", address, allow_loopback)
    seen: set[str] = set()
    for index, port in enumerate(obj.get("ports") or []):
        name = port.get("name") or ""
        if name in seen:
            errors.duplicate(f"ports[{index}].name", name)
        elif name:
            errors.each(f"ports[{index}].name", name, names.dns1123_label(name))
        seen.add(name)


def endpoints(errors: ErrorList, obj: Obj, allow_loopback: bool = False) -> None:
    for index, subset in enumerate(obj.get("subsets") or []):
        for i, each in enumerate(subset.get("addresses") or []):
            at = f"subsets[{index}].addresses[{i}].ip"
            _endpoint_address(errors, at, each.get("ip", ""), allow_loopback)
            if not _is_address(each.get("ip", "")):
                errors.invalid(at, each.get("ip", ""), "must be a valid IP address")
        ports = subset.get("ports") or []
        for i, port in enumerate(ports):
            at = f"subsets[{index}].ports[{i}]"
            if len(ports) > 1 and not port.get("name"):
                errors.required(f"{at}.name")
            errors.each(f"{at}.port", port.get("port", 0), names.port_number(port.get("port", 0)))


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
