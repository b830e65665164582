"""A pod, or a template of pods. Upstream: pkg/api/pod/warnings.go, v1.36.2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workshop.api import quantity
from workshop.api.errors import quote
from workshop.api.meta import Obj
from workshop.api.validation.containers import every

from . import addresses, node_labels, paths

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
SECCOMP, SECCOMP_OF = "seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/"
APP_ARMOR_OF = "container.apparmor.security.beta.kubernetes.io/"
FIELD_INSTEAD = 'non-functional in v1.27+; use the "seccompProfile" field instead'
APP_ARMOR_INSTEAD = 'deprecated since v1.30; use the "appArmorProfile" field instead'
NO_LONGER = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
LATER = "DuringSchedulingIgnoredDuringExecution"


def pod(at: str, found: Obj) -> Iterator[str]:
    """A pod, or a template at the path `at`."""
    spec = found.get("spec") or {}
    yield from node_labels.in_map(f"{at}spec.nodeSelector", spec.get("nodeSelector"))
    yield from _node_affinity(f"{at}spec.affinity.nodeAffinity", (spec.get("affinity") or {}).get("nodeAffinity") or {})
    for i, each in enumerate(spec.get("topologySpreadConstraints") or []):
        path = f"{at}spec.topologySpreadConstraints[{i}]"
        yield from node_labels.topology_key(f"{path}.topologyKey", each.get("topologyKey", ""))
        if each.get("labelSelector") is None:
            yield _matching_nothing(f"{path}.labelSelector")
    yield from _volumes(f"{at}spec.volumes", spec.get("volumes") or [])
    yield from _twice(f"{at}spec.", spec)
    for name in FRACTIONS:
        yield from _fraction(f"{at}spec.overhead[{name}]", (spec.get("overhead") or {}).get(name))
    yield from _annotations(at, (found.get("metadata") or {}).get("annotations") or {}, spec)
    yield from _containers(at, spec)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        said = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{at}spec.terminationGracePeriodSeconds: {said}"
    yield from _pod_affinity(f"{at}spec.affinity.", spec.get("affinity") or {})
    for i, value in enumerate((spec.get("dnsConfig") or {}).get("nameservers") or []):
        yield from addresses.ip(f"{at}spec.dnsConfig.nameservers[{i}]", value)
    for i, each in enumerate(spec.get("hostAliases") or []):
        yield from addresses.ip(f"{at}spec.hostAliases[{i}].ip", each.get("ip", ""))


def _matching_nothing(path: str) -> str:
    return f"{path}: a null labelSelector results in matching no pod"


def _node_affinity(at: str, found: Obj) -> Iterator[str]:
    for i, term in enumerate((found.get("required" + LATER) or {}).get("nodeSelectorTerms") or []):
        yield from node_labels.term(f"{at}.required{LATER}.nodeSelectorTerms[{i}]", term)
    for i, each in enumerate(found.get("preferred" + LATER) or []):
        yield from node_labels.term(f"{at}.preferred{LATER}[{i}].preference", each.get("preference") or {}, values=True)


def _pod_affinity(at: str, affinity: Obj) -> Iterator[str]:
    for name in ("podAffinity", "podAntiAffinity"):
        found = affinity.get(name) or {}
        for field, inner in (("required" + LATER, ""), ("preferred" + LATER, ".podAffinityTerm")):
            for i, each in enumerate(found.get(field) or []):
                term = (each.get("podAffinityTerm") or {}) if inner else each
                if term.get("labelSelector") is None:
                    yield _matching_nothing(f"{at}{name}.{field}[{i}]{inner}.labelSelector")


def _volumes(at: str, volumes: list[Obj]) -> Iterator[str]:
    for i, volume in enumerate(volumes):
        for source, said in GONE.items():
            if volume.get(source) is not None:
                yield f"{at}[{i}].{SHOWN.get(source, source)}: {said}"
        claim = ((volume.get("ephemeral") or {}).get("volumeClaimTemplate") or {}).get("spec") or {}
        yield from storage(f"{at}[{i}].ephemeral.volumeClaimTemplate.spec", claim)
    yield from paths.overlapping(volumes)


def _twice(at: str, spec: Obj) -> Iterator[str]:
    for field, key in (("hostAliases", "ip"), ("imagePullSecrets", "name")):
        given = [each.get(key, "") for each in spec.get(field) or []]
        for i, value in enumerate(given):
            if value in given[:i]:
                yield f"{at}{field}[{i}].{key}: duplicate {key} {quote(value)}"
    for i, each in enumerate(spec.get("imagePullSecrets") or []):
        if not each.get("name"):
            yield f'{at}imagePullSecrets[{i}].name: invalid empty name ""'


def _annotations(at: str, told: Obj, spec: Obj) -> Iterator[str]:
    """What was told by annotations once, and is told by fields today."""
    path, context = f"{at}metadata.annotations", spec.get("securityContext") or {}
    yield from (f"{path}[{key}]: {said}" for key, said in NO_LONGER.items() if key in told)
    if SECCOMP in told and context.get("seccompProfile") is None:
        yield f"{path}[{SECCOMP}]: {FIELD_INSTEAD}"
    for _, each in every(spec, "spec"):
        own, name = each.get("securityContext") or {}, each.get("name", "")
        if SECCOMP_OF + name in told and own.get("seccompProfile") is None:
            yield f"{path}[{SECCOMP_OF}{name}]: {FIELD_INSTEAD}"
        profile = told.get(APP_ARMOR_OF + name)
        # A pod's own annotation is read, and warned of, when the pod is made.
        if at and profile is not None and own.get("appArmorProfile") is None:
            of_pod = context.get("appArmorProfile")
            if of_pod is None or of_pod != app_armor(profile):
                yield f"{path}[{APP_ARMOR_OF}{name}]: {APP_ARMOR_INSTEAD}"


def app_armor(annotation: str) -> Obj | None:
    """The profile that an annotation of old names, as the field has it.

    >>> app_armor("localhost/mine")
    {'type': 'Localhost', 'localhostProfile': 'mine'}
    """
    known = {"unconfined": "Unconfined", "runtime/default": "RuntimeDefault"}
    if annotation in known:
        return {"type": known[annotation]}
    prefix, _, name = annotation.partition("/")
    return {"type": "Localhost", "localhostProfile": name} if prefix == "localhost" and name else None


def _containers(at: str, spec: Obj) -> Iterator[str]:
    ports: Ports = {}
    named: dict[str, str] = {}
    for path, container in every(spec, f"{at}spec"):
        for name in FRACTIONS:
            for field in ("limits", "requests"):
                amounts = (container.get("resources") or {}).get(field) or {}
                yield from _fraction(f"{path}.resources.{field}[{name}]", amounts.get(name))
        yield from _variables(path, container.get("env") or [])
        for k, port in enumerate(container.get("ports") or []):
            yield from _port(f"{path}.ports[{k}]", port, ports, named)


FRACTIONS = ("memory", "ephemeral-storage")


def _fraction(at: str, amount: str | None) -> Iterator[str]:
    if amount is not None and (found := quantity.parse(amount)).milli_value() % 1000:
        yield f"{at}: fractional byte value {quote(str(found))} is invalid, must be an integer"


def storage(at: str, claim: Obj) -> Iterator[str]:
    """The size that a claim asks for."""
    for field in ("requests", "limits"):
        amounts = (claim.get("resources") or {}).get(field) or {}
        yield from _fraction(f"{at}.resources.{field}[storage]", amounts.get("storage"))


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
