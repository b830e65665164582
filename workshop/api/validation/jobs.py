"""Jobs and CronJobs. Upstream: pkg/apis/batch/validation, v1.36.2. What a change of them may be: job_updates.py."""

from __future__ import annotations

import re

from workshop.api import labels as selectors
from workshop.api import names
from workshop.api.errors import quote
from workshop.api.meta import Obj
from workshop.api.validation import metadata, pods, schedules, signers
from workshop.api.validation.field import ErrorList
from workshop.api.validation.workloads import NO_MATCH

INDEXED, NON_INDEXED = "Indexed", "NonIndexed"
MOST_INDEXED, MANY, MOST_OF_MANY = 100_000, 100_000, 10_000
COUNTS = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")
UID, NAME, PREFIX = "controller-uid", "job-name", "batch.kubernetes.io/"
ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
STATUSES = ("False", "True", "Unknown")


def job(errors: ErrorList, obj: Obj, prefixed: bool = True) -> None:
    """`prefixed`: labels with `batch.kubernetes.io/` have to be there; a job from before them need not have them."""
    spec, meta = obj["spec"], obj["metadata"]
    generated_selector(errors, obj, prefixed)
    full_spec(errors, spec)
    if spec.get("completionMode") == INDEXED and (spec.get("completions") or 0) > 0:
        host = f"{meta.get('name', '')}-{spec['completions'] - 1}"
        if names.dns1123_label(host):
            said = f"will not able to create pod with invalid DNS label: {host}"
            errors.invalid("metadata.name", meta.get("name", ""), said)


def generated_selector(errors: ErrorList, obj: Obj, prefixed: bool) -> None:
    """The labels that the server gives the pods of a job, unless its user insists on his own."""
    spec, meta = obj["spec"], obj["metadata"]
    if spec.get("manualSelector") or spec.get("selector") is None:
        return
    wanted = {UID: meta.get("uid", ""), NAME: meta.get("name", "")}
    if prefixed:
        wanted |= {f"{PREFIX}{key}": value for key, value in wanted.items()}
    labels = (spec.get("template", {}).get("metadata") or {}).get("labels") or {}
    for key, value in wanted.items():
        at = f"spec.template.metadata.labels[{key}]"
        if key not in labels:
            errors.required(at, f"must be '{value}'")
        elif labels[key] != value:
            errors.invalid(at, labels, f"must be '{value}'")
    if not _selects(spec["selector"], wanted):
        errors.invalid("spec.selector", spec["selector"], "`selector` not auto-generated")


def _selects(selector: Obj | None, labels: dict[str, str]) -> bool:
    """A selector that cannot be read has been complained about elsewhere."""
    if selector is None:
        return False
    try:
        return selectors.from_selector(selector).matches(labels)
    except ValueError:
        return True


def full_spec(errors: ErrorList, spec: Obj) -> None:
    """A Job's; one in a CronJob has no selector."""
    job_spec(errors, "spec", spec)
    selector = spec.get("selector")
    if selector is None:
        errors.required("spec.selector")
    metadata.selector(errors, "spec.selector", selector)
    labels = (spec.get("template", {}).get("metadata") or {}).get("labels")
    if not _selects(selector, labels or {}):
        errors.invalid("spec.template.metadata.labels", labels, NO_MATCH)


def job_spec(errors: ErrorList, path: str, spec: Obj) -> None:
    errors.not_negative(spec, path, *COUNTS, "backoffLimitPerIndex", "maxFailedIndexes")
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        errors.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    if (manager := spec.get("managedBy")) is not None:
        signers.prefixed_path(errors, f"{path}.managedBy", manager)
        if len(manager) > 63:
            errors.too_long(f"{path}.managedBy", 63)
    mode = spec.get("completionMode")
    if mode is not None and mode not in (NON_INDEXED, INDEXED):
        errors.not_supported(f"{path}.completionMode", mode, (NON_INDEXED, INDEXED))
    if mode == INDEXED:
        _indexed(errors, path, spec)
    if mode in (None, NON_INDEXED):
        for name in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(name) is not None:
                errors.invalid(f"{path}.{name}", spec[name], "requires indexed completion mode")
    if spec.get("podFailurePolicy") is not None:
        _failure_policy(errors, f"{path}.podFailurePolicy.rules", spec)
    if spec.get("successPolicy") is not None:
        _success_policy(errors, f"{path}.successPolicy", spec)
    if (replacement := spec.get("podReplacementPolicy")) is not None:
        known = ("Failed",) if spec.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
        errors.among(f"{path}.podReplacementPolicy", replacement, known)
    template = spec.get("template") or {}
    pods.template(errors, f"{path}.template", template)
    _restart_policy(errors, f"{path}.template.spec.restartPolicy", template, spec)


