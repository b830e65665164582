"""Metadata, labels and selectors. Upstream: apimachinery/pkg/api/validation/objectmeta.go,
apimachinery/pkg/apis/meta/v1/validation, v1.36.2."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.api.validation import addresses
from workshop.api.validation.field import NOT_NEGATIVE, ErrorList

ANNOTATIONS_LIMIT = 256 * 1024
STANDARD_FINALIZERS = {"kubernetes", "orphan", "foregroundDeletion"}
NameCheck = Callable[[str], list[str]]

NAMES: dict[str, NameCheck] = {  # what is not a DNS subdomain
    "namespaces": names.dns1123_label,
    "services": names.dns1123_label,
    "statefulsets.apps": names.dns1123_label,
    "replicationcontrollers": lambda name: _in_bytes(name),
    "deviceclasses.resource.k8s.io": lambda name: _in_bytes(name),
    "ipaddresses.networking.k8s.io": addresses.canonical_ip,
    "certificatesigningrequests.certificates.k8s.io": lambda name: [],
}
PATH_SEGMENTS = ("rbac.authorization.k8s.io", "apiregistration.k8s.io")


def name_check(resource: Resource) -> NameCheck:
    if resource.group in PATH_SEGMENTS or resource.group_resource in UNCHECKED:
        return names.path_segment
    return NAMES.get(resource.group_resource, names.dns1123_subdomain)


def _in_bytes(name: str) -> list[str]:
    """The newer wording of the same rule."""
    return [said.replace("253 characters", "253 bytes") for said in names.dns1123_subdomain(name)]


def label_key(errors: ErrorList, path: str, key: str) -> None:
    errors.each(path, key, names.qualified_name(key))


def labels(errors: ErrorList, path: str, found: dict[str, str] | None) -> None:
    for key, value in (found or {}).items():
        errors.each(path, key, names.qualified_name(key))
        errors.each(path, value, names.label_value(value))


def annotation_map(errors: ErrorList, path: str, found: dict[str, str] | None) -> None:
    size = 0
    for key, value in (found or {}).items():
        errors.each(path, key, names.qualified_name(key.lower()))
        size += len(key.encode()) + len(value.encode())
    if size > ANNOTATIONS_LIMIT:
        errors.too_long(path, ANNOTATIONS_LIMIT)


def metadata(errors: ErrorList, resource: Resource, obj: Obj) -> None:
    """By the rules of its kind."""
    _named(errors, obj, name_check(resource), resource.group_resource not in NEW_WAY)
    kinds_finalizers(errors, resource, obj)


def kinds_finalizers(errors: ErrorList, resource: Resource, obj: Obj) -> None:
    """Older groups know their finalizers. Upstream: core/validation, around the functions for every object."""
    if resource.group in CORE_FINALIZERS:
        for index, finalizer in enumerate(obj["metadata"].get("finalizers") or []):
            core_finalizer(errors, f"metadata.finalizers[{index}]", finalizer)


def of_scale(errors: ErrorList, obj: Obj) -> None:
    _named(errors, obj, names.dns1123_subdomain, True)
    for index, finalizer in enumerate(obj["metadata"].get("finalizers") or []):
        core_finalizer(errors, f"metadata.finalizers[{index}]", finalizer)


def common(errors: ErrorList, obj: Obj) -> None:
    """What is asked of every object: a name that fits into a path. Upstream: rest.BeforeCreate, rest.BeforeUpdate."""
    _named(errors, obj, names.path_segment, True)


def _named(errors: ErrorList, obj: Obj, check: NameCheck, prefix_too: bool) -> None:
    meta = obj["metadata"]
    name, prefix = meta.get("name", ""), meta.get("generateName", "")
    if prefix and prefix_too:
        errors.each("metadata.generateName", prefix, check(names.mask_trailing_dash(prefix)))
    if not name:
        errors.required("metadata.name", "name or generateName is required")
    else:
        errors.each("metadata.name", name, check(name))
    _common(errors, meta)


def _common(errors: ErrorList, meta: Obj) -> None:
    if meta.get("generation", 0) < 0:
        errors.invalid("metadata.generation", meta["generation"], NOT_NEGATIVE)
    labels(errors, "metadata.labels", meta.get("labels"))
    annotation_map(errors, "metadata.annotations", meta.get("annotations"))
    owners(errors, meta.get("ownerReferences") or [])
    finalizers(errors, meta.get("finalizers") or [])


def finalizers(errors: ErrorList, found: list[str]) -> None:
    for finalizer in found:
        errors.each("metadata.finalizers", finalizer, names.qualified_name(finalizer))
    if "orphan" in found and "foregroundDeletion" in found:
        errors.invalid("metadata.finalizers", found, "finalizer orphan and foregroundDeletion cannot be both set")


def core_finalizer(errors: ErrorList, path: str, finalizer: str) -> None:
    if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
        errors.invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified")


def owners(errors: ErrorList, references: list[dict[str, Any]]) -> None:
    path, first = "metadata.ownerReferences", ""
    for each in references:
        version = each.get("apiVersion", "")
        if not version or version.count("/") > 1 or version.endswith("/"):
            errors.invalid(f"{path}.apiVersion", version, "version must not be empty")
        for name in ("kind", "name", "uid"):
            if not each.get(name):
                errors.invalid(f"{path}.{name}", "", "must not be empty")
        if (version, each.get("kind")) == ("v1", "Event"):
            errors.invalid(path, each, "/v1, Kind=Event is disallowed from being an owner")
        if each.get("controller"):
            this = f"{each.get('kind', '')}/{each.get('name', '')}"
            if first:
                said = 'Only one reference can have Controller set to true. Found "true" in references for '
                errors.invalid(path, references, f"{said}{first} and {this}")
            first = first or this


def metadata_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    after, before = new.get("metadata") or {}, old.get("metadata") or {}
    added = sorted({*(after.get("finalizers") or ())} - {*(before.get("finalizers") or ())})
    if before.get("deletionTimestamp") and added:
        shown = ", ".join(f'"{finalizer}"' for finalizer in added)
        said = "no new finalizers can be added if the object is being deleted, found new finalizers"
        errors.forbidden("metadata.finalizers", f"{said} []string{{{shown}}}")
    if after.get("generation", 0) < before.get("generation", 0):
        errors.invalid("metadata.generation", after.get("generation", 0), "must not be decremented")
    for name in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if after.get(name) not in (None, "") and after.get(name) != before.get(name):
            errors.immutable(f"metadata.{name}", after.get(name), before.get(name))
    labels(errors, "metadata.labels", after.get("labels"))
    annotation_map(errors, "metadata.annotations", after.get("annotations"))
    owners(errors, after.get("ownerReferences") or [])


def of_template(errors: ErrorList, at: str, found: Obj) -> None:
    """Metadata of what a controller makes: labels and annotations alone. Upstream: ValidateTemplateObjectMeta."""
    annotation_map(errors, f"{at}.annotations", found.get("annotations"))
    labels(errors, f"{at}.labels", found.get("labels"))
    for name, value in found.items():
        if value and name not in ("annotations", "labels"):
            errors.forbidden(f"{at}.{'uID' if name == 'uid' else name}", "cannot be set")


OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def selector(errors: ErrorList, path: str, found: Obj | None, values_too: bool = True) -> None:
    labels(errors, f"{path}.matchLabels", (found or {}).get("matchLabels"))
    for index, each in enumerate((found or {}).get("matchExpressions") or []):
        at = f"{path}.matchExpressions[{index}]"
        requirement(errors, at, each)
        label_key(errors, f"{at}.key", each.get("key", ""))
        for i, value in enumerate((each.get("values") or []) if values_too else []):
            errors.each(f"{at}.values[{i}]", value, names.label_value(value))


def requirement(errors: ErrorList, at: str, each: Obj) -> None:
    """Operator and number of values of one expression of a selector."""
    operator, values = each.get("operator", ""), each.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            errors.required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            errors.forbidden(f"{at}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    else:
        errors.invalid(f"{at}.operator", operator, "not a valid selector operator")


REASON = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
REASON_SENTENCE = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
    "characters or '_,:', and must end with an alphanumeric character or '_'"
)


def conditions(errors: ErrorList, path: str, found: list[Obj]) -> None:
    """metav1.Condition, as newer kinds' statuses have them."""
    seen: set[str] = set()
    for index, each in enumerate(found):
        at, kind, reason = f"{path}[{index}]", each.get("type", ""), each.get("reason", "")
        if kind in seen:
            errors.duplicate(f"{at}.type", kind)
        seen.add(kind)
        label_key(errors, f"{at}.type", kind)
        errors.among(f"{at}.status", each.get("status", ""), ("False", "True", "Unknown"))
        if each.get("observedGeneration", 0) < 0:
            errors.invalid(
                f"{at}.observedGeneration", each["observedGeneration"], "must be greater than or equal to zero"
            )
        if not each.get("lastTransitionTime"):
            errors.required(f"{at}.lastTransitionTime")
        if not reason:
            errors.required(f"{at}.reason")
        else:
            if not re.fullmatch(REASON, reason):
                examples = ("my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB")
                errors.invalid(f"{at}.reason", reason, names.regex_sentence(REASON_SENTENCE, REASON, *examples))
            if len(reason) > 1024:
                errors.too_long(f"{at}.reason", 1024)
        if len(each.get("message", "")) > 32 * 1024:
            errors.too_long(f"{at}.message", 32 * 1024)


NEW_WAY = {"replicationcontrollers", "deviceclasses.resource.k8s.io"}
"""Kinds whose names are looked at once they are made, and not their prefixes."""
UNCHECKED = {"poddisruptionbudgets.policy"}
CORE_FINALIZERS = {
    "events.k8s.io",
    "", "apps", "batch", "autoscaling", "networking.k8s.io", "storage.k8s.io", "rbac.authorization.k8s.io",
    "discovery.k8s.io", "flowcontrol.apiserver.k8s.io", "certificates.k8s.io", "resource.k8s.io",
    "scheduling.k8s.io",
}  # fmt: skip
