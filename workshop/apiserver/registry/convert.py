"""One kind in several versions is one store: objects are kept in the storage version, converted when they are served.

Most served versions of 1.36 differ in name only. Two pairs differ in fields: Events of core/v1 and events.k8s.io/v1,
and HorizontalPodAutoscalers v1 and v2 (what v1 lacks travels in annotations).

Upstream: pkg/apis/events/v1/conversion.go, pkg/apis/autoscaling/v1/conversion.go.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from workshop.api.meta import Obj
from workshop.api.resources import Resource

_EVENT_OLD = {
    "involvedObject": "regarding", "message": "note", "source": "deprecatedSource", "count": "deprecatedCount",
    "firstTimestamp": "deprecatedFirstTimestamp", "lastTimestamp": "deprecatedLastTimestamp",
    "reportingComponent": "reportingController",
}  # fmt: skip
_EVENT_NEW = {new: old for old, new in _EVENT_OLD.items()}


def _event_old(obj: Obj) -> Obj:
    """core/v1 → events.k8s.io/v1, where an empty name of a reporter is left out."""
    found = {_EVENT_OLD.get(field, field): value for field, value in obj.items()}
    return {field: value for field, value in found.items() if value != "" or field not in _REPORTERS}


def _event_new(obj: Obj) -> Obj:
    """events.k8s.io/v1 → core/v1, where it stands there empty."""
    found = {_EVENT_NEW.get(field, field): value for field, value in obj.items()}
    return {**found, **{field: found.get(field, "") for field in ("reportingComponent", "reportingInstance")}}


_REPORTERS = ("reportingController", "reportingInstance")


_METRICS = "autoscaling.alpha.kubernetes.io/metrics"
_BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
_CURRENT = "autoscaling.alpha.kubernetes.io/current-metrics"


def _is_cpu(metric: Obj) -> bool:
    resource = metric.get("resource") or {}
    return metric.get("type") == "Resource" and resource.get("name") == "cpu"


def _hpa_v2(obj: Obj) -> Obj:
    """v1 → v2."""
    metadata = {**obj["metadata"]}
    annotations = {**(metadata.get("annotations") or {})}
    spec, status = {**obj.get("spec", {})}, {**obj.get("status", {})}
    metrics = json.loads(annotations.pop(_METRICS, "[]"))
    cpu = spec.pop("targetCPUUtilizationPercentage", None)
    if cpu is not None:
        target = {"type": "Utilization", "averageUtilization": cpu}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if metrics:
        spec["metrics"] = metrics
    if _BEHAVIOR in annotations:
        spec["behavior"] = json.loads(annotations.pop(_BEHAVIOR))
    current = json.loads(annotations.pop(_CURRENT, "[]"))
    used = status.pop("currentCPUUtilizationPercentage", None)
    if used is not None:
        current.append({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": used}}})
    if current:
        status["currentMetrics"] = current
    if _CONDITIONS in annotations:
        status["conditions"] = json.loads(annotations.pop(_CONDITIONS))
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    return {**obj, "metadata": metadata, "spec": spec, "status": status}


def _hpa_v1(obj: Obj) -> Obj:
    """v2 → v1."""
    metadata = {**obj["metadata"]}
    annotations = {**(metadata.get("annotations") or {})}
    spec, status = {**obj.get("spec", {})}, {**obj.get("status", {})}
    others = []
    for metric in spec.pop("metrics", None) or []:
        target = (metric.get("resource") or {}).get("target") or {}
        if (
            _is_cpu(metric)
            and target.get("averageUtilization") is not None
            and "targetCPUUtilizationPercentage" not in spec
        ):
            spec["targetCPUUtilizationPercentage"] = target["averageUtilization"]
        else:
            others.append(metric)
    rest = []
    for metric in status.pop("currentMetrics", None) or []:
        used = ((metric.get("resource") or {}).get("current") or {}).get("averageUtilization")
        if _is_cpu(metric) and used is not None:
            status["currentCPUUtilizationPercentage"] = used
        else:
            rest.append(metric)
    for key, value in ((_METRICS, others), (_BEHAVIOR, spec.pop("behavior", None)), (_CURRENT, rest),
                       (_CONDITIONS, status.pop("conditions", None))):  # fmt: skip
        if value:
            annotations[key] = json.dumps(value, separators=(",", ":"))
    if annotations:
        metadata["annotations"] = annotations
    return {**obj, "metadata": metadata, "spec": spec, "status": status}


_CONVERSIONS: dict[tuple[str, str, str], Callable[[Obj], Obj]] = {
    ("Event", "v1", "events.k8s.io/v1"): _event_old,
    ("Event", "events.k8s.io/v1", "v1"): _event_new,
    ("HorizontalPodAutoscaler", "autoscaling/v1", "autoscaling/v2"): _hpa_v2,
    ("HorizontalPodAutoscaler", "autoscaling/v2", "autoscaling/v1"): _hpa_v1,
}


def convert(obj: Obj, to: str) -> Obj:
    """`obj` in API version `to`; a new dict unless it is in that version already."""
    version = obj.get("apiVersion", "")
    if version == to:
        return obj
    change = _CONVERSIONS.get((obj.get("kind", ""), version, to))
    return {**(change(obj) if change else obj), "apiVersion": to}


def same_store(resource: Resource) -> bool:
    """True where the stored bytes are in the very version that `resource` serves, as a presented custom resource's."""
    return resource.definition is not None or resource.api_version == resource.storage_api_version
