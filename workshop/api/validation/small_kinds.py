"""Kinds with a rule or two: priority classes, leases, runtime classes, access reviews. Upstream:
pkg/apis/{scheduling,coordination,node,authorization}/validation, v1.36.2."""

from __future__ import annotations

from typing import Any

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import amounts, metadata, scheduling
from workshop.api.validation.field import ErrorList

SYSTEM_CLASSES = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
HIGHEST = 1000000000
RESERVED = "priority class names with 'system-' prefix are reserved for system use only. error: "


def priority_class(errors: ErrorList, obj: Obj) -> None:
    name, value = obj["metadata"].get("name", ""), obj.get("value", 0)
    if name.startswith("system-"):
        if why := _not_a_system_class(name, value, bool(obj.get("globalDefault"))):
            errors.forbidden("metadata.name", RESERVED + why)
    elif value > HIGHEST:
        errors.forbidden("value", f"maximum allowed value of a user defined priority is {HIGHEST}")
    if obj.get("preemptionPolicy") is not None:
        errors.one_of("preemptionPolicy", obj["preemptionPolicy"], ("PreemptLowerPriority", "Never"))


def _not_a_system_class(name: str, value: int, default: bool) -> str:
    known = SYSTEM_CLASSES.get(name)
    if known is None:
        return f"{name} is not a known system priority class"
    if value != known:
        return f"value of {name} PriorityClass must be {known}"
    return f"globalDefault of {name} PriorityClass must be false" if default else ""


def priority_class_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    if new.get("value", 0) != old.get("value", 0):
        errors.forbidden("value", "may not be changed in an update.")
    errors.immutable("preemptionPolicy", new.get("preemptionPolicy"), old.get("preemptionPolicy"))


def lease(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    duration, strategy = spec.get("leaseDurationSeconds"), spec.get("strategy")
    if duration is not None and duration <= 0:
        errors.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0")
    errors.not_negative(spec, "spec", "leaseTransitions")
    if strategy is not None:
        _strategy(errors, "spec.strategy.strategy", strategy)  # twice: upstream's
    if spec.get("preferredHolder") and not strategy:
        errors.forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined")


def _strategy(errors: ErrorList, path: str, strategy: str) -> None:
    """One of upstream's, or anything with a domain before it."""
    if "/" in strategy:
        metadata.label_key(errors, path, strategy)
    elif strategy != "OldestEmulationVersion":
        errors.not_supported(path, strategy, ("OldestEmulationVersion",))


def runtime_class(errors: ErrorList, obj: Obj) -> None:
    handler = obj.get("handler", "")
    if not handler:
        errors.required("handler")
    else:
        errors.each("handler", handler, names.dns1123_label(handler))
    if obj.get("overhead") is not None:
        amounts.requirements(errors, "overhead", {"limits": obj["overhead"].get("podFixed")})
    if (where := obj.get("scheduling")) is None:
        return
    metadata.labels(errors, "scheduling.nodeSelector", where.get("nodeSelector"))
    found, at = where.get("tolerations") or [], "scheduling.tolerations"
    scheduling.tolerations(errors, at, found)
    seen: list[tuple[Any, ...]] = []
    for index, each in enumerate(found):
        key = tuple(each.get(name, "") for name in ("key", "operator", "value", "effect"))
        if key in seen:
            shown = dict(zip(("Key", "Operator", "Value", "Effect"), key, strict=True))
            errors.duplicate(f"{at}[{index}]", {**shown, "TolerationSeconds": each.get("tolerationSeconds")})
        seen.append(key)


def runtime_class_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    errors.immutable("handler", new.get("handler", ""), old.get("handler", ""))


# --- reviews --------------------------------------------------------------------------------------------------------


def access_review(errors: ErrorList, obj: Obj) -> None:
    """SubjectAccessReview, its Self… and Local… forms."""
    spec, kind, meta = obj.get("spec") or {}, obj.get("kind", ""), obj.get("metadata") or {}
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    path = None if other is None else {"Path": other.get("path", ""), "Verb": other.get("verb", "")}
    if resource is not None and other is not None:
        said = "cannot be specified in combination with resourceAttributes"
        errors.invalid("spec.nonResourceAttributes", path, said)
    if resource is None and other is None:
        said = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        errors.invalid("spec.resourceAttributes", None, said)
    if kind != "SelfSubjectAccessReview" and not spec.get("user") and not spec.get("groups"):
        errors.invalid("spec.user", "", "at least one of user or group must be specified")
    for name in ("fieldSelector", "labelSelector"):
        if (selector := (resource or {}).get(name)) is not None:
            _review_selector(errors, f"spec.resourceAttributes.{name}", name, selector)
    local = kind == "LocalSubjectAccessReview"
    meta = {k: v for k, v in meta.items() if k not in WIPED}
    told = {k: v for k, v in meta.items() if v and k not in ("managedFields", *(("namespace",) if local else ()))}
    if told:
        errors.invalid("metadata", meta, "must be empty except for namespace" if local else "must be empty")
    if not local:
        return
    namespace = (resource or {}).get("namespace", "")
    if resource is not None and namespace != meta.get("namespace", ""):
        errors.invalid("spec.resourceAttributes.namespace", namespace, "must match metadata.namespace")
    if other is not None:
        errors.invalid("spec.nonResourceAttributes", path, "disallowed on this kind of request")


WIPED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")
"""Of a new object the server forgets these before anybody looks."""


def _review_selector(errors: ErrorList, at: str, kind: str, selector: Obj) -> None:
    raw, requirements = selector.get("rawSelector", ""), selector.get("requirements") or []
    if raw and requirements:
        errors.invalid(f"{at}.rawSelector", raw, "may not specified at the same time as requirements")
    if not raw and not requirements:
        said = f"when {at} is specified, requirements or rawSelector is required"
        errors.required(f"{at}.requirements", said)
    for index, each in enumerate(requirements):
        path, operator, values = f"{at}.requirements[{index}]", each.get("operator", ""), each.get("values") or []
        if kind == "fieldSelector" and not each.get("key"):
            errors.required(f"{path}.key", "must be specified")
        if operator in metadata.OPERATORS:  # an unknown one is left to the authorizer
            metadata.requirement(errors, path, each)
        if kind == "labelSelector":
            metadata.label_key(errors, f"{path}.key", each.get("key", ""))
            for i, value in enumerate(values):
                errors.each(f"{path}.values[{i}]", value, names.label_value(value))
