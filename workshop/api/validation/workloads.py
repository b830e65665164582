"""Deployments, ReplicaSets, DaemonSets, StatefulSets, ReplicationControllers. Upstream: pkg/apis/apps/validation,
v1.36.2."""

from __future__ import annotations

from typing import Any

from workshop.api import labels as selectors
from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import claims, metadata, pod_annotations, pods
from workshop.api.validation.field import ErrorList

NO_MATCH = "`selector` does not match template `labels`"


def _selector(errors: ErrorList, kind: str, selector: Obj | None, required: bool = True) -> None:
    if selector is None:
        if required:
            errors.required("spec.selector")
        return
    metadata.selector(errors, "spec.selector", selector)
    if not (selector.get("matchLabels") or selector.get("matchExpressions")):
        errors.invalid("spec.selector", {}, f"empty selector is invalid for {kind}")


def _matching(errors: ErrorList, spec: Obj, complaint: str | None, none_fits: bool) -> bool:
    """Whether the selector can be read. A missing one selects nothing, an empty one everything."""
    selector, labels = spec.get("selector"), (spec.get("template", {}).get("metadata") or {}).get("labels")
    if selector is None:
        if none_fits:
            errors.invalid("spec.template.metadata.labels", labels, NO_MATCH)
        return True
    try:
        found = selectors.from_selector(selector)
    except ValueError:
        if complaint is not None:
            errors.invalid("spec.selector", selector, complaint)
        return False
    if (selector.get("matchLabels") or selector.get("matchExpressions")) and not found.matches(labels or {}):
        errors.invalid("spec.template.metadata.labels", labels, NO_MATCH)
    return True


def _only_always(errors: ErrorList, kind: str, template: Obj) -> None:
    spec = template.get("spec") or {}
    if spec.get("restartPolicy") != "Always":
        errors.not_supported("spec.template.spec.restartPolicy", spec.get("restartPolicy", ""), ("Always",))
    if spec.get("activeDeadlineSeconds") is not None:
        said = f"activeDeadlineSeconds in {kind} is not Supported"
        errors.forbidden("spec.template.spec.activeDeadlineSeconds", said)


def int_or_percent(errors: ErrorList, path: str, value: Any) -> None:
    if isinstance(value, str):
        errors.each(path, value, names.percent(value))
    elif value < 0:
        errors.invalid(path, value, "must be greater than or equal to 0")


def at_most_all(errors: ErrorList, path: str, value: Any) -> None:
    if isinstance(value, str) and not names.percent(value) and int(value[:-1]) > 100:
        errors.invalid(path, value, "must not be greater than 100%")


def amount(value: Any) -> int:
    """How many, or how much per cent; 0 of a text that is neither."""
    if isinstance(value, str):
        text = value.removesuffix("%")
        return int(text) if text.lstrip("+-").isdigit() and text.isascii() else 0
    return int(value or 0)


