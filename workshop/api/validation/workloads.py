"""Workloads. Upstream: pkg/apis/{apps,batch,autoscaling,policy}/validation."""

from __future__ import annotations

from typing import Any

from workshop.api import labels as selectors
from workshop.api.meta import Obj
from workshop.api.validation import metadata, pods
from workshop.api.validation.field import ErrorList

NO_MATCH = "`selector` does not match template `labels`"


def selected_template(errors: ErrorList, kind: str, spec: Obj, needed: tuple[str, ...] = ("Always",)) -> None:
    """The selector is there, selects something, and selects what the template makes."""
    selector, template = spec.get("selector"), spec.get("template") or {}
    if not selector and selector is None:
        errors.required("spec.selector")
    else:
        metadata.selector(errors, "spec.selector", selector)
        if not (selector.get("matchLabels") or selector.get("matchExpressions")):
            errors.invalid("spec.selector", {}, f"empty selector is invalid for {kind}")
    labels = (template.get("metadata") or {}).get("labels")
    empty = selector is not None and not selector
    if not empty and (not selector or not selectors.from_selector(selector).matches(labels or {})):
        errors.invalid("spec.template.metadata.labels", labels, NO_MATCH)
    pods.template(errors, "spec.template", template)
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy in pods.RESTART_POLICIES and policy not in needed:
        errors.not_supported("spec.template.spec.restartPolicy", policy, needed)


def deployment(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    errors.not_negative(spec, "spec", "replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    selected_template(errors, "deployment", spec)
    strategy = spec.get("strategy", {})
    if strategy.get("type") not in ("Recreate", "RollingUpdate"):
        given = {"Type": strategy.get("type", ""), "RollingUpdate": strategy.get("rollingUpdate")}
        errors.not_supported("spec.strategy", given, ("Recreate", "RollingUpdate"))
    elif strategy["type"] == "Recreate" and strategy.get("rollingUpdate") is not None:
        errors.forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
    rolling = strategy.get("rollingUpdate") or {}
    if rolling.get("maxUnavailable") in (0, "0%") and rolling.get("maxSurge") in (0, "0%"):
        errors.invalid(
            "spec.strategy.rollingUpdate.maxUnavailable", rolling["maxUnavailable"], "may not be 0 when `maxSurge` is 0"
        )
    ready, deadline = spec.get("minReadySeconds", 0), spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= ready and ready >= 0:
        errors.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def replica_set(errors: ErrorList, obj: Obj) -> None:
    errors.not_negative(obj["spec"], "spec", "replicas", "minReadySeconds")
    selected_template(errors, "replicaset", obj["spec"])


def daemon_set(errors: ErrorList, obj: Obj) -> None:
    errors.not_negative(obj["spec"], "spec", "minReadySeconds", "revisionHistoryLimit")
    selected_template(errors, "daemonset", obj["spec"])


def stateful_set(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    if (policy := spec.get("podManagementPolicy")) not in ("OrderedReady", "Parallel"):
        errors.invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    errors.not_negative(spec, "spec", "replicas", "minReadySeconds", "revisionHistoryLimit")
    selected_template(errors, "statefulset", spec)


def replication_controller(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    errors.not_negative(spec, "spec", "replicas", "minReadySeconds")
    if not spec.get("selector"):
        errors.required("spec.selector")
    if spec.get("template") is None:
        errors.required("spec.template")
        return
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    if any(labels.get(key) != value for key, value in (spec.get("selector") or {}).items()):
        errors.invalid("spec.template.metadata.labels", labels, NO_MATCH)
    pods.template(errors, "spec.template", spec["template"])


JOB_COUNTS = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")


def job_spec(errors: ErrorList, path: str, spec: Obj) -> None:
    errors.not_negative(spec, path, *JOB_COUNTS)
    template = spec.get("template") or {}
    pods.template(errors, f"{path}.template", template)
    policy, at = (template.get("spec") or {}).get("restartPolicy"), f"{path}.template.spec.restartPolicy"
    if policy == "Always":
        errors.required(at, 'valid values: "OnFailure", "Never"')


def job(errors: ErrorList, obj: Obj) -> None:
    job_spec(errors, "spec", obj["spec"])
    selector = obj["spec"].get("selector")
    labels = (obj["spec"].get("template", {}).get("metadata") or {}).get("labels") or {}
    if selector is not None and not selectors.from_selector(selector).matches(labels):
        errors.invalid("spec.template.metadata.labels", labels, NO_MATCH)


def cron_job(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    schedule = spec.get("schedule", "")
    fields = schedule.split()
    if not schedule:
        errors.required("spec.schedule")
    elif not schedule.startswith("@") and len(fields) != 5:
        said = f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
        errors.invalid("spec.schedule", schedule, said)
    errors.not_negative(spec, "spec", "startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    errors.one_of("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"))
    job_spec(errors, "spec.jobTemplate.spec", spec.get("jobTemplate", {}).get("spec", {}))


def autoscaler(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    least, most, ref = spec.get("minReplicas"), spec.get("maxReplicas", 0), spec.get("scaleTargetRef", {})
    if least is not None and least < 1:
        errors.invalid("spec.minReplicas", least, "must be greater than or equal to 1")
    if most < 1:
        errors.required("spec.maxReplicas", "must be set and greater than 0")
    if least is not None and most < least:
        errors.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    for name in ("kind", "name"):
        if not ref.get(name):
            errors.required(f"spec.scaleTargetRef.{name}")
    if not ref.get("apiVersion"):
        errors.invalid("spec.scaleTargetRef.apiVersion", "", "apiVersion must specify API group")


def disruption_budget(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and most is not None:
        given = {"MinAvailable": least, "Selector": spec.get("selector"), "MaxUnavailable": most}
        given["UnhealthyPodEvictionPolicy"] = spec.get("unhealthyPodEvictionPolicy")
        errors.invalid("spec", given, "minAvailable and maxUnavailable cannot be both set")
    for name, value in (("minAvailable", least), ("maxUnavailable", most)):
        if isinstance(value, int) and value < 0:
            errors.invalid(f"spec.{name}", value, "must be greater than or equal to 0")
    metadata.selector(errors, "spec.selector", spec.get("selector"))


STATEFUL_SET_MAY = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def selector_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    errors.immutable("spec.selector", new["spec"].get("selector"), old["spec"].get("selector"))


def stateful_set_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    named = STATEFUL_SET_MAY.split("'")[1::2]

    def fixed(obj: Obj) -> dict[str, Any]:
        return {name: value for name, value in obj["spec"].items() if name not in named}

    if fixed(new) != fixed(old):
        errors.forbidden("spec", STATEFUL_SET_MAY)


def job_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    for name in ("selector", "template", "completionMode", "podFailurePolicy"):
        if name == "template" and old["spec"].get("suspend"):
            continue
        errors.immutable(f"spec.{name}", new["spec"].get(name), old["spec"].get(name))
    if new["spec"].get("completionMode") != "Indexed":
        errors.immutable("spec.completions", new["spec"].get("completions"), old["spec"].get("completions"))