def _restart_policy(errors: ErrorList, at: str, template: Obj, spec: Obj) -> None:
    policy = (template.get("spec") or {}).get("restartPolicy", "")
    if policy in ("", "Always"):
        errors.required(at, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        errors.not_supported(at, policy, ("OnFailure", "Never"))
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        errors.invalid(at, policy, 'only "Never" is supported when podFailurePolicy is specified')


def _indexed(errors: ErrorList, path: str, spec: Obj) -> None:
    completions, parallel, failed = (spec.get(n) for n in ("completions", "parallelism", "maxFailedIndexes"))
    if completions is None:
        errors.required(f"{path}.completions", "when completion mode is Indexed")
    if parallel is not None and parallel > MOST_INDEXED:
        said = f"must be less than or equal to {MOST_INDEXED} when completion mode is Indexed"
        errors.invalid(f"{path}.parallelism", parallel, said)
    if failed is not None:
        if completions is not None and failed > completions:
            errors.invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions")
        if failed > MOST_INDEXED:
            errors.invalid(f"{path}.maxFailedIndexes", failed, f"must be less than or equal to {MOST_INDEXED}")
    if completions is None or completions <= MANY or spec.get("backoffLimitPerIndex") is None:
        return
    if failed is None:
        errors.required(f"{path}.maxFailedIndexes", f"must be specified when completions is above {MANY}")
    why = f"when completions are above {MANY} and used with backoff limit per index"
    for name, value in (("parallelism", parallel), ("maxFailedIndexes", failed)):
        if value is not None and value > MOST_OF_MANY:
            errors.invalid(f"{path}.{name}", value, f"must be less than or equal to {MOST_OF_MANY} {why}")


def _listed(values: tuple[str, ...]) -> str:
    return "valid values: [" + " ".join(map(quote, values)) + "]"


def _failure_policy(errors: ErrorList, path: str, spec: Obj) -> None:
    rules = spec["podFailurePolicy"].get("rules") or []
    pod = (spec.get("template") or {}).get("spec") or {}
    known = {c.get("name", "") for kind in ("containers", "initContainers") for c in pod.get(kind) or []}
    if len(rules) > 20:
        errors.too_many(path, len(rules), 20)
    for index, rule in enumerate(rules):
        at, action = f"{path}[{index}]", rule.get("action", "")
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or []
        if action == "FailIndex":
            if spec.get("backoffLimitPerIndex") is None:
                errors.invalid(f"{at}.action", action, "requires the backoffLimitPerIndex to be set")
        else:
            errors.one_of(f"{at}.action", action, ACTIONS, _listed(ACTIONS))
        if codes is not None:
            _exit_codes(errors, f"{at}.onExitCodes", codes, known)
        if len(conditions) > 20:
            errors.too_many(f"{at}.onPodConditions", len(conditions), 20)
        for i, pattern in enumerate(conditions):
            metadata.label_key(errors, f"{at}.onPodConditions[{i}].type", pattern.get("type", ""))
            where = f"{at}.onPodConditions[{i}].status"
            errors.one_of(where, pattern.get("status", ""), STATUSES, _listed(STATUSES))
        if codes is not None and conditions:
            said = "specifying both OnExitCodes and OnPodConditions is not supported"
            errors.add(at, "Invalid", f"Invalid value: {said}")
        if codes is None and not conditions:
            said = "specifying one of OnExitCodes and OnPodConditions is required"
            errors.add(at, "Invalid", f"Invalid value: {said}")


def _exit_codes(errors: ErrorList, at: str, codes: Obj, known: set[str]) -> None:
    operator, values = codes.get("operator", ""), codes.get("values") or []
    errors.one_of(f"{at}.operator", operator, ("In", "NotIn"), _listed(("In", "NotIn")))
    container = codes.get("containerName")
    if container is not None and container not in known:
        said = "must be one of the container or initContainer names in the pod template"
        errors.invalid(f"{at}.containerName", container, said)
    if not values:
        errors.invalid(f"{at}.values", codes.get("values"), "at least one value is required")
    elif len(values) > 255:
        errors.too_many(f"{at}.values", len(values), 255)
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            errors.invalid(f"{at}.values[{index}]", value, "must not be 0 for the In operator")
        if value in values[:index]:
            errors.duplicate(f"{at}.values[{index}]", value)
    if values != sorted(values):
        errors.invalid(f"{at}.values", values, "must be ordered")


def _success_policy(errors: ErrorList, path: str, spec: Obj) -> None:
    rules = spec["successPolicy"].get("rules") or []
    if spec.get("completionMode") != INDEXED:
        shown = [
            {"SucceededIndexes": r.get("succeededIndexes"), "SucceededCount": r.get("succeededCount")} for r in rules
        ]
        errors.invalid(path, {"Rules": shown}, "requires indexed completion mode")
        return
    if not rules:
        said = "at least one rules must be specified when the successPolicy is specified"
        errors.required(f"{path}.rules", said)
    if len(rules) > 20:
        errors.too_many(f"{path}.rules", len(rules), 20)
    completions = spec.get("completions")
    for index, rule in enumerate(rules):
        _success_rule(errors, f"{path}.rules[{index}]", rule, completions or 0)


def _success_rule(errors: ErrorList, at: str, rule: Obj, completions: int) -> None:
    indexes, count, total = rule.get("succeededIndexes"), rule.get("succeededCount"), 0
    if indexes is None and count is None:
        errors.required(at, "at least one of succeededCount or succeededIndexes must be specified")
    if indexes is not None:
        if len(indexes) > 64 * 1024:
            errors.too_long(f"{at}.succeededIndexes", 64 * 1024)
        try:
            total = count_indexes(indexes, completions)
        except ValueError as why:
            errors.invalid(f"{at}.succeededIndexes", indexes, f"error parsing succeededIndexes: {why}")
    if count is None:
        return
    errors.not_negative(rule, at, "succeededCount")
    if count > completions:
        said = f"must be less than or equal to {completions} (the number of specified completions)"
        errors.invalid(f"{at}.succeededCount", count, said)
    if indexes is not None and count > total:
        said = f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        errors.invalid(f"{at}.succeededCount", count, said)


def count_indexes(text: str, completions: int) -> int:
    """How many `0,3-5` names. Raises ValueError in upstream's words."""
    last, total = -1, 0
    for interval in text.split(",") if text else ():
        low, high = interval_of(interval, completions)
        if last >= low:
            raise ValueError(f"non-increasing order, previous: {last}, current: {low}")
        total, last = total + high - low + 1, high
    return total


def interval_of(text: str, completions: int) -> tuple[int, int]:
    parts = text.split("-")
    if len(parts) > 2:
        said = "violates the requirement that an index interval can have at most two parts separated by '-'"
        raise ValueError(f"the fragment {quote(text)} {said}")
    numbers = []
    for part in parts:
        if not re.fullmatch(r"[+-]?[0-9]+", part):
            raise ValueError(f"cannot convert string to integer for index: {quote(part)}")
        if int(part) >= completions:
            raise ValueError(f"too large index: {quote(part)}")
        numbers.append(int(part))
    if len(numbers) == 2 and numbers[0] >= numbers[1]:
        raise ValueError(f"non-increasing order, previous: {numbers[0]}, current: {numbers[1]}")
    return numbers[0], numbers[-1]


def cron_job(errors: ErrorList, obj: Obj, old: Obj | None = None) -> None:
    spec, before = obj["spec"], (old or {}).get("spec") or {}
    zone = spec.get("timeZone")
    if not spec.get("schedule"):
        errors.required("spec.schedule")
    else:
        schedules.schedule(errors, "spec.schedule", spec["schedule"], zone, "TZ" in before.get("schedule", ""))
    errors.not_negative(spec, "spec", "startingDeadlineSeconds")
    if zone is not None and (old is None or zone != before.get("timeZone")):
        schedules.time_zone(errors, "spec.timeZone", zone)
    errors.one_of("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"))
    template = (spec.get("jobTemplate") or {}).get("spec") or {}
    job_spec(errors, "spec.jobTemplate.spec", template)
    at = "spec.jobTemplate.spec"
    if template.get("selector") is not None:
        errors.invalid(f"{at}.selector", template["selector"], "`selector` will be auto-generated")
    if template.get("manualSelector"):
        errors.not_supported(f"{at}.manualSelector", True, ("nil", "false"))
    errors.not_negative(spec, "spec", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    if old is None and len(obj["metadata"].get("name", "")) > 52:
        errors.invalid("metadata.name", obj["metadata"]["name"], "must be no more than 52 characters")
