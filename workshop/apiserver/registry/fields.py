"""Selectable fields. Every kind has metadata.name and metadata.namespace; these have more.

Upstream: pkg/apis/core/v1/conversion.go and the `SelectableFields`/`ToSelectableFields` of each registry.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from workshop.api import errors, fields
from workshop.api.custom.kind import CustomKind
from workshop.api.meta import Obj
from workshop.api.resources import Resource

_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

PATHS: dict[str, tuple[str, ...]] = {
    "pods": ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
             "spec.hostNetwork", "status.phase", "status.podIP", "status.podIPs",
             "status.nominatedNodeName"),
    "nodes": ("spec.unschedulable",),
    "namespaces": ("status.phase",),
    "replicationcontrollers": ("status.replicas",),
    "secrets": ("type",),
    "services": ("spec.clusterIP", "spec.type"),
    "events": (*(f"involvedObject.{f}" for f in _INVOLVED), "reason", "reportingComponent", "source", "type"),
    "events.events.k8s.io": (*(f"regarding.{f}" for f in _INVOLVED), "reason", "reportingController", "type"),
    "jobs.batch": ("status.successful",),
    "certificatesigningrequests.certificates.k8s.io": ("spec.signerName",),
    "podcertificaterequests.certificates.k8s.io": ("spec.signerName", "spec.podName", "spec.nodeName"),
    "clustertrustbundles.certificates.k8s.io": ("spec.signerName",),
    "resourceslices.resource.k8s.io": ("spec.nodeName", "spec.driver"),
}  # fmt: skip


def _value(obj: Obj, path: str) -> str:
    found: object = obj
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if isinstance(found, bool):
        return str(found).lower()
    return "" if found is None else str(found)


_DEFAULTS = {
    "spec.unschedulable": "false",
    "spec.hostNetwork": "false",
    "status.replicas": "0",
    "status.successful": "0",
}


_NEVER_FILLED = ("status.podIPs",)
"""A client may ask by it, and finds the pods without."""
_OLD_NAMES = {("pods", "spec.host"): "spec.nodeName"}


def _event(obj: Obj, path: str) -> str:
    if path == "source":
        return str((obj.get("source") or {}).get("component") or obj.get("reportingComponent") or "")
    return _value(obj, path)


@lru_cache(maxsize=512)
def extractor(stored: str) -> Callable[[Obj], dict[str, str]]:
    """A function from a stored object of `stored` (a `.group_resource`) to its selectable fields."""
    paths = PATHS.get(stored, ())
    read = _event if stored == "events" else _value

    def fields_of(obj: Obj) -> dict[str, str]:
        metadata = obj["metadata"]
        found = {"metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace", "")}
        for path in paths:
            found[path] = read(obj, path) or _DEFAULTS.get(path, "") if path not in _NEVER_FILLED else ""
        return found

    return fields_of


@lru_cache(maxsize=128)
def custom_extractor(kind: CustomKind) -> Callable[[Obj], dict[str, str]]:
    """The same for a custom resource: what its definition makes selectable."""

    def fields_of(obj: Obj) -> dict[str, str]:
        metadata = obj["metadata"]
        found = {"metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace", "")}
        return found | kind.fields_of(obj)

    return fields_of


def parse(resource: Resource, text: str) -> fields.Selector:
    """A field selector over fields that `resource` has, in terms of the stored kind. Raises ApiError 400."""
    try:
        selector = fields.parse(text)
    except ValueError as error:
        raise errors.bad_request(str(error)) from None
    kept = [term for term in selector.terms if term.field or term.value]  # `=` alone asks for nothing
    selector = fields.Selector(tuple(kept)).transform(
        lambda path, value: (_OLD_NAMES.get((resource.group_resource, path), path), value)
    )
    custom = resource.definition.selectable if resource.definition is not None else None
    known = {"metadata.name", *PATHS.get(resource.group_resource, ()), *(custom or ())}
    if resource.namespaced or _ordinary(resource):
        known.add("metadata.namespace")
    for path in (term.field for term in selector.terms):
        if path not in known:
            raise errors.bad_request(_unknown(resource, path))
    if resource.group_resource == "events.events.k8s.io":
        return selector.transform(lambda path, value: (_stored_event_path(path), value))
    return selector


def _ordinary(resource: Resource) -> bool:
    """Whether names and namespaces are all that the kind's own conversion knows."""
    return not PATHS.get(resource.group_resource) and (
        resource.definition is None or resource.definition.selectable is None
    )


def _unknown(resource: Resource, path: str) -> str:
    """Each kind's conversion says it in words of its own."""
    kind = resource.group_resource
    if kind == "jobs.batch":
        return f"field label {errors.quote(path)} not supported for Job"
    if kind == "resourceslices.resource.k8s.io":
        return f"field label not supported for {resource.api_version}, Kind=ResourceSlice: {path}"
    if _ordinary(resource):
        return f'{errors.quote(path)} is not a known field selector: only "metadata.name", "metadata.namespace"'
    return f"field label not supported: {path}"


def _stored_event_path(path: str) -> str:
    """Events are stored as core/v1 names them."""
    if path == "reportingController":
        return "reportingComponent"
    return path.replace("regarding.", "involvedObject.", 1)
