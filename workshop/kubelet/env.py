"""A container's environment: expansion of $(VAR), values from elsewhere, Services.

Upstream: `pkg/kubelet/kubelet_pods.go` (`makeEnvironmentVariables`), `pkg/kubelet/envvars`,
`third_party/forked/golang/expansion`. Pure: objects come through `lookup(kind, namespace, name)`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from workshop.api import quantity
from workshop.kubelet import envfile, pods
from workshop.kubelet.pods import Obj

Lookup = Callable[[str, str, str], Obj | None]  # ("ConfigMap", namespace, name)
Read = Callable[[str, str], str]  # (volume, path in it): a file's text; raises ConfigError


class ConfigError(Exception):
    """A container cannot be made because something that it names is missing (CreateContainerConfigError)."""


def expand(text: str, values: Mapping[str, str]) -> str:
    """`$(NAME)` becomes its value; an unknown one stays, `$$(NAME)` becomes `$(NAME)`.

    >>> expand("$(A)-$(B)-$$(A)", {"A": "1"})
    '1-$(B)-$(A)'
    """

    def one(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return values.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^()]*)\)", one, text)


def names_in(text: str) -> set[str]:
    """The variables that `expand` would look up."""
    return {match[1] for match in re.finditer(r"\$\$|\$\(([^()]*)\)", text) if match[0] != "$$"}


def service_environment(services: Iterable[Obj]) -> dict[str, str]:
    """The variables of Services, Docker's link style included.

    A Service `redis-master` at 10.0.0.11:6379 gives REDIS_MASTER_SERVICE_HOST, …_SERVICE_PORT, REDIS_MASTER_PORT, ….
    """
    found: dict[str, str] = {}
    for service in services:
        spec = service["spec"]
        address = spec.get("clusterIP", "")
        if address in ("", "None") or not spec.get("ports"):
            continue
        name = service["metadata"]["name"].upper().replace("-", "_")
        ports = spec["ports"]
        found[f"{name}_SERVICE_HOST"] = address
        found[f"{name}_SERVICE_PORT"] = str(ports[0]["port"])
        for port in ports:
            if port.get("name"):
                found[f"{name}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
        for index, port in enumerate(ports):
            protocol = port.get("protocol", "TCP")
            url = f"{protocol.lower()}://{address}:{port['port']}"
            prefix = f"{name}_PORT_{port['port']}_{protocol}"
            if index == 0:
                found[f"{name}_PORT"] = url
            found |= {
                prefix: url,
                f"{prefix}_PROTO": protocol.lower(),
                f"{prefix}_PORT": str(port["port"]),
                f"{prefix}_ADDR": address,
            }
    return found


def visible_services(pod: Obj, services: Iterable[Obj]) -> list[Obj]:
    """The Services whose variables a pod gets: default/kubernetes always, its namespace's with enableServiceLinks."""
    namespace = pod["metadata"].get("namespace", "default")
    links = pod["spec"].get("enableServiceLinks", True)
    chosen: dict[str, Obj] = {}
    for service in services:
        meta = service["metadata"]
        if meta["namespace"] == "default" and meta["name"] == "kubernetes":
            chosen.setdefault("kubernetes", service)
        elif links and meta["namespace"] == namespace:
            chosen[meta["name"]] = service
    return list(chosen.values())


