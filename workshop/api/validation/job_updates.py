"""What may change of a Job: little of its spec, and of its status only what tells a story forward. Upstream:
pkg/apis/batch/validation (ValidateJobSpecUpdate, validateJobStatus), pkg/registry/batch/job/strategy.go, v1.36.2."""

from __future__ import annotations

from workshop.api.meta import Obj, copy
from workshop.api.validation import jobs
from workshop.api.validation.field import IMMUTABLE, ErrorList

KEPT = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")


def job_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    spec, before = new["spec"], old["spec"]
    labels = (before.get("template", {}).get("metadata") or {}).get("labels") or {}
    jobs.job(errors, new, {f"{jobs.PREFIX}{jobs.UID}", f"{jobs.PREFIX}{jobs.NAME}"} <= set(labels))
    jobs.full_spec(errors, spec)
    completions, parallel = spec.get("completions"), spec.get("parallelism")
    if spec.get("completionMode") != jobs.INDEXED:
        errors.immutable("spec.completions", completions, before.get("completions"))
    elif completions is not None and completions not in (before.get("completions"), parallel):
        errors.invalid("spec.completions", completions, "can only be modified in tandem with spec.parallelism")
    errors.immutable("spec.selector", spec.get("selector"), before.get("selector"))
    _template(errors, spec, old)
    for name in KEPT:
        errors.immutable(f"spec.{name}", spec.get(name), before.get(name))


def _template(errors: ErrorList, spec: Obj, old: Obj) -> None:
    """A job that waits may be placed anew and given other resources; any other keeps its template."""
    after, kept = copy(spec.get("template") or {}), copy(old["spec"].get("template") or {})
    suspended, status = bool(old["spec"].get("suspend")), old.get("status") or {}
    waits = (not status.get("startTime") or _is(old, "Suspended")) and not status.get("active")
    if not (suspended and waits):
        if after != kept:
            errors.invalid("spec.template", after, IMMUTABLE)
        return
    mine, theirs = after.setdefault("spec", {}), kept.setdefault("spec", {})
    for name in ("nodeSelector", "tolerations", "schedulingGates"):
        _take(theirs, mine, name)
    affinity = {**(theirs.get("affinity") or {})}
    affinity.pop("nodeAffinity", None)
    if "nodeAffinity" in (mine.get("affinity") or {}):
        affinity["nodeAffinity"] = mine["affinity"]["nodeAffinity"]
    theirs.pop("affinity", None)
    if affinity or "affinity" in mine:
        theirs["affinity"] = affinity
    for kind in ("containers", "initContainers"):
        same_number = len(mine.get(kind) or []) == len(theirs.get(kind) or [])
        for one, other in zip(mine.get(kind) or [], theirs.get(kind) or [], strict=False):
            if same_number and one.get("name") == other.get("name"):
                _take(other, one, "resources")
    if mine != theirs:
        errors.invalid("spec.template.spec", mine, IMMUTABLE)


def _take(into: Obj, source: Obj, name: str) -> None:
    into.pop(name, None)
    if name in source:
        into[name] = source[name]


def _is(obj: Obj, kind: str) -> bool:
    found = (obj.get("status") or {}).get("conditions") or []
    return any(c.get("type") == kind and c.get("status") == "True" for c in found)


COUNTERS = ("active", "succeeded", "failed", "ready", "terminating")


def job_status(errors: ErrorList, new: Obj, old: Obj) -> None:
    status, before, spec = new.get("status") or {}, old.get("status") or {}, new["spec"]
    errors.not_negative(status, "status", *COUNTERS)
    _uncounted(errors, status.get("uncountedTerminatedPods") or {})
    _conditions(errors, new, old)
    _times(errors, new, old)
    _finished(errors, status, _is(new, "Complete") or _is(new, "Failed"))
    _indexes(errors, status, spec)
    if status.get("ready") is not None and status["ready"] > status.get("active", 0):
        errors.invalid("status.ready", status["ready"], "cannot set more ready pods than active")
    for name in ("failed", "succeeded"):
        if status.get(name, 0) < before.get(name, 0):
            errors.invalid(f"status.{name}", status.get(name, 0), f"cannot decrease the {name} counter")


def _uncounted(errors: ErrorList, found: Obj) -> None:
    seen: set[str] = set()
    for kind in ("succeeded", "failed"):
        for index, uid in enumerate(found.get(kind) or []):
            at = f"status.uncountedTerminatedPods.{kind}[{index}]"
            if not uid:
                errors.invalid(at, uid, "must not be empty")
            elif uid in seen:
                errors.duplicate(at, uid)
            seen.add(uid)


