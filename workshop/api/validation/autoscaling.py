"""HorizontalPodAutoscalers and disruption budgets. Upstream: pkg/apis/{autoscaling,policy}/validation, v1.36.2."""

from __future__ import annotations

from workshop.api import names, quantity
from workshop.api.meta import Obj
from workshop.api.validation import amounts, metadata
from workshop.api.validation.field import ErrorList
from workshop.api.validation.workloads import at_most_all, int_or_percent

LONGEST_WINDOW, LONGEST_PERIOD = 3600, 1800
METRICS = {  # metric's type → its field
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
ORDER = ("object", "external", "pods", "resource", "containerResource")


def autoscaler(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    least, most = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if least is not None and least < 1:
        errors.invalid("spec.minReplicas", least, "must be greater than or equal to 1")
    if most == 0:
        errors.required("spec.maxReplicas", "must be set and greater than 0")
    elif most < 0:
        errors.invalid("spec.maxReplicas", most, "must be greater than or equal to 1")
    if least is not None and most < least:
        errors.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    reference(errors, "spec.scaleTargetRef", spec.get("scaleTargetRef") or {}, False)
    if (share := spec.get("targetCPUUtilizationPercentage")) is not None and share < 1:  # autoscaling/v1
        errors.invalid("spec.metrics[0].resource.target.averageUtilization", share, "must be greater than 0")
    for index, metric in enumerate(spec.get("metrics") or []):
        _metric(errors, f"spec.metrics[{index}]", metric)
    if least == 0 and not any(m.get("type") in ("Object", "External") for m in spec.get("metrics") or []):
        said = "must specify at least one Object or External metric to support scaling to zero replicas"
        errors.forbidden("spec.metrics", said)
    for way in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(way)
        if rules is not None:
            _rules(errors, f"spec.behavior.{way}", rules)


def reference(errors: ErrorList, at: str, ref: Obj, group_may_be_empty: bool) -> None:
    for name in ("kind", "name"):
        if not ref.get(name):
            errors.required(f"{at}.{name}")
        else:
            errors.each(f"{at}.{name}", ref[name], names.path_segment(ref[name]))
    version = ref.get("apiVersion", "")
    if version.count("/") > 1:
        errors.invalid(f"{at}.apiVersion", version, f"unexpected GroupVersion string: {version}")
    elif "/" not in version and not group_may_be_empty:
        errors.invalid(f"{at}.apiVersion", version, "apiVersion must specify API group")


def _metric(errors: ErrorList, at: str, metric: Obj) -> None:
    kind = metric.get("type", "")
    known = tuple(sorted(METRICS))
    if not kind:
        errors.required(f"{at}.type", "must specify a metric source type")
    errors.among(f"{at}.type", kind, known)
    given = [name for name in ORDER if metric.get(name) is not None]
    for name in given[:1]:
        _source(errors, f"{at}.{name}", name, metric[name])
    expected = METRICS.get(kind)
    if expected is None:
        errors.not_supported(f"{at}.type", kind, known)
    elif expected not in given:
        errors.required(f"{at}.{expected}", "must populate information for the given metric source")
    if len(given) != 1:
        for name in given:
            if name != expected:
                errors.forbidden(f"{at}.{name}", "must populate the given metric source only")


EITHER, NOT_BOTH = (
    "must set either a target raw value or a target utilization",
    "may not set both a target raw value and a target utilization",
)


def _source(errors: ErrorList, at: str, kind: str, source: Obj) -> None:
    target = source.get("target") or {}
    value, average, utilization = (target.get(n) for n in ("value", "averageValue", "averageUtilization"))
    if kind == "object":
        reference(errors, f"{at}.describedObject", source.get("describedObject") or {}, True)
    if kind in ("object", "external", "pods"):
        name = (source.get("metric") or {}).get("name", "")
        if not name:
            errors.required(f"{at}.metric.name", "must specify a metric name")
        else:
            errors.each(f"{at}.metric.name", name, names.path_segment(name))
    else:
        _resource(errors, at, kind, source)
    _target(errors, f"{at}.target", target)
    at = f"{at}.target"
    match kind:
        case "object" if value is None and average is None:
            errors.required(f"{at}.averageValue", "must set either a target value or averageValue")
        case "external" if value is None and average is None:
            said = "must set either a target value for metric or a per-pod target"
            errors.required(f"{at}.averageValue", said)
        case "external" if value is not None and average is not None:
            said = "may not set both a target value for metric and a per-pod target"
            errors.forbidden(f"{at}.value", said)
        case "pods" if average is None:
            errors.required(f"{at}.averageValue", "must specify a positive target averageValue")
        case "resource" | "containerResource":
            if utilization is None and average is None:
                errors.required(f"{at}.averageUtilization", EITHER)
            if utilization is not None and average is not None:
                errors.forbidden(f"{at}.averageValue", NOT_BOTH)


def _resource(errors: ErrorList, at: str, kind: str, source: Obj) -> None:
    name, container = source.get("name", ""), source.get("container", "")
    if not name:
        errors.required(f"{at}.name", "must specify a resource name")
    elif kind == "containerResource":
        amounts.container_resource(errors, f"{at}.name", name)
    if kind == "containerResource":
        if not container:
            errors.required(f"{at}.container", "must specify a container")
        else:
            errors.each(f"{at}.container", container, names.dns1123_label(container))


def _target(errors: ErrorList, at: str, target: Obj) -> None:
    kind = target.get("type", "")
    if not kind:
        errors.required(f"{at}.type", "must specify a metric target type")
    if kind not in ("Utilization", "Value", "AverageValue"):
        errors.invalid(f"{at}.type", kind, "must be either Utilization, Value, or AverageValue")
    for name in ("value", "averageValue"):
        if (amount := target.get(name)) is not None and not quantity.parse(amount) > amounts.ZERO:
            errors.invalid(f"{at}.{name}", amount, "must be positive")
    if (percent := target.get("averageUtilization")) is not None and percent < 1:
        errors.invalid(f"{at}.averageUtilization", percent, "must be greater than 0")


def _rules(errors: ErrorList, at: str, rules: Obj) -> None:
    window, select = rules.get("stabilizationWindowSeconds"), rules.get("selectPolicy")
    if window is not None and window < 0:
        errors.invalid(f"{at}.stabilizationWindowSeconds", window, "must be greater than or equal to zero")
    if window is not None and window > LONGEST_WINDOW:
        said = f"must be less than or equal to {LONGEST_WINDOW}"
        errors.invalid(f"{at}.stabilizationWindowSeconds", window, said)
    if select is not None:
        errors.among(f"{at}.selectPolicy", select, ("Disabled", "Max", "Min"))
    if not rules.get("policies"):
        errors.required(f"{at}.policies", "must specify at least one Policy")
    for index, policy in enumerate(rules.get("policies") or []):
        path = f"{at}.policies[{index}]"
        errors.among(f"{path}.type", policy.get("type"), ("Percent", "Pods"))
        for name in ("value", "periodSeconds"):
            if policy.get(name, 0) <= 0:
                errors.invalid(f"{path}.{name}", policy.get(name, 0), "must be greater than zero")
        if policy.get("periodSeconds", 0) > LONGEST_PERIOD:
            said = f"must be less than or equal to {LONGEST_PERIOD}"
            errors.invalid(f"{path}.periodSeconds", policy["periodSeconds"], said)
    if rules.get("tolerance") is not None:
        amounts.not_negative(errors, f"{at}.tolerance", rules["tolerance"])


def autoscaler_status(errors: ErrorList, new: Obj, old: Obj) -> None:
    errors.not_negative(new.get("status") or {}, "status", "currentReplicas", "desiredReplicas")


def disruption_budget(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and most is not None:
        given = {"MinAvailable": least, "Selector": spec.get("selector"), "MaxUnavailable": most}
        given["UnhealthyPodEvictionPolicy"] = spec.get("unhealthyPodEvictionPolicy")
        errors.invalid("spec", given, "minAvailable and maxUnavailable cannot be both set")
    for name, value in (("minAvailable", least), ("maxUnavailable", most)):
        if value is not None:
            int_or_percent(errors, f"spec.{name}", value)
            at_most_all(errors, f"spec.{name}", value)
    metadata.selector(errors, "spec.selector", spec.get("selector"))
    if (policy := spec.get("unhealthyPodEvictionPolicy")) is not None:
        errors.among("spec.unhealthyPodEvictionPolicy", policy, ("AlwaysAllow", "IfHealthyBudget"))


def budget_status(errors: ErrorList, new: Obj, old: Obj) -> None:
    status = new.get("status") or {}
    metadata.conditions(errors, "status.conditions", status.get("conditions") or [])
    errors.not_negative(status, "status", "disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
