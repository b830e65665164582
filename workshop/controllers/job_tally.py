"""The pods of a Job, counted: pure. Upstream: `pkg/controller/job/{job_controller,indexed_job_utils}.go`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from workshop.api import conditions, meta
from workshop.api.meta import Obj
from workshop.clock import parse_rfc3339

from . import job_policies as policies
from . import pods
from .job_policies import indexes as expand

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
RUNNING = ("Running", "Pending")


def is_indexed(job: Obj) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def has_failed(pod: Obj, job: Obj) -> bool:
    """A pod that is being deleted counts as failed at once, so that one that never gets to Failed is replaced; unless
    podReplacementPolicy says to wait for Failed."""
    if pods.phase(pod) == "Failed":
        return True
    if job["spec"].get("podReplacementPolicy") == "Failed":
        return False
    return pods.is_terminating(pod) and pods.phase(pod) != "Succeeded"


def index_of(pod: Obj) -> int:
    """Its completion index; -1 without one."""
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
    """Count the pods `found`, on top of what the Job's status tells of those that were counted before."""
    held = {meta.uid(pod) for pod in found if FINALIZER in meta.finalizers(pod)}
    result = _told(job, held)
    noted = set(result.uncounted_succeeded) | set(result.uncounted_failed)
    failed_pods = [pod for pod in found if pods.phase(pod) != "Succeeded" and has_failed(pod, job)]
    judged = {meta.uid(pod): policies.judge(job, pod) for pod in failed_pods}
    result.condemned = next((one.message for one in judged.values() if one.message), "")
    if policies.per_index(job):
        _by_index(job, result, found, [pod for pod in failed_pods if meta.uid(pod) in held])
        if any(conditions.is_true(job, kind) for kind in ("SuccessCriteriaMet", "FailureTarget")):
            result.waiting = {}  # nobody will take their places
    kept = {meta.uid(pod) for pod in result.waiting.values()}
    for pod in found:
        uid = meta.uid(pod)
        failed = has_failed(pod, job)
        if failed and judged[uid].counts:
            result.last_failure = max(result.last_failure, finished_at(pod))
        if failed or pods.phase(pod) == "Succeeded":
            if uid in held and uid not in kept:
                result.release.append(pod)
                if uid not in noted:
                    _count(job, result, pod, judged)
        elif not pods.is_terminating(pod):
            result.active.append(pod)
        _still_there(job, result, pod)
    return result


def _told(job: Obj, held: Collection[str]) -> Tally:
    """What the status tells. Pods that their finalizer no longer holds are moved from the lists to the numbers."""
    status = job.get("status") or {}
    uncounted = status.get("uncountedTerminatedPods") or {}
    result = Tally(
        succeeded=status.get("succeeded") or 0,
        failed=status.get("failed") or 0,
        indexes=expand(status.get("completedIndexes") or ""),
        failed_indexes=expand(status.get("failedIndexes") or ""),
    )
    succeeded, failed = uncounted.get("succeeded") or (), uncounted.get("failed") or ()
    result.uncounted_succeeded = [uid for uid in succeeded if uid in held]
    result.uncounted_failed = [uid for uid in failed if uid in held]
    result.failed += len(failed) - len(result.uncounted_failed)
    if is_indexed(job):
        result.succeeded = len(result.indexes)
    else:
        result.succeeded += len(succeeded) - len(result.uncounted_succeeded)
    return result


def _count(job: Obj, result: Tally, pod: Obj, judged: Mapping[str, policies.Judgement]) -> None:
    """A pod that has ended, and that nobody has counted yet."""
    uid = meta.uid(pod)
    if pods.phase(pod) != "Succeeded":
        if judged[uid].counts:
            result.uncounted_failed.append(uid)
    elif is_indexed(job):
        if 0 <= index_of(pod) < job["spec"]["completions"]:
            result.indexes.add(index_of(pod))
        result.succeeded = len(result.indexes)
    else:
        result.uncounted_succeeded.append(uid)


def _still_there(job: Obj, result: Tally, pod: Obj) -> None:
    """A pod that is ending, and one that starts its containers again."""
    if pods.is_terminating(pod) and not pods.is_finished(pod):
        result.terminating += 1
        if job["spec"].get("podReplacementPolicy") == "Failed":
            result.leaving.add(index_of(pod))
    policy = ((job["spec"].get("template") or {}).get("spec") or {}).get("restartPolicy")
    if policy == "OnFailure" and pods.phase(pod) in RUNNING:
        result.restarts += _restarts(pod)


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
        if other is None or (policies.failures(pod), finished_at(pod)) >= (
            policies.failures(other),
            finished_at(other),
        ):
            result.waiting[at] = pod


def _restarts(pod: Obj) -> int:
    status = pod.get("status") or {}
    found = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return sum(int(container.get("restartCount") or 0) for container in found)


def finished_at(pod: Obj) -> float:
    """When its last container ended, in seconds since the epoch; else when its deletion, or it itself, began."""
    times = [
        parse_rfc3339(c["state"]["terminated"]["finishedAt"])
        for c in (pod.get("status") or {}).get("containerStatuses") or ()
        if (c.get("state") or {}).get("terminated", {}).get("finishedAt")
    ]
    return max(times, default=meta.deletion_timestamp(pod) or meta.creation_timestamp(pod))
