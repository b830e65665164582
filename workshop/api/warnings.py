"""What a server takes but warns of, in upstream's words: deprecated volumes, a port told twice, an empty selector.

Upstream: pkg/api/{pod,service,persistentvolume}/…warnings, the strategy.go of each kind.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from workshop.api import names, quantity
from workshop.api.meta import Obj
from workshop.api.resources import Resource

GONE = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
SHOWN = {"storageos": "storageOS"}
"""What upstream calls a field here."""
PEM = b"-----BEGIN "
ONLY_IN_PODS = ("gitRepo", "flocker", "quobyte")
TEMPLATES = {
    "deployments.apps": "spec.template.",
    "replicasets.apps": "spec.template.",
    "statefulsets.apps": "spec.template.",
    "daemonsets.apps": "spec.template.",
    "replicationcontrollers": "spec.template.",
    "jobs.batch": "spec.template.",
    "cronjobs.batch": "spec.jobTemplate.spec.template.",
    "podtemplates": "template.",
}
NAMES_PODS = ("deployments.apps", "replicasets.apps", "replicationcontrollers", "jobs.batch", "cronjobs.batch")
HOSTNAMES = "which can result in surprising behavior; a DNS label is recommended: "
TOKENS = (
    "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible "
    "logging of tokens in volume attributes"
)


def of(resource: Resource, new: Obj, old: Obj | None) -> list[str]:
    """Warnings of an object that is right; `old` is what it replaces."""
    kind = resource.group_resource
    return [*_name(kind, new, old), *_pods(kind, new, old), *_others(kind, new, old)]


def _name(kind: str, new: Obj, old: Obj | None) -> Iterator[str]:
    wrong = names.dns1123_label(new["metadata"].get("name", "")) if old is None else []
    if wrong and kind in ("pods", *NAMES_PODS):
        where = "the Pod's hostname" if kind == "pods" else "Pod names and hostnames"
        yield f"metadata.name: this is used in {where}, {HOSTNAMES}[{' '.join(wrong)}]"


def _pods(kind: str, new: Obj, old: Obj | None) -> Iterator[str]:
    if kind == "pods":
        yield from pod("", new)
    elif (at := TEMPLATES.get(kind)) is not None:
        template, before = _at(new, at), _at(old or {}, at)
        if template != before:
            yield from pod(at, template)


def _at(obj: Obj, path: str) -> Obj:
    for name in path.strip(".").split("."):
        obj = obj.get(name) or {}
    return obj


def pod(at: str, found: Obj) -> Iterator[str]:
    """A pod, or a template at the path `at`."""
    spec = found.get("spec") or {}
    for i, each in enumerate(spec.get("topologySpreadConstraints") or []):
        if each.get("labelSelector") is None:
            yield _matching_nothing(f"{at}spec.topologySpreadConstraints[{i}].labelSelector")
    for i, volume in enumerate(spec.get("volumes") or []):
        for source, said in GONE.items():
            if volume.get(source) is not None:
                yield f"{at}spec.volumes[{i}].{SHOWN.get(source, source)}: {said}"
        claim = ((volume.get("ephemeral") or {}).get("volumeClaimTemplate") or {}).get("spec") or {}
        yield from _fractions(f"{at}spec.volumes[{i}].ephemeral.volumeClaimTemplate.spec", claim, ("storage",))
        for each in (volume.get("projected") or {}).get("sources") or []:
            if not each:
                yield f'volume "{volume.get("name", "")}" (Projected) has no sources provided'
    for field, key, word in (("hostAliases", "ip", "ip"), ("imagePullSecrets", "name", "name")):
        given = [each.get(key, "") for each in spec.get(field) or []]
        for i, value in enumerate(given):
            if value in given[:i]:
                yield f'{at}spec.{field}[{i}].{key}: duplicate {word} "{value}"'
    for i, each in enumerate(spec.get("imagePullSecrets") or []):
        if not each.get("name"):
            yield f'{at}spec.imagePullSecrets[{i}].name: invalid empty name ""'
    yield from _containers(at, spec)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        said = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{at}spec.terminationGracePeriodSeconds: {said}"
    yield from _affinity(f"{at}spec.affinity.", spec.get("affinity") or {})


def _matching_nothing(path: str) -> str:
    return f"{path}: a null labelSelector results in matching no pod"


def _affinity(at: str, affinity: Obj) -> Iterator[str]:
    for name in ("podAffinity", "podAntiAffinity"):
        found = affinity.get(name) or {}
        for field, inner in (("required", ""), ("preferred", ".podAffinityTerm")):
            field += "DuringSchedulingIgnoredDuringExecution"
            for i, each in enumerate(found.get(field) or []):
                term = (each.get("podAffinityTerm") or {}) if inner else each
                if term.get("labelSelector") is None:
                    yield _matching_nothing(f"{at}{name}.{field}[{i}]{inner}.labelSelector")


def _containers(at: str, spec: Obj) -> Iterator[str]:
    ports: Ports = {}
    named: dict[str, str] = {}
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for i, container in enumerate(spec.get(field) or []):
            path = f"{at}spec.{field}[{i}]"
            yield from _fractions(path, container, ("memory", "ephemeral-storage"))
            yield from _variables(path, container.get("env") or [])
            for k, port in enumerate(container.get("ports") or []):
                yield from _port(f"{path}.ports[{k}]", port, ports, named)


def _fractions(at: str, found: Obj, which: tuple[str, ...]) -> Iterator[str]:
    for name in which:
        for field in ("limits", "requests"):
            amount = ((found.get("resources") or {}).get(field) or {}).get(name)
            if amount is not None and (text := str(amount)).endswith("m") and quantity.parse(text).milli_value() % 1000:
                yield f'{at}.resources.{field}[{name}]: fractional byte value "{text}" is invalid, must be an integer'


def _variables(at: str, variables: list[Obj]) -> Iterator[str]:
    seen: set[str] = set()
    for i, each in enumerate(variables):
        name, value = each.get("name", ""), each.get("value", "")
        reference = f"$({name})"
        if name in seen and (each.get("valueFrom") is not None or value == reference or reference not in value):
            yield f'{at}.env[{i}]: hides previous definition of "{name}", which may be dropped when using apply'
        seen.add(name)


Ports = dict[tuple[Any, Any], list[tuple[str, Obj]]]


def _port(at: str, port: Obj, ports: Ports, named: dict[str, str]) -> Iterator[str]:
    host, address, name = port.get("hostPort", 0), port.get("hostIP", ""), port.get("name", "")
    number, protocol = port.get("containerPort", 0), port.get("protocol", "")
    if address and not host:
        shown = f"{{Name:{name} HostPort:{host} ContainerPort:{number} Protocol:{protocol} HostIP:{address}}}"
        yield f"{at}: hostIP set without hostPort: {shown}"
    for path, other in ports.setdefault((number, protocol), []):
        its_host, its_address = other.get("hostPort", 0), other.get("hostIP", "")
        if (address, host) == (its_address, its_host):
            yield f"{at}: duplicate port definition with {path}"
        elif not host or not its_host:
            yield f"{at}: overlapping port definition with {path}"
        elif host == its_host and bool(address) != bool(its_address):
            yield f"{at}: dangerously ambiguous port definition with {path}"
    ports[number, protocol].append((at, port))
    if name and (path := named.setdefault(name, at)) != at:
        users = f"services and probes that select ports by name will use {path}"
        yield f'{at}: duplicate port name "{name}" with {path}, {users}'


# --- other kinds ------------------------------------------------------------------------------------------------------


def _others(kind: str, new: Obj, old: Obj | None) -> Iterator[str]:
    spec = new.get("spec") or {}
    match kind:
        case "services":
            yield from service(spec)
        case "persistentvolumes":
            if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
                said = "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic"
                yield f"spec.persistentVolumeReclaimPolicy: {said} provisioning."
            for source, text in GONE.items():
                if spec.get(source) is not None and source not in ONLY_IN_PODS:
                    yield f"spec.{SHOWN.get(source, source)}: {text}"
        case "secrets" if new.get("type") == "kubernetes.io/tls":
            for key, what in (("tls.crt", "certificate"), ("tls.key", "key")):
                if PEM not in base64.b64decode((new.get("data") or {}).get(key) or ""):
                    yield f"tls: failed to find any PEM data in {what} input"
                    break
        case "persistentvolumeclaims":
            yield from _fractions("spec", spec, ("storage",))
        case "statefulsets.apps":
            for i, claim in enumerate(spec.get("volumeClaimTemplates") or []):
                yield from _fractions(f"spec.volumeClaimTemplates[{i}]", claim.get("spec") or {}, ("storage",))
            if (spec.get("revisionHistoryLimit") or 0) < 0:
                said = "a negative value retains all historical revisions; a value >= 0 is recommended"
                yield f"spec.revisionHistoryLimit: {said}"
        case "nodes" if spec.get("externalID"):
            yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"
        case "endpointslices.discovery.k8s.io" if old is None and new.get("addressType") == "FQDN":
            yield "spec.addressType: FQDN endpoints are deprecated"
        case "resourceslices.resource.k8s.io" if (driver := spec.get("driver", "")) != driver.lower():
            yield f'spec.driver: driver names should be lowercase; "{driver}" contains uppercase characters'
        case "csidrivers.storage.k8s.io":
            before = ((old or {}).get("spec") or {}).get("tokenRequests") or []
            asked = spec.get("tokenRequests") or []
            if asked and spec.get("serviceAccountTokenInSecrets") is None and (old is None or asked != before):
                yield TOKENS


def service(spec: Obj) -> Iterator[str]:
    kind, headless = spec.get("type", "ClusterIP"), spec.get("clusterIP") == "None"
    if headless:
        for field in ("loadBalancerIP", "externalIPs"):
            if spec.get(field):
                yield f"spec.{field} is ignored for headless services"
        if spec.get("sessionAffinity", "None") != "None":
            yield "spec.SessionAffinity is ignored for headless services"
    if spec.get("externalIPs"):
        if kind == "ExternalName":
            yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
        elif not headless:
            yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    if kind != "ExternalName" and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'
