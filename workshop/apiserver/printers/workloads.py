"""Rows of workloads and what scales or guards them."""

from __future__ import annotations

from typing import Any

from workshop.api.meta import Obj, controller_of
from workshop.apiserver.printers.cells import (
    age,
    containers,
    get,
    human_duration,
    label_selector,
    more_than,
    name_of,
    pairs,
    printer,
    seconds_of,
    since,
)


@printer("replicationcontrollers", "replicasets.apps")
def replica_set(obj: Obj, now: float) -> list[Any]:
    counts = [get(obj, path, 0) for path in ("spec.replicas", "status.replicas", "status.readyReplicas")]
    selector = get(obj, "spec.selector")
    is_map = bool(selector) and not {"matchLabels", "matchExpressions"} & set(selector)
    shown = pairs(selector) if is_map else label_selector(selector)
    return [name_of(obj), *counts, age(obj, now), *containers(get(obj, "spec.template", {})), shown]


@printer("deployments.apps")
def deployment(obj: Obj, now: float) -> list[Any]:
    ready = f"{get(obj, 'status.readyReplicas', 0)}/{get(obj, 'spec.replicas', 0)}"
    counts = [get(obj, "status.updatedReplicas", 0), get(obj, "status.availableReplicas", 0)]
    selector = label_selector(get(obj, "spec.selector"))
    return [name_of(obj), ready, *counts, age(obj, now), *containers(get(obj, "spec.template", {})), selector]


@printer("daemonsets.apps")
def daemon_set(obj: Obj, now: float) -> list[Any]:
    names = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled")
    counts = [get(obj, f"status.{name}", 0) for name in (*names, "numberAvailable")]
    cells = [name_of(obj), *counts, pairs(get(obj, "spec.template.spec.nodeSelector")), age(obj, now)]
    return [*cells, *containers(get(obj, "spec.template", {})), label_selector(get(obj, "spec.selector"))]


@printer("statefulsets.apps")
def stateful_set(obj: Obj, now: float) -> list[Any]:
    ready = f"{get(obj, 'status.readyReplicas', 0)}/{get(obj, 'spec.replicas', 0)}"
    return [name_of(obj), ready, age(obj, now), *containers(get(obj, "spec.template", {}))]


@printer("controllerrevisions.apps")
def controller_revision(obj: Obj, now: float) -> list[Any]:
    owner = controller_of(obj)
    group = owner["apiVersion"].rpartition("/")[0] if owner else ""
    kind = f"{owner['kind'].lower()}{'.' if group else ''}{group}" if owner else ""
    shown = f"{kind}/{owner['name']}" if owner else "<none>"
    return [name_of(obj), shown, obj.get("revision", 0), age(obj, now)]


JOB_STATES = {"Complete": 0, "Failed": 0, "Terminating": 0, "Suspended": 0, "FailureTarget": 0, "SuccessCriteriaMet": 0}


@printer("jobs.batch")
def job(obj: Obj, now: float) -> list[Any]:
    succeeded, wanted = get(obj, "status.succeeded", 0), get(obj, "spec.completions")
    parallelism = get(obj, "spec.parallelism", 0)
    of = f" of {parallelism}" if parallelism > 1 else ""
    completions = f"{succeeded}/1{of}" if wanted is None else f"{succeeded}/{wanted}"
    start, end = get(obj, "status.startTime"), get(obj, "status.completionTime")
    took = human_duration((seconds_of(end) if end else now) - seconds_of(start)) if start else ""
    true = {c["type"] for c in get(obj, "status.conditions", []) if c["status"] == "True"}
    true |= {"Terminating"} if obj["metadata"].get("deletionTimestamp") else set()
    state = next((name for name in JOB_STATES if name in true), "Running")
    cells = [name_of(obj), state, completions, took, age(obj, now)]
    return [*cells, *containers(get(obj, "spec.template", {})), label_selector(get(obj, "spec.selector"))]


@printer("cronjobs.batch")
def cron_job(obj: Obj, now: float) -> list[Any]:
    last, spec = get(obj, "status.lastScheduleTime"), obj["spec"]
    suspended = "<unset>" if spec.get("suspend") is None else str(spec["suspend"])
    cells = [name_of(obj), spec.get("schedule", ""), spec.get("timeZone") or "<none>", suspended]
    cells += [len(get(obj, "status.active", [])), since(last, now) if last else "<none>", age(obj, now)]
    template = get(spec, "jobTemplate.spec", {})
    return [*cells, *containers(template.get("template", {})), label_selector(template.get("selector"))]


def _metric(spec: Obj, status: Obj | None) -> str:
    kind = spec["type"]
    key = kind[0].lower() + kind[1:]
    source, current = spec.get(key, {}), get(status or {}, f"{key}.current", {})
    target = source.get("target", {})
    lead = f"{source['name']}: " if kind in ("Resource", "ContainerResource") else ""
    if target.get("averageValue") is not None:
        tail = " (avg)" if kind in ("External", "Object") else ""
        return f"{lead}{current.get('averageValue', '<unknown>')}/{target['averageValue']}{tail}"
    if lead:
        shown = current.get("averageUtilization")
        aim = target.get("averageUtilization")
        percent = "<auto>" if aim is None else f"{aim}%"
        return f"{lead}{'<unknown>' if shown is None else f'{shown}%'}/{percent}"
    return f"{current.get('value', '<unknown>')}/{target.get('value', '')}"


@printer("horizontalpodautoscalers.autoscaling")
def autoscaler(obj: Obj, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status", {})
    ref, current = spec["scaleTargetRef"], status.get("currentMetrics") or []
    metrics = spec.get("metrics") or []
    if aim := spec.get("targetCPUUtilizationPercentage"):
        metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": aim}}}]
    listed = [_metric(m, current[i] if i < len(current) else None) for i, m in enumerate(metrics)]
    text = more_than(2, listed, len(listed), ", ") or "<none>"
    least = spec.get("minReplicas")
    cells = [name_of(obj), f"{ref['kind']}/{ref['name']}", text, "<unset>" if least is None else str(least)]
    return [*cells, spec.get("maxReplicas", 0), status.get("currentReplicas", 0), age(obj, now)]


@printer("poddisruptionbudgets.policy")
def disruption_budget(obj: Obj, now: float) -> list[Any]:
    limits = [str(get(obj, path, "N/A")) for path in ("spec.minAvailable", "spec.maxUnavailable")]
    return [name_of(obj), *limits, get(obj, "status.disruptionsAllowed", 0), age(obj, now)]
