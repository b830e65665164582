"""What a Job's pods say, and what to do next: pure. Upstream: `pkg/controller/job`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from workshop.api import conditions, meta
from workshop.api.meta import Obj
from workshop.clock import parse_rfc3339, rfc3339

from . import job_policies as policies
from . import pods
from .job_policies import indexes as expand

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
BACKOFF = 10.0
BACKOFF_CAP = 600.0
MAX_CREATED = 500
RUNNING = ("Running", "Pending")


def is_indexed(job: Obj) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def finished(job: Obj) -> dict[str, Any] | None:
    """The condition that ended it."""
    for kind in ("Complete", "Failed"):
        if conditions.is_true(job, kind):
            return conditions.get(job, kind)
    return None


def has_failed(pod: Obj, job: Obj) -> bool:
    """A pod that is being deleted counts as failed at once, so that one that never gets to Failed is replaced; unless
    podReplacementPolicy says to wait for Failed."""
    if pods.phase(pod) == "Failed":
        return True
    if job["spec"].get("podReplacementPolicy") == "Failed":
        return False
    return pods.is_terminating(pod) and pods.phase(pod) != "Succeeded"


def index_of(pod: Obj) -> int:
    text = meta.annotations(pod).get(INDEX, "")
    return int(text) if text.isdigit() else -1


def compress(indexes: set[int]) -> str:
    """`{1, 3, 4, 5, 7}` → `1,3-5,7`."""
    parts: list[str] = []
    run: list[int] = []
    for i in [*sorted(indexes), -1]:
        if run and i == run[-1] + 1:
            run.append(i)
            continue
        if run:
            joint = "-" if len(run) > 2 else ","
            parts.append(str(run[0]) if len(run) == 1 else f"{run[0]}{joint}{run[-1]}")
        run = [i]
    return ",".join(parts)


@dataclass
class Tally:
    """The pods of a Job, counted. A finished pod is counted once: its uid stands in `uncountedTerminatedPods` before
    its finalizer is taken, and is moved to the number only after; a crash in between loses and doubles nothing."""

    active: list[Obj] = field(default_factory=list)
    terminating: int = 0
    leaving: set[int] = field(default_factory=set)
    """indexes of pods that are ending, and are to be waited for"""
    succeeded: int = 0
    failed: int = 0
    indexes: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    waiting: dict[int, Obj] = field(default_factory=dict)
    """by index the failed pod that waits for its successor, which takes over its count of failures"""
    condemned: str = ""
    """why the podFailurePolicy fails the whole Job"""
    uncounted_succeeded: list[str] = field(default_factory=list)
    uncounted_failed: list[str] = field(default_factory=list)
    release: list[Obj] = field(default_factory=list)
    """pods whose finalizer may be taken once the status is written"""
    last_failure: float = 0.0
    restarts: int = 0
    """of the containers of pods that start theirs again"""

    @property
    def all_succeeded(self) -> int:
        return self.succeeded + len(self.uncounted_succeeded)

    @property
    def all_failed(self) -> int:
        return self.failed + len(self.uncounted_failed)


def tally(job: Obj, found: list[Obj]) -> Tally:
    status = job.get("status") or {}
    uncounted = status.get("uncountedTerminatedPods") or {}
    result = Tally(
        succeeded=status.get("succeeded") or 0,
        failed=status.get("failed") or 0,
        indexes=expand(status.get("completedIndexes") or ""),
        failed_indexes=expand(status.get("failedIndexes") or ""),
    )
    held = {meta.uid(pod) for pod in found if FINALIZER in meta.finalizers(pod)}
    for uid in uncounted.get("succeeded") or ():
        if uid in held:
            result.uncounted_succeeded.append(uid)
        elif not is_indexed(job):
            result.succeeded += 1
    for uid in uncounted.get("failed") or ():
        if uid in held:
            result.uncounted_failed.append(uid)
        else:
            result.failed += 1
    if is_indexed(job):
        result.succeeded = len(result.indexes)
    failed_pods = [pod for pod in found if pods.phase(pod) != "Succeeded" and has_failed(pod, job)]
    judged = {meta.uid(pod): policies.judge(job, pod) for pod in failed_pods}
    result.condemned = next((one.message for one in judged.values() if one.message), "")
    if policies.per_index(job):
        _by_index(job, result, found, [pod for pod in failed_pods if meta.uid(pod) in held])
        if any(conditions.is_true(job, kind) for kind in ("SuccessCriteriaMet", "FailureTarget")):
            result.waiting = {}  # nobody will take their places
    policy = ((job["spec"].get("template") or {}).get("spec") or {}).get("restartPolicy")
    kept = {meta.uid(pod) for pod in result.waiting.values()}
    noted = set(result.uncounted_succeeded) | set(result.uncounted_failed)
    for pod in found:
        uid, tracked = meta.uid(pod), meta.uid(pod) in held
        succeeded, failed = pods.phase(pod) == "Succeeded", has_failed(pod, job)
        if pods.is_terminating(pod) and not pods.is_finished(pod):
            result.terminating += 1
            if job["spec"].get("podReplacementPolicy") == "Failed":
                result.leaving.add(index_of(pod))
        if failed and judged[uid].counts:
            result.last_failure = max(result.last_failure, _finished_at(pod))
        if policy == "OnFailure" and pods.phase(pod) in RUNNING:
            result.restarts += _restarts(pod)
        if not succeeded and not failed:
            if not pods.is_terminating(pod):
                result.active.append(pod)
            continue
        if not tracked or uid in kept:
            continue
        result.release.append(pod)
        if uid in noted:
            continue
        if succeeded and is_indexed(job):
            if 0 <= index_of(pod) < job["spec"]["completions"]:
                result.indexes.add(index_of(pod))
            result.succeeded = len(result.indexes)
        elif succeeded:
            result.uncounted_succeeded.append(uid)
        elif judged[uid].counts:
            result.uncounted_failed.append(uid)
    return result


def _by_index(job: Obj, result: Tally, found: list[Obj], failed: list[Obj]) -> None:
    """Which indexes have failed for good, and which failed pods are kept until another one takes their place."""
    completions = job["spec"]["completions"]
    indexed = [pod for pod in failed if 0 <= index_of(pod) < completions]
    result.failed_indexes |= {index_of(pod) for pod in indexed if policies.fails_index(job, pod)}
    busy = {index_of(pod) for pod in found if not pods.is_finished(pod) and not has_failed(pod, job)}
    done = {index_of(pod) for pod in found if pods.phase(pod) == "Succeeded"} | result.indexes
    for pod in indexed:
        at = index_of(pod)
        if at in done | result.failed_indexes | busy:
            continue
        other = result.waiting.get(at)
        if other is None or (policies.failures(pod), _finished_at(pod)) >= (
            policies.failures(other),
            _finished_at(other),
        ):
            result.waiting[at] = pod


def _restarts(pod: Obj) -> int:
    status = pod.get("status") or {}
    found = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return sum(int(container.get("restartCount") or 0) for container in found)


def _finished_at(pod: Obj) -> float:
    times = [
        parse_rfc3339(c["state"]["terminated"]["finishedAt"])
        for c in (pod.get("status") or {}).get("containerStatuses") or ()
        if (c.get("state") or {}).get("terminated", {}).get("finishedAt")
    ]
    return max(times, default=meta.deletion_timestamp(pod) or meta.creation_timestamp(pod))


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
    seconds = job["spec"].get("activeDeadlineSeconds")
    started = (job.get("status") or {}).get("startTime")
    if seconds is None or not started:
        return None
    return parse_rfc3339(started) + float(seconds) - now


@dataclass
class Plan:
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
        left = _finished_at(counted.waiting[i]) + pause - now if pause else 0.0
        if left > 0:
            made.wait = min(left, made.wait or left)
        else:
            made.create.append(i)
    return made


def _pause(failures: int) -> float:
    return min(BACKOFF_CAP, BACKOFF * 2.0 ** (min(failures, 20) - 1))


def new_pod(job: Obj, index: int, replaced: Obj | None = None) -> Obj:
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
