"""What a Job's policies say: pure. Upstream: `pkg/controller/job/{pod_failure_policy,success_policy,backoff_utils,
indexed_job_utils}.go`.

`podFailurePolicy` judges each failed pod; `backoffLimitPerIndex` gives each index of an indexed Job its own retries,
counted in an annotation of its pods; `successPolicy` ends a Job before all indexes have succeeded.
"""

from __future__ import annotations

from dataclasses import dataclass

from workshop.api import meta
from workshop.api.meta import Obj

FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"


@dataclass(frozen=True)
class Judgement:
    """Of a failed pod. `message` says why the whole Job fails, or is empty."""

    counts: bool = True
    action: str = ""
    message: str = ""


def judge(job: Obj, pod: Obj) -> Judgement:
    """By the first rule of the podFailurePolicy that fits. A pod that none fits counts as failed."""
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or ()
    for number, rule in enumerate(rules):
        action, at = rule["action"], f"matching {rule['action']} rule at index {number}"
        where = f"{meta.namespace(pod)}/{meta.name(pod)}"
        if rule.get("onExitCodes"):
            ended = _ended(pod, rule["onExitCodes"])
            if ended is None:
                continue
            name, code = ended
            why = f"Container {name} for pod {where} failed with exit code {code} {at}"
        else:
            kind = _condition(pod, rule.get("onPodConditions") or ())
            if not kind:
                continue
            why = f"Pod {where} has condition {kind} {at}"
        return Judgement(action != "Ignore", action, why if action == "FailJob" else "")
    return Judgement()


def _ended(pod: Obj, wanted: Obj) -> tuple[str, int] | None:
    """(name, exit code) of the first container that ended badly and as the rule says."""
    status = pod.get("status") or {}
    for container in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
        terminated = (container.get("state") or {}).get("terminated")
        if terminated is None or wanted.get("containerName") not in (None, container["name"]):
            continue
        code = int(terminated.get("exitCode") or 0)
        if code and (code in wanted["values"]) == (wanted["operator"] == "In"):
            return container["name"], code
    return None


def _condition(pod: Obj, patterns: list[Obj] | tuple[()]) -> str:
    for condition in (pod.get("status") or {}).get("conditions") or ():
        for pattern in patterns:
            if (condition["type"], condition["status"]) == (pattern["type"], pattern.get("status") or "True"):
                return str(condition["type"])
    return ""


def per_index(job: Obj) -> bool:
    return job["spec"].get("backoffLimitPerIndex") is not None


def _count(pod: Obj, annotation: str) -> int:
    text = meta.annotations(pod).get(annotation, "")
    return int(text) if text.isdigit() else 0


def failures(pod: Obj) -> int:
    """How often its index had failed before, ignored failures included."""
    return _count(pod, FAILURES) + _count(pod, IGNORED)


def fails_index(job: Obj, pod: Obj) -> bool:
    """Whether this failed pod was the last try of its index."""
    judged = judge(job, pod)
    if judged.action == "FailIndex":
        return True
    return judged.counts and _count(pod, FAILURES) >= int(job["spec"]["backoffLimitPerIndex"])


def next_counts(job: Obj, replaced: Obj | None) -> dict[str, str]:
    """The annotations of the pod that takes the place of `replaced`.

    >>> next_counts({"spec": {}}, None)
    {'batch.kubernetes.io/job-index-failure-count': '0'}
    """
    counted, ignored = 0, 0
    if replaced is not None:
        counted, ignored = _count(replaced, FAILURES), _count(replaced, IGNORED)
        if judge(job, replaced).counts:
            counted += 1
        else:
            ignored += 1
    return {FAILURES: str(counted), **({IGNORED: str(ignored)} if ignored else {})}


def success(job: Obj, succeeded: set[int]) -> str:
    """Which rule of the successPolicy is met: the message, or nothing."""
    for number, rule in enumerate((job["spec"].get("successPolicy") or {}).get("rules") or ()):
        wanted, count = rule.get("succeededIndexes"), rule.get("succeededCount")
        if wanted is not None:
            required = indexes(wanted)
            met = bool(required) and len(required & succeeded) >= (len(required) if count is None else int(count))
        else:
            met = bool(succeeded) and count is not None and len(succeeded) >= int(count)
        if met:
            return f"Matched rules at index {number}"
    return ""


def indexes(text: str) -> set[int]:
    """`1,3-5` → `{1, 3, 4, 5}`."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
