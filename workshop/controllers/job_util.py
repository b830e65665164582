"""What to do next about a Job whose pods are counted (`job_tally`): pure.

    verdict         is it decided?
    plan            which pods to make or to stop
    compute_status  what is told of it

Upstream: `pkg/controller/job`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from workshop.api import conditions, meta
from workshop.api.meta import Obj
from workshop.clock import parse_rfc3339, rfc3339

from . import job_policies as policies
from . import pods
from .job_tally import FINALIZER, INDEX, Tally, compress, finished_at, index_of, is_indexed

BACKOFF = 10.0
BACKOFF_CAP = 600.0
MAX_CREATED = 500


def finished(job: Obj) -> dict[str, Any] | None:
    """The condition that ended it."""
    for kind in ("Complete", "Failed"):
        if conditions.is_true(job, kind):
            return conditions.get(job, kind)
    return None


def verdict(job: Obj, counted: Tally, now: float) -> tuple[str, str, str] | None:
    """(SuccessCriteriaMet or FailureTarget, reason, message) when the Job is decided, else None."""
    spec = job["spec"]
    for kind in ("SuccessCriteriaMet", "FailureTarget"):
        had = conditions.get(job, kind)
        if had is not None and had["status"] == "True":
            return kind, had.get("reason") or "", had.get("message") or ""
    if counted.condemned:
        return "FailureTarget", "PodFailurePolicy", counted.condemned
    limit = 6 if spec.get("backoffLimit") is None else int(spec["backoffLimit"])
    if counted.all_failed > limit or counted.restarts >= max(limit, 1):
        return "FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    left = deadline_left(job, now)
    if left is not None and left <= 0 and not spec.get("suspend"):
        return "FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline"
    completions = spec.get("completions")
    if policies.per_index(job):
        most, failed = spec.get("maxFailedIndexes"), len(counted.failed_indexes)
        if most is not None and failed > int(most):
            text = "Job has exceeded the specified maximal number of failed indexes"
            return "FailureTarget", "MaxFailedIndexesExceeded", text
        if failed and failed + len(counted.indexes) >= completions:
            return "FailureTarget", "FailedIndexes", "Job has failed indexes"
    if is_indexed(job) and (met := policies.success(job, counted.indexes)):
        return "SuccessCriteriaMet", "SuccessPolicy", met
    if completions is None:
        done = counted.all_succeeded > 0 and not counted.active
    else:
        done = counted.all_succeeded >= completions
    if done:
        return "SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods"
    return None


def deadline_left(job: Obj, now: float) -> float | None:
    """Seconds until `activeDeadlineSeconds` are over, negative afterwards; None where there is no deadline."""
    seconds = job["spec"].get("activeDeadlineSeconds")
    started = (job.get("status") or {}).get("startTime")
    if seconds is None or not started:
        return None
    return parse_rfc3339(started) + float(seconds) - now


@dataclass
class Plan:
    """What to do about the pods. `wait`: seconds until it is worth another look."""

    create: list[int] = field(default_factory=list)
    """completion indexes; -1 for a Job that is not indexed"""
    replaced: dict[int, Obj] = field(default_factory=dict)
    """by index the failed pod whose place is taken"""
    delete: list[Obj] = field(default_factory=list)
    wait: float | None = None


def plan(job: Obj, counted: Tally, decided: bool, now: float) -> Plan:
    """Which pods to make or to stop."""
    spec, active = job["spec"], counted.active
    if decided or spec.get("suspend"):
        return Plan(delete=list(active))
    wanted = 1 if spec.get("parallelism") is None else int(spec["parallelism"])
    completions = spec.get("completions")
    if completions is not None:
        wanted = min(wanted, max(0, completions - counted.all_succeeded - len(counted.failed_indexes)))
    elif counted.all_succeeded:
        wanted = min(wanted, len(active))
    if len(active) > wanted:
        return Plan(delete=pods.deletion_order(active, active, now)[: len(active) - wanted])
    missing = wanted - len(active)
    if spec.get("podReplacementPolicy") == "Failed":
        missing -= counted.terminating
    if missing <= 0:
        return Plan()
    if policies.per_index(job):
        return _plan_by_index(counted, int(completions), min(missing, MAX_CREATED), now)
    if counted.all_failed and counted.last_failure:
        pause = _pause(counted.all_failed)
        if counted.last_failure + pause > now:
            return Plan(wait=counted.last_failure + pause - now)
    missing = min(missing, MAX_CREATED)
    if not is_indexed(job):
        return Plan(create=[-1] * missing)
    taken = counted.indexes | counted.leaving | {index_of(pod) for pod in active}
    free = (i for i in range(completions or 0) if i not in taken)
    return Plan(create=[i for i, _ in zip(free, range(missing), strict=False)])


def _plan_by_index(counted: Tally, completions: int, missing: int, now: float) -> Plan:
    """Each index waits for itself, longer after each of its failures."""
    made = Plan(replaced=counted.waiting)
    taken = counted.indexes | counted.failed_indexes | counted.leaving | {index_of(pod) for pod in counted.active}
    for i in range(completions):
        if i in taken or len(made.create) == missing:
            continue
        pause = _pause(policies.failures(counted.waiting[i]) + 1) if i in counted.waiting else 0.0
        left = finished_at(counted.waiting[i]) + pause - now if pause else 0.0
        if left > 0:
            made.wait = min(left, made.wait or left)
        else:
            made.create.append(i)
    return made


def _pause(failures: int) -> float:
    return min(BACKOFF_CAP, BACKOFF * 2.0 ** (min(failures, 20) - 1))


def new_pod(job: Obj, index: int, replaced: Obj | None = None) -> Obj:
    """A pod for that index (-1: for a Job that is not indexed), in the place of `replaced`, whose failures it carries
    on."""
    template = meta.copy(job["spec"]["template"])
    if index < 0:
        pod = pods.from_template(template, job)
    else:
        pod = pods.from_template(template, job, generate_name=f"{meta.name(job)}-{index}-")
        pod["metadata"]["annotations"][INDEX] = str(index)
        if policies.per_index(job):
            pod["metadata"]["annotations"] |= policies.next_counts(job, replaced)
        pod["metadata"]["labels"][INDEX] = str(index)
        pod["spec"]["hostname"] = f"{meta.name(job)}-{index}"
        source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
        for container in [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())]:
            env = container.setdefault("env", [])
            if all(one["name"] != "JOB_COMPLETION_INDEX" for one in env):
                env.append({"name": "JOB_COMPLETION_INDEX", "valueFrom": source})
    pod["metadata"].setdefault("finalizers", []).append(FINALIZER)
    return pod


def compute_status(
    job: Obj, counted: Tally, decided: tuple[str, str, str] | None, now: float
) -> tuple[dict[str, Any], list[tuple[str, str, str]]]:
    """The status, and the events (type, reason, message) that tell of what changed in it."""
    old = job.get("status") or {}
    listed = list(old.get("conditions") or [])
    events: list[tuple[str, str, str]] = []
    status: dict[str, Any] = {
        **old,
        "active": len(counted.active),
        "ready": sum(pods.is_ready(pod) for pod in counted.active),
        "terminating": counted.terminating,
        "succeeded": counted.succeeded,
        "failed": counted.failed,
    }
    if is_indexed(job):
        status["completedIndexes"] = compress(counted.indexes)
        if policies.per_index(job):
            status["failedIndexes"] = compress(counted.failed_indexes)
    uncounted = {"succeeded": counted.uncounted_succeeded, "failed": counted.uncounted_failed}
    status["uncountedTerminatedPods"] = {k: v for k, v in uncounted.items() if v}
    suspended = bool(job["spec"].get("suspend"))
    if not suspended and not old.get("startTime"):
        status["startTime"] = rfc3339(now)

    def note(kind: str, value: str, reason: str, message: str) -> None:
        nonlocal listed
        new = {"type": kind, "status": value, "reason": reason, "message": message}
        listed = conditions.set(listed, {**new, "lastProbeTime": rfc3339(now)}, now)

    if decided is not None:
        kind, reason, message = decided
        if conditions.find(listed, kind) is None:
            note(kind, "True", reason, message)
        settled = not counted.active and not counted.terminating and not status["uncountedTerminatedPods"]
        if settled and not counted.release and not counted.waiting:
            note("Complete" if kind == "SuccessCriteriaMet" else "Failed", "True", reason, message)
            if kind == "SuccessCriteriaMet":
                status["completionTime"] = rfc3339(now)
                events.append(("Normal", "Completed", "Job completed"))
            else:
                events.append(("Warning", reason, message))
    else:
        was = conditions.find(listed, "Suspended")
        if suspended and (was is None or was["status"] != "True"):
            note("Suspended", "True", "JobSuspended", "Job suspended")
            status.pop("startTime", None)
            events.append(("Normal", "Suspended", "Job suspended"))
        elif not suspended and was is not None and was["status"] == "True":
            note("Suspended", "False", "JobResumed", "Job resumed")
            status["startTime"] = rfc3339(now)
            events.append(("Normal", "Resumed", "Job resumed"))
    status["conditions"] = listed
    always = ("ready", "terminating", "uncountedTerminatedPods", "failedIndexes")
    return {k: v for k, v in status.items() if v or k in always}, events