def pod_field(pod: Obj, path: str, status: Mapping[str, str]) -> str:
    """A downward API field; `status` holds podIP, podIPs, hostIP, hostIPs. Raises ConfigError."""
    meta, spec = pod["metadata"], pod["spec"]
    subscript = re.fullmatch(r"metadata\.(labels|annotations)\['(.*)'\]", path)
    if subscript:
        return str((meta.get(subscript[1]) or {}).get(subscript[2], ""))
    simple = {
        "metadata.name": meta.get("name", ""),
        "metadata.namespace": meta.get("namespace", ""),
        "metadata.uid": meta.get("uid", ""),
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
    }
    if path in simple:
        return str(simple[path])
    if path in ("metadata.labels", "metadata.annotations"):
        items = meta.get(path.split(".")[1]) or {}
        return "\n".join(f'{key}="{_escape(value)}"' for key, value in sorted(items.items()))
    if path.startswith("status.") and path[7:] in status:
        return status[path[7:]]
    raise ConfigError(f"unsupported fieldPath: {path}")


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def resource_field(pod: Obj, container: Obj, selector: Obj, allocatable: Mapping[str, str]) -> str:
    """`limits.cpu` and its like, divided and rounded up; without a limit what the node has."""
    target = pods.container_named(pod, selector.get("containerName") or container["name"]) or container
    kind, _, name = selector["resource"].partition(".")
    text = ((target.get("resources") or {}).get(kind) or {}).get(name)
    if text is None:
        text = allocatable.get(name, "0") if kind == "limits" else "0"
    divisor = quantity.parse(selector.get("divisor") or "1")
    unit = divisor.milli_value() or 1000
    return str(-(-quantity.parse(text).milli_value() // unit))


def decoded(obj: Obj) -> dict[str, str]:
    """A Secret's or ConfigMap's text values."""
    if obj.get("kind") == "Secret" or "type" in obj:
        return {
            key: base64.b64decode(value or "").decode(errors="replace")
            for key, value in (obj.get("data") or {}).items()
        }
    return dict(obj.get("data") or {})


def no_files(volume: str, path: str) -> str:
    """A pod without volumes."""
    raise ConfigError(f'cannot find the volume "{volume}" referenced by FileKeyRef')


def _from_file(ref: Obj, read: Read) -> str | None:
    text = read(ref["volumeName"], ref["path"])
    try:
        found = envfile.value(text, ref["key"])
    except ValueError:
        raise ConfigError("couldn't parse env file") from None
    if not found and not ref.get("optional"):
        raise ConfigError(f'environment variable key "{ref["key"]}" not found in file "{ref["path"]}"')
    return found or None


def _value_from(
    pod: Obj,
    container: Obj,
    source: Obj,
    lookup: Lookup,
    status: Mapping[str, str],
    allocatable: Mapping[str, str],
    read: Read,
) -> str | None:
    namespace = pod["metadata"].get("namespace", "default")
    if "fieldRef" in source:
        return pod_field(pod, source["fieldRef"]["fieldPath"], status)
    if "resourceFieldRef" in source:
        return resource_field(pod, container, source["resourceFieldRef"], allocatable)
    for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        if field not in source:
            continue
        ref = source[field]
        obj = lookup(kind, namespace, ref["name"])
        if obj is None:
            if ref.get("optional"):
                return None
            raise ConfigError(f'{kind.lower()} "{ref["name"]}" not found')
        values = decoded(obj)
        if ref["key"] not in values:
            if ref.get("optional"):
                return None
            raise ConfigError(f"couldn't find key {ref['key']} in {kind} {namespace}/{ref['name']}")
        return values[ref["key"]]
    return _from_file(source["fileKeyRef"], read) if "fileKeyRef" in source else ""


def container_environment(
    pod: Obj,
    container: Obj,
    *,
    services: Iterable[Obj],
    lookup: Lookup,
    status: Mapping[str, str],
    allocatable: Mapping[str, str],
    read: Read = no_files,
) -> dict[str, str]:
    """All variables. Raises ConfigError."""
    found: dict[str, str] = {}
    namespace = pod["metadata"].get("namespace", "default")
    for source in container.get("envFrom") or ():
        for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            ref: Any = source.get(field)
            if not ref:
                continue
            obj = lookup(kind, namespace, ref["name"])
            if obj is None:
                if ref.get("optional"):
                    continue
                raise ConfigError(f'{kind.lower()} "{ref["name"]}" not found')
            for key, value in decoded(obj).items():
                found[source.get("prefix", "") + key] = value
    links = service_environment(visible_services(pod, services))
    for entry in container.get("env") or ():
        if entry.get("valueFrom"):
            given = _value_from(pod, container, entry["valueFrom"], lookup, status, allocatable, read)
            if given is None:
                continue
            value = given
        else:
            value = expand(entry.get("value") or "", {**links, **found})
        found[entry["name"]] = value
    return {**links, **found}