def _conditions(errors: ErrorList, new: Obj, old: Obj) -> None:
    complete, failed, met, target = (_is(new, k) for k in ("Complete", "Failed", "SuccessCriteriaMet", "FailureTarget"))
    was_met = _is(old, "SuccessCriteriaMet")
    policy = new["spec"].get("successPolicy") is not None
    wrong = {
        "cannot set Complete=True and Failed=true conditions": complete and failed,
        "cannot set Complete=True and FailureTarget=true conditions": complete and target,
        "cannot set Failed=True condition without the FailureTarget=true condition": failed and not target,
        "cannot set Complete=True condition without the SuccessCriteriaMet=true condition": complete and not met,
        "cannot set SuccessCriteriaMet=True and Failed=true conditions": met and failed,
        "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions": met and target,
        "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True":
            policy and complete and not met,
        "cannot disable the terminal Failed=True condition": _is(old, "Failed") and not failed,
        "cannot disable the terminal Complete=True condition": _is(old, "Complete") and not complete,
        "cannot disable the terminal FailureTarget=True condition": _is(old, "FailureTarget") and not target,
        "cannot disable the SuccessCriteriaMet=True condition": was_met and not met,
        "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions":
            _is(old, "Complete") and not was_met and met,
    }  # fmt: skip
    for said, so in wrong.items():
        if so:
            errors.add("status.conditions", "Invalid", f"Invalid value: {said}")


def _times(errors: ErrorList, new: Obj, old: Obj) -> None:
    status, before = new.get("status") or {}, old.get("status") or {}
    start, end, complete = status.get("startTime"), status.get("completionTime"), _is(new, "Complete")
    at = "status.completionTime"
    if end is not None and not complete:
        errors.invalid(at, end, "cannot set completionTime when there is no Complete=True condition")
    if end is None and complete:
        errors.required(at, "completionTime is required for Complete jobs")
    if start is not None and end is not None and end < start:
        errors.invalid(at, end, "must be equal to or after `startTime`")
    if end is not None and before.get("completionTime") not in (None, end):
        errors.invalid(at, end, IMMUTABLE)
    if before.get("startTime") not in (None, start) and not new["spec"].get("suspend"):
        errors.invalid("status.startTime", start, "field is immutable for unsuspended job once set")


def _finished(errors: ErrorList, status: Obj, finished: bool) -> None:
    if not finished:
        return
    for name in ("active", "terminating"):
        if status.get(name, 0) > 0:
            errors.invalid(f"status.{name}", status[name], f"{name}>0 is invalid for finished job")
    if status.get("startTime") is None:
        errors.required("status.startTime", "startTime is required for finished job")
    uncounted = status.get("uncountedTerminatedPods") or {}
    if uncounted.get("failed") or uncounted.get("succeeded"):
        shown = {"Succeeded": uncounted.get("succeeded"), "Failed": uncounted.get("failed")}
        errors.invalid("status.uncountedTerminatedPods", shown, "must be empty for finished job")


def _indexes(errors: ErrorList, status: Obj, spec: Obj) -> None:
    completed, failed, completions = (
        status.get("completedIndexes", ""),
        status.get("failedIndexes"),
        spec.get("completions"),
    )
    limited = spec.get("backoffLimitPerIndex") is not None
    for name, text in (("completedIndexes", completed), ("failedIndexes", failed if limited else None)):
        if completions is not None and text is not None:
            try:
                jobs.count_indexes(text, completions)
            except ValueError as why:
                errors.invalid(f"status.{name}", text, f"error parsing {name}: {why}")
    if completed and spec.get("completionMode") != jobs.INDEXED:
        said = "cannot set non-empty completedIndexes when non-indexed completion mode"
        errors.invalid("status.completedIndexes", completed, said)
    if failed is None:
        return
    if not limited:
        said = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        errors.invalid("status.failedIndexes", failed, said)
    if completions is not None and (both := _overlap(completed, failed, completions)) is not None:
        said = f"failedIndexes and completedIndexes overlap at index: {both}"
        errors.invalid("status.failedIndexes", failed, said)


def _overlap(one: str, other: str, completions: int) -> int | None:
    """The first index that both name; what cannot be read is passed over."""

    def intervals(text: str) -> list[tuple[int, int]]:
        found = []
        for part in text.split(",") if text else ():
            try:
                found.append(jobs.interval_of(part, completions))
            except ValueError:
                continue
        return found

    hits = [max(a, c) for a, b in intervals(one) for c, d in intervals(other) if a <= d and c <= b]
    return min(hits, default=None)
