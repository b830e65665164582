"""Metadata, labels and selectors. Upstream: apimachinery/pkg/api/validation/objectmeta.go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.api.validation.field import ErrorList

ANNOTATIONS_LIMIT = 256 * 1024
STANDARD_FINALIZERS = {"kubernetes", "orphan", "foregroundDeletion"}
LABEL_NAMES = {"namespaces"}
NO_CHECK = {  # groups whose names only have to fit into a path
    "rbac.authorization.k8s.io",
}


def name_check(resource: Resource) -> Callable[[str], list[str]]:
    if resource.group in NO_CHECK:
        return names.path_segment
    return names.dns1123_label if resource.plural in LABEL_NAMES else names.dns1123_subdomain


def labels(errors: ErrorList, path: str, found: dict[str, str] | None) -> None:
    for key, value in (found or {}).items():
        errors.each(path, key, names.qualified_name(key))
        errors.each(path, value, names.label_value(value))


def metadata(errors: ErrorList, resource: Resource, obj: Obj) -> None:
    meta = obj.get("metadata") or {}
    check, name, prefix = name_check(resource), meta.get("name", ""), meta.get("generateName", "")
    if not name:
        errors.required("metadata.name", "name or generateName is required")
        if prefix:
            errors.each("metadata.generateName", prefix, check(names.mask_trailing_dash(prefix)))
    elif resource.plural in LABEL_NAMES and "." in name:
        errors.invalid("metadata.name", name, "must not contain dots")
    else:
        errors.each("metadata.name", name, check(name))
    labels(errors, "metadata.labels", meta.get("labels"))
    size = 0
    for key, value in (meta.get("annotations") or {}).items():
        errors.each("metadata.annotations", key, names.qualified_name(key.lower()))
        size += len(key.encode()) + len(value.encode())
    if size > ANNOTATIONS_LIMIT:
        errors.too_long("metadata.annotations", ANNOTATIONS_LIMIT)
    owners(errors, meta.get("ownerReferences") or [])
    for index, finalizer in enumerate(meta.get("finalizers") or []):
        path = f"metadata.finalizers[{index}]"
        complaints = names.qualified_name(finalizer)
        errors.each(path, finalizer, complaints)
        if not complaints and "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
            errors.invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified")


def owners(errors: ErrorList, references: list[dict[str, Any]]) -> None:
    path = "metadata.ownerReferences"
    for each in references:
        if not each.get("apiVersion"):
            errors.invalid(f"{path}.apiVersion", "", "version must not be empty")
        for name in ("kind", "name", "uid"):
            if not each.get(name):
                errors.invalid(f"{path}.{name}", "", "must not be empty")
    controllers = [each for each in references if each.get("controller")]
    if len(controllers) > 1:
        first, second = (f"{each.get('kind')}/{each.get('name')}" for each in controllers[:2])
        said = 'Only one reference can have Controller set to true. Found "true" in references for '
        errors.invalid(path, references, f"{said}{first} and {second}")


def metadata_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    after, before = new.get("metadata") or {}, old.get("metadata") or {}
    for name in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if after.get(name) and after.get(name) != before.get(name):
            errors.immutable(f"metadata.{name}", after.get(name), before.get(name))
    added = sorted({*(after.get("finalizers") or ())} - {*(before.get("finalizers") or ())})
    if before.get("deletionTimestamp") and added:
        shown = ", ".join(f'"{finalizer}"' for finalizer in added)
        said = "no new finalizers can be added if the object is being deleted, found new finalizers"
        errors.forbidden("metadata.finalizers", f"{said} []string{{{shown}}}")


OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def selector(errors: ErrorList, path: str, found: Obj | None) -> None:
    labels(errors, f"{path}.matchLabels", (found or {}).get("matchLabels"))
    for index, each in enumerate((found or {}).get("matchExpressions") or []):
        at, operator, values = f"{path}.matchExpressions[{index}]", each.get("operator", ""), each.get("values") or []
        if operator in ("In", "NotIn") and not values:
            errors.required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist") and values:
            errors.forbidden(f"{at}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        elif operator not in OPERATORS:
            errors.invalid(f"{at}.operator", operator, "not a valid selector operator")
        errors.each(f"{at}.key", each.get("key", ""), names.qualified_name(each.get("key", "")))
