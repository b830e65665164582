"""Events, of both groups: one object, two sets of rules. Upstream: core/validation/events.go, v1.36.2."""

from __future__ import annotations

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.api.validation import metadata
from workshop.api.validation.field import IMMUTABLE, ErrorList

LONGEST, LONGEST_NOTE = 128, 1024
NAMES = {  # the field of core/v1 → that of events.k8s.io/v1
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
MISMATCH = "does not match event.namespace"


def _get(resource: Resource, obj: Obj, name: str) -> object:
    """A field by its name in core/v1."""
    return obj.get(NAMES.get(name, name) if resource.group else name)


def event(errors: ErrorList, resource: Resource, obj: Obj) -> None:
    _both(errors, resource, obj)
    if not resource.group:
        return
    metadata.metadata(errors, resource, obj)
    _series(errors, obj)
    if not obj.get("eventTime"):
        errors.required("eventTime")
    if obj.get("type") not in ("Normal", "Warning"):
        errors.invalid("type", "", f"has invalid value: {obj.get('type', '')}")
    for name in ("firstTimestamp", "lastTimestamp", "count", "source"):
        given = _get(resource, obj, name)
        if given and given != {}:
            errors.invalid(name, "", "needs to be unset")


def _series(errors: ErrorList, obj: Obj) -> None:
    if (series := obj.get("series")) is None:
        return
    if series.get("count", 0) < 2:
        errors.invalid("series.count", "", "should be at least 2")
    if not series.get("lastObservedTime"):
        errors.required("series.lastObservedTime")


def _both(errors: ErrorList, resource: Resource, obj: Obj) -> None:
    namespace = obj["metadata"].get("namespace", "")
    involved = _get(resource, obj, "involvedObject")
    other = str((involved if isinstance(involved, dict) else {}).get("namespace", ""))
    if not obj.get("eventTime"):
        if (other or "default") != namespace:
            errors.invalid("involvedObject.namespace", other, MISMATCH)
    else:
        if not other and namespace not in ("default", "kube-system"):
            errors.invalid("involvedObject.namespace", other, MISMATCH)
        _reporter(errors, resource, obj)
    errors.each("namespace", namespace, names.dns1123_subdomain(namespace))


def _reporter(errors: ErrorList, resource: Resource, obj: Obj) -> None:
    at = "reportingController" if resource.group else "reportingComponent"
    controller = str(_get(resource, obj, "reportingComponent") or "")
    if not controller:
        errors.required(at)
    metadata.label_key(errors, at, controller)
    for name in ("reportingInstance", "action", "reason"):
        if not obj.get(name):
            errors.required(name)
        elif len(obj[name].encode()) > LONGEST:
            errors.invalid(name, "", f"can have at most {LONGEST} characters")
    if len(str(_get(resource, obj, "message") or "").encode()) > LONGEST_NOTE:
        errors.invalid("message", "", f"can have at most {LONGEST_NOTE} characters")


KEPT = (
    "involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "reason", "type",
    "eventTime", "action", "related", "reportingComponent", "reportingInstance",
)  # fmt: skip


def event_update(errors: ErrorList, resource: Resource, new: Obj, old: Obj) -> None:
    """An event of events.k8s.io changes in its series only; one of old, in anything."""
    _both(errors, resource, new)
    if not resource.group:
        return
    metadata.metadata_update(errors, new, old)
    metadata.kinds_finalizers(errors, resource, new)
    if new.get("series") != old.get("series"):
        _series(errors, new)
    for name in KEPT:
        mine, theirs = _get(resource, new, name), _get(resource, old, name)
        if (mine or None) != (theirs or None):
            told = "reportingController" if name == "reportingComponent" else name
            errors.invalid(told, _shown(name, mine), IMMUTABLE)


REFERENCE = ("Kind", "Namespace", "Name", "UID", "APIVersion", "ResourceVersion", "FieldPath")


def _shown(name: str, value: object) -> object:
    """As upstream prints its internal types."""
    if name in ("involvedObject", "related") and isinstance(value, dict):
        lower = {"UID": "uid", "APIVersion": "apiVersion"}
        return {each: value.get(lower.get(each, each[:1].lower() + each[1:]), "") for each in REFERENCE}
    if name == "source":
        given = value if isinstance(value, dict) else {}
        return {"Component": given.get("component", ""), "Host": given.get("host", "")}
    if name in ("reason", "message", "type", "action", "reportingComponent", "reportingInstance"):
        return value or ""
    return (value or 0) if name == "count" else value