def deployment(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    errors.not_negative(spec, "spec", "replicas")
    _selector(errors, "deployment", spec.get("selector"))
    if _matching(errors, spec, "invalid label selector", True):
        _replica_template(errors, spec)
    _deployment_strategy(errors, spec.get("strategy") or {})
    errors.not_negative(spec, "spec", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        errors.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def _replica_template(errors: ErrorList, spec: Obj) -> None:
    pods.template(errors, "spec.template", spec.get("template") or {})
    _only_always(errors, "ReplicaSet", spec.get("template") or {})


def _deployment_strategy(errors: ErrorList, strategy: Obj) -> None:
    kind, rolling, at = strategy.get("type", ""), strategy.get("rollingUpdate"), "spec.strategy.rollingUpdate"
    if kind == "Recreate":
        if rolling is not None:
            errors.forbidden(at, "may not be specified when strategy `type` is 'Recreate'")
    elif kind == "RollingUpdate":
        unavailable, surge = (rolling or {}).get("maxUnavailable", 0), (rolling or {}).get("maxSurge", 0)
        if rolling is None:
            errors.required(at, "this should be defaulted and never be nil")
            return
        int_or_percent(errors, f"{at}.maxUnavailable", unavailable)
        int_or_percent(errors, f"{at}.maxSurge", surge)
        if amount(unavailable) == 0 and amount(surge) == 0:
            errors.invalid(f"{at}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
        at_most_all(errors, f"{at}.maxUnavailable", unavailable)
    else:
        errors.not_supported("spec.strategy", _strategy(kind, rolling), ("Recreate", "RollingUpdate"))


def _strategy(kind: str, rolling: Obj | None) -> Obj:
    """As upstream prints its internal types."""
    inner = None
    if rolling is not None:
        inner = {"MaxUnavailable": rolling.get("maxUnavailable", 0), "MaxSurge": rolling.get("maxSurge", 0)}
    return {"Type": kind, "RollingUpdate": inner}


def replica_set(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    errors.not_negative(spec, "spec", "replicas", "minReadySeconds")
    _selector(errors, "deployment", spec.get("selector"))
    if _matching(errors, spec, "invalid label selector", True):
        _replica_template(errors, spec)


def daemon_set(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    metadata.selector(errors, "spec.selector", spec.get("selector"))
    _matching(errors, spec, None, True)
    if spec.get("selector") == {}:
        errors.invalid("spec.selector", {}, "empty selector is invalid for daemonset")
    pods.template(errors, "spec.template", spec.get("template") or {})
    _only_always(errors, "DaemonSet", spec.get("template") or {})
    errors.not_negative(spec, "spec", "minReadySeconds")
    strategy = spec.get("updateStrategy") or {}
    kind, rolling, at = strategy.get("type", ""), strategy.get("rollingUpdate"), "spec.updateStrategy"
    if kind == "RollingUpdate":
        if rolling is None:
            errors.required(f"{at}.rollingUpdate")
        else:
            _rolling_daemons(errors, f"{at}.rollingUpdate", rolling)
    elif kind != "OnDelete":
        errors.not_supported(at, _strategy(kind, rolling), ("RollingUpdate", "OnDelete"))
    errors.not_negative(spec, "spec", "revisionHistoryLimit")


def _rolling_daemons(errors: ErrorList, at: str, rolling: Obj) -> None:
    values = {name: rolling.get(name, 0) for name in ("maxUnavailable", "maxSurge")}
    for check in (int_or_percent, at_most_all):
        for name, value in values.items():
            check(errors, f"{at}.{name}", value)
    unavailable, surge = (amount(value) != 0 for value in values.values())
    if unavailable and surge:
        errors.invalid(f"{at}.maxSurge", values["maxSurge"], "may not be set when maxUnavailable is non-zero")
    elif not unavailable and not surge:
        errors.required(f"{at}.maxUnavailable", "cannot be 0 when maxSurge is 0")


def stateful_set(errors: ErrorList, obj: Obj, old: Obj | None = None) -> None:
    spec = obj["spec"]
    policy = spec.get("podManagementPolicy", "")
    if not policy:
        errors.required("spec.podManagementPolicy")
    elif policy not in ("OrderedReady", "Parallel"):
        errors.invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    _stateful_strategy(errors, spec.get("updateStrategy") or {})
    if (retention := spec.get("persistentVolumeClaimRetentionPolicy")) is not None:
        for name in ("whenDeleted", "whenScaled"):
            at = f"spec.persistentVolumeClaimRetentionPolicy.{name}"
            errors.among(at, retention.get(name), ("Retain", "Delete"))
    if old is None:
        for index, claim in enumerate(spec.get("volumeClaimTemplates") or []):
            claims.claim_spec(errors, f"spec.volumeClaimTemplates[{index}].spec", claim.get("spec") or {})
    errors.not_negative(spec, "spec", "replicas", "minReadySeconds")
    if spec.get("ordinals") is not None:
        errors.not_negative(spec["ordinals"], "spec.ordinals", "start")
    if old is None and spec.get("serviceName"):
        errors.each("spec.serviceName", spec["serviceName"], names.dns1123_label(spec["serviceName"]))
    _selector(errors, "statefulset", spec.get("selector"))
    if _matching(errors, spec, "", True):
        _stateful_template(errors, spec)
    _only_always(errors, "StatefulSet", spec.get("template") or {})


def _stateful_template(errors: ErrorList, spec: Obj) -> None:
    """Its pods have the claims of the templates as volumes, and names of the set's making."""
    template = spec.get("template") or {}
    pod = {k: v for k, v in (template.get("spec") or {}).items() if k not in ("subdomain", "hostname")}
    made = [(c.get("metadata") or {}).get("name", "") for c in spec.get("volumeClaimTemplates") or []]
    if made:
        own = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in dict.fromkeys(made)]
        pod["volumes"] = own + [v for v in pod.get("volumes") or [] if v.get("name") not in made]
    at, meta = "spec.template", template.get("metadata") or {}
    pods.template(errors, at, {**template, "spec": pod})
    metadata.labels(errors, f"{at}.labels", meta.get("labels"))
    metadata.annotation_map(errors, f"{at}.annotations", meta.get("annotations"))
    pod_annotations.check(errors, f"{at}.annotations", meta.get("annotations") or {}, pod)


def _stateful_strategy(errors: ErrorList, strategy: Obj) -> None:
    kind, rolling, at = strategy.get("type", ""), strategy.get("rollingUpdate"), "spec.updateStrategy"
    partition = {} if rolling is None else rolling
    shown = None if rolling is None else {
        "Partition": partition.get("partition", 0), "MaxUnavailable": partition.get("maxUnavailable"),
    }  # fmt: skip
    if not kind:
        errors.required(at)
    elif kind == "OnDelete":
        if rolling is not None:
            errors.invalid(f"{at}.rollingUpdate", shown, "only allowed for updateStrategy 'RollingUpdate'")
    elif kind == "RollingUpdate":
        if rolling is not None:
            _rolling_stateful(errors, f"{at}.rollingUpdate", rolling)
    else:
        errors.invalid(at, {"Type": kind, "RollingUpdate": shown}, "must be 'RollingUpdate' or 'OnDelete'")


def _rolling_stateful(errors: ErrorList, at: str, rolling: Obj) -> None:
    errors.not_negative(rolling, at, "partition")
    if (most := rolling.get("maxUnavailable")) is not None:
        int_or_percent(errors, f"{at}.maxUnavailable", most)
        if amount(most) == 0:
            errors.invalid(f"{at}.maxUnavailable", most, "cannot be 0")
        at_most_all(errors, f"{at}.maxUnavailable", most)


def replication_controller(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    errors.not_negative(spec, "spec", "minReadySeconds")
    if not spec.get("selector"):
        errors.required("spec.selector")
    if spec.get("replicas") is None:
        errors.required("spec.replicas")
    errors.not_negative(spec, "spec", "replicas")
    if (template := spec.get("template")) is None:
        errors.required("spec.template")
        return
    labels = (template.get("metadata") or {}).get("labels")
    if any((labels or {}).get(key) != value for key, value in (spec.get("selector") or {}).items()):
        errors.invalid("spec.template.metadata.labels", labels, NO_MATCH)
    pods.template(errors, "spec.template", template)
    _only_always(errors, "ReplicationController", template)


# --- updates --------------------------------------------------------------------------------------------------------

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


COUNTS = {
    "deployments.apps": ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas",
                         "unavailableReplicas", "terminatingReplicas", "collisionCount"),
    "replicasets.apps": ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas",
                         "observedGeneration", "terminatingReplicas"),
    "replicationcontrollers": ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas",
                               "observedGeneration"),
    "statefulsets.apps": ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas",
                          "observedGeneration", "collisionCount"),
    "daemonsets.apps": ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady",
                        "observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable",
                        "collisionCount"),
}  # fmt: skip
PARTS = ("updatedReplicas", "fullyLabeledReplicas", "readyReplicas", "currentReplicas", "availableReplicas")


def counts(kind: str) -> Any:
    """The rule of a workload's status: no count is negative, no part is more than the whole."""

    def rule(errors: ErrorList, new: Obj, old: Obj) -> None:
        status, before = new.get("status") or {}, old.get("status") or {}
        errors.not_negative(status, "status", *COUNTS[kind])
        whole = status.get("replicas", 0)
        for name in PARTS:
            if name in COUNTS[kind] and status.get(name, 0) > whole:
                errors.invalid(f"status.{name}", status[name], "cannot be greater than status.replicas")
        if "availableReplicas" in COUNTS[kind] and status.get("availableReplicas", 0) > status.get("readyReplicas", 0):
            what = "status.readyReplicas" if kind == "statefulsets.apps" else "readyReplicas"
            errors.invalid("status.availableReplicas", status["availableReplicas"], f"cannot be greater than {what}")
        had, has = before.get("collisionCount"), status.get("collisionCount")
        if "collisionCount" in COUNTS[kind] and had is not None and (has is None or has < had):
            errors.invalid("status.collisionCount", has or 0, "cannot be decremented")

    return rule
