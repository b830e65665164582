"""Defaults of workloads. Upstream: pkg/apis/{apps,batch,autoscaling}/*/defaults.go."""

from __future__ import annotations

from typing import Any

from workshop.api.defaults.walk import defaults_of, fill, fill_unset

LARGEST_INT32 = 2**31 - 1


def _rolling(spec: dict[str, Any], name: str, **values: Any) -> None:
    """A strategy of type RollingUpdate with its parameters."""
    strategy = spec.setdefault(name, {})
    fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        fill_unset(strategy, rollingUpdate={})
        fill_unset(strategy["rollingUpdate"], **values)


TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


@defaults_of("apps.v1.Deployment")
def deployment(obj: dict[str, Any]) -> None:
    spec = obj.setdefault("spec", {})
    _rolling(spec, "strategy", maxUnavailable="25%", maxSurge="25%")
    fill_unset(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)


@defaults_of("apps.v1.DaemonSet")
def daemon_set(obj: dict[str, Any]) -> None:
    spec = obj.setdefault("spec", {})
    _rolling(spec, "updateStrategy", maxUnavailable=1, maxSurge=0)
    fill_unset(spec, revisionHistoryLimit=10)
    # A field of old, which every version since shows as an annotation; the server counts it.
    metadata = obj.setdefault("metadata", {})
    metadata["annotations"] = {TEMPLATE_GENERATION: "0", **(metadata.get("annotations") or {})}


@defaults_of("apps.v1.StatefulSet")
def stateful_set(obj: dict[str, Any]) -> None:
    spec = obj.setdefault("spec", {})
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        fill_unset(strategy, rollingUpdate={})
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        fill_unset(strategy["rollingUpdate"], partition=0)
    fill(spec, podManagementPolicy="OrderedReady")
    fill_unset(spec, persistentVolumeClaimRetentionPolicy={}, replicas=1, revisionHistoryLimit=10)
    fill(spec["persistentVolumeClaimRetentionPolicy"], whenDeleted="Retain", whenScaled="Retain")
    for claim in spec.get("volumeClaimTemplates", []):
        claim |= {"kind": "PersistentVolumeClaim", "apiVersion": "v1"}


@defaults_of("apps.v1.ReplicaSet")
def replica_set(obj: dict[str, Any]) -> None:
    fill_unset(obj.setdefault("spec", {}), replicas=1)


@defaults_of("batch.v1.Job")
def job(obj: dict[str, Any]) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    fill_unset(
        spec,
        parallelism=1,
        backoffLimit=6 if spec.get("backoffLimitPerIndex") is None else LARGEST_INT32,
        completionMode="NonIndexed",
        suspend=False,
        podReplacementPolicy="TerminatingOrFailed" if spec.get("podFailurePolicy") is None else "Failed",
        manualSelector=False,
    )
    if labels := spec.get("template", {}).get("metadata", {}).get("labels"):
        fill(obj.setdefault("metadata", {}), labels=dict(labels))


@defaults_of("batch.v1.CronJob")
def cron_job(obj: dict[str, Any]) -> None:
    spec = obj.setdefault("spec", {})
    fill(spec, concurrencyPolicy="Allow")
    fill_unset(spec, suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)


@defaults_of("batch.v1.PodFailurePolicyOnPodConditionsPattern")
def pod_condition_pattern(obj: dict[str, Any]) -> None:
    fill(obj, status="True")


@defaults_of("autoscaling.v1.HorizontalPodAutoscalerSpec", "autoscaling.v2.HorizontalPodAutoscalerSpec")
def autoscaler_spec(obj: dict[str, Any]) -> None:
    fill_unset(obj, minReplicas=1)


@defaults_of("autoscaling.v1.HorizontalPodAutoscalerSpec")
def autoscaler_target(obj: dict[str, Any]) -> None:
    fill_unset(obj, targetCPUUtilizationPercentage=80)


@defaults_of("autoscaling.v2.HorizontalPodAutoscalerSpec")
def autoscaler_metrics(obj: dict[str, Any]) -> None:
    if not obj.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        obj["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    if (behavior := obj.get("behavior")) is not None:
        percent = {"type": "Percent", "value": 100, "periodSeconds": 15}
        pods = {"type": "Pods", "value": 4, "periodSeconds": 15}
        fill_unset(behavior, scaleUp={}, scaleDown={})
        fill_unset(behavior["scaleUp"], stabilizationWindowSeconds=0, selectPolicy="Max", policies=[pods, percent])
        fill_unset(behavior["scaleDown"], selectPolicy="Max", policies=[dict(percent)])
