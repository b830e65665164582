"""PersistentVolumeClaims and the templates of them. Upstream: core/validation (ValidatePersistentVolumeClaim…),
v1.36.2."""

from __future__ import annotations

from typing import Any

from workshop.api import names, quantity
from workshop.api.meta import Obj, copy
from workshop.api.validation import amounts, metadata
from workshop.api.validation.diff import diff
from workshop.api.validation.field import ErrorList

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def access_modes(errors: ErrorList, path: str, modes: list[str]) -> None:
    for mode in modes:
        errors.among(path, mode, ACCESS_MODES)
    known = {mode for mode in modes if mode in ACCESS_MODES}
    if "ReadWriteOncePod" in known and len(known) > 1:
        errors.forbidden(path, "may not use ReadWriteOncePod with other access modes")


def claim_spec(errors: ErrorList, at: str, spec: Obj, old: Obj | None = None) -> None:
    if not spec.get("accessModes"):
        errors.required(f"{at}.accessModes", "at least 1 access mode is required")
    metadata.selector(errors, f"{at}.selector", spec.get("selector"))
    access_modes(errors, f"{at}.accessModes", spec.get("accessModes") or [])
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if size is None:
        errors.required(f"{at}.resources[storage]")
    else:
        amounts.positive(errors, f"{at}.resources[storage]", size)
    for name in ("storageClassName", "volumeAttributesClassName"):
        if spec.get(name):
            errors.each(f"{at}.{name}", spec[name], names.dns1123_subdomain(spec[name]))
    if spec.get("volumeMode") is not None:
        errors.among(f"{at}.volumeMode", spec["volumeMode"], VOLUME_MODES)
    _data_sources(errors, at, spec, old or {})


def _data_sources(errors: ErrorList, at: str, spec: Obj, old: Obj) -> None:
    had_group = any((old.get(name) or {}).get("apiGroup") is not None for name in ("dataSource", "dataSourceRef"))
    source, ref = spec.get("dataSource"), spec.get("dataSourceRef")
    for name, found in (("dataSource", source), ("dataSourceRef", ref)):
        if found is None:
            continue
        errors.needed(found, f"{at}.{name}", "name", "kind")
        group = found.get("apiGroup") or ""
        if not group and found.get("kind") != "PersistentVolumeClaim":
            said = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
            errors.invalid(f"{at}.{name}", found.get("kind", ""), said)
        if group and not had_group:
            errors.each(f"{at}.{name}.apiGroup", group, names.dns1123_subdomain(group))
    namespace = (ref or {}).get("namespace")
    if namespace:
        errors.each(f"{at}.dataSourceRef.namespace", namespace, names.dns1123_label(namespace))
        if source is not None:
            errors.invalid(at, {}, "may not be specified when dataSourceRef.namespace is specified")
    elif source is not None and ref is not None and _other(source, ref):
        errors.invalid(at, {}, "must match dataSourceRef")


def _other(source: Obj, ref: Obj) -> bool:
    return any(source.get(name) != ref.get(name) for name in ("apiGroup", "kind", "name"))


def claim(errors: ErrorList, obj: Obj) -> None:
    claim_spec(errors, "spec", obj["spec"])


def _size(spec: Obj) -> quantity.Quantity:
    return quantity.parse(((spec.get("resources") or {}).get("requests") or {}).get("storage", "0"))


def claim_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    after, before = copy(new["spec"]), old["spec"]
    if not before.get("volumeName"):
        _take(after, new["spec"], "volumeName")
        before = {**before, **({"volumeName": after["volumeName"]} if after.get("volumeName") else {})}
    old_class, new_class = (_annotation(obj, BETA_CLASS) for obj in (old, new))
    if new_class != old_class:
        errors.immutable(f"metadata.annotations.{BETA_CLASS}", new_class, old_class)
    newly_given = before.get("storageClassName") is None and after.get("storageClassName") is not None
    if newly_given and old_class in ("", after["storageClassName"]):
        after.pop("storageClassName")
    bound = (new.get("status") or {}).get("phase") == "Bound"
    if bound:
        if (requests := (after.get("resources") or {}).get("requests")) and _has_size(before):
            requests["storage"] = before["resources"]["requests"]["storage"]
        _take(after, before, "volumeAttributesClassName")
    if after != before:
        said = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        errors.forbidden("spec", f"{said}\n{diff(before, after)}")
    if _size(new["spec"]) < _size(old["spec"]):
        capacity = ((old.get("status") or {}).get("capacity") or {}).get("storage", "0")
        if _size(new["spec"]) <= quantity.parse(capacity):
            errors.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")
    errors.immutable("volumeMode", new["spec"].get("volumeMode"), old["spec"].get("volumeMode"))
    current = (old.get("status") or {}).get("currentVolumeAttributesClassName")
    wanted = new["spec"].get("volumeAttributesClassName")
    if wanted != old["spec"].get("volumeAttributesClassName") and current is not None and not wanted:
        what = "nil" if wanted is None else "empty string"
        said = f"update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil"
        errors.forbidden("spec.volumeAttributesClassName", said)


def _annotation(obj: Obj, name: str) -> str:
    return str((obj["metadata"].get("annotations") or {}).get(name, ""))


def _has_size(spec: Obj) -> bool:
    return "storage" in ((spec.get("resources") or {}).get("requests") or {})


def _take(into: dict[str, Any], source: dict[str, Any], name: str) -> None:
    into.pop(name, None)
    if name in source:
        into[name] = source[name]


RESIZE = (
    "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible",
    "NodeResizePending",
)  # fmt: skip


def claim_status(errors: ErrorList, new: Obj, old: Obj) -> None:
    status = new.get("status") or {}
    for name, value in (status.get("capacity") or {}).items():
        amounts.basic(errors, f"status.capacity[{name}]", value)
    at = "status.allocatedResourceStatuses"
    for name, value in (status.get("allocatedResourceStatuses") or {}).items():
        _claim_resource(errors, at, name)
        if value not in RESIZE:
            errors.not_supported(at, name, sorted(RESIZE))
    at = "status.allocatedResources"
    for name, value in (status.get("allocatedResources") or {}).items():
        if _claim_resource(errors, at, name):
            before = len(errors)
            amounts.basic(errors, f"{at}[{name}]", value)
            if len(errors) == before:
                amounts.amount(errors, f"{at}[{name}]", "storage", value)


def _claim_resource(errors: ErrorList, at: str, name: str) -> bool:
    complaints = names.qualified_name(name)
    errors.each(at, name, complaints)
    if not complaints and amounts.is_native(name) and name != "storage":
        errors.not_supported(at, name, ("storage",))
        return False
    return not complaints
