"""The arithmetic of rollouts: pure. Upstream: `pkg/controller/deployment/util/deployment_util.go`."""

from __future__ import annotations

import math
from typing import Any

from workshop.api import conditions, meta
from workshop.api.meta import Obj
from workshop.clock import parse_rfc3339, rfc3339

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
ROLLBACK = "deprecated.deployment.rollback.to"
HASH_LABEL = "pod-template-hash"
NO_DEADLINE = 2**31 - 1
NOT_COPIED = (LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED, MAXIMUM, ROLLBACK)


def size(obj: Obj) -> int:
    """`spec.replicas`."""
    wanted = obj["spec"].get("replicas")
    return 1 if wanted is None else int(wanted)


def reported(rs: Obj, field: str) -> int:
    return int((rs.get("status") or {}).get(field) or 0)


def total(sets: list[Obj], field: str = "") -> int:
    """Of a status field, or of `spec.replicas`."""
    return sum(reported(rs, field) if field else size(rs) for rs in sets)


def active(sets: list[Obj]) -> list[Obj]:
    return [rs for rs in sets if size(rs) > 0]


def revision(obj: Obj) -> int:
    text = meta.annotations(obj).get(REVISION, "")
    return int(text) if text.isdigit() else 0


def int_or_percent(value: int | str, of: int, up: bool) -> int:
    """`"25%"` of 10 is 3 rounded up and 2 rounded down."""
    if isinstance(value, int):
        return value
    exact = int(value.rstrip("%")) * of / 100
    return math.ceil(exact) if up else math.floor(exact)


def is_rolling(d: Obj) -> bool:
    return bool((d["spec"].get("strategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")


def fenceposts(d: Obj) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) as numbers of pods. Both 0 would never move: then one may be unavailable."""
    if not is_rolling(d):
        return 0, 0
    rolling = (d["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    surge = int_or_percent(rolling.get("maxSurge", "25%"), size(d), up=True)
    unavailable = int_or_percent(rolling.get("maxUnavailable", "25%"), size(d), up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, size(d)) if size(d) else unavailable


def without_hash(template: dict[str, Any]) -> dict[str, Any]:
    """A pod template as the Deployment has it: what the controller added for its ReplicaSet is taken away."""
    metadata = template.get("metadata") or {}
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != HASH_LABEL}
    cleaned = {k: v for k, v in metadata.items() if k not in ("labels", "creationTimestamp") and v}
    return {**template, "metadata": {**cleaned, "labels": labels}}


def by_age(sets: list[Obj]) -> list[Obj]:
    return sorted(sets, key=lambda rs: (meta.creation_timestamp(rs), meta.name(rs)))


def find_new(d: Obj, sets: list[Obj]) -> Obj | None:
    """The ReplicaSet of the current template; the oldest, should there be several."""
    wanted = without_hash(d["spec"]["template"])
    return next((rs for rs in by_age(sets) if without_hash(rs["spec"]["template"]) == wanted), None)


def new_size(d: Obj, sets: list[Obj], new: Obj) -> int:
    """How large the new ReplicaSet may be now: as large as wanted, as far as the surge allows."""
    if not is_rolling(d) or size(new) >= size(d):
        return size(d)
    room = size(d) + fenceposts(d)[0] - total(sets)
    if room <= 0:
        return size(new)
    return size(new) + min(room, size(d) - size(new))


def scale_down_plan(d: Obj, sets: list[Obj], new: Obj, olds: list[Obj]) -> dict[str, int]:
    """Name → new size of the old ReplicaSets that may shrink now.

    First unhealthy pods, which cost no availability; then healthy ones, as long as enough are available. Example:
    10 wanted, maxUnavailable 2, maxSurge 3: 8 must stay. With 13 pods of which the 3 new ones are not ready yet, 2
    old ones may go.
    """
    must_stay = size(d) - fenceposts(d)[1]
    may_go = total(sets) - must_stay - (size(new) - reported(new, "availableReplicas"))
    if may_go <= 0:
        return {}
    sizes = {meta.name(rs): size(rs) for rs in by_age(olds) if size(rs)}
    before = dict(sizes)
    left = may_go
    for rs in by_age(olds):
        unhealthy = size(rs) - reported(rs, "availableReplicas")
        cut = min(left, max(0, unhealthy))
        if size(rs) and cut:
            sizes[meta.name(rs)] -= cut
            left -= cut
    available = total(sets, "availableReplicas")
    budget = available - must_stay
    for rs in by_age(olds):
        if budget <= 0:
            break
        if sizes.get(meta.name(rs)):
            cut = min(sizes[meta.name(rs)], budget)
            sizes[meta.name(rs)] -= cut
            budget -= cut
    return {name: wanted for name, wanted in sizes.items() if wanted != before[name]}


def proportional_sizes(d: Obj, sets: list[Obj]) -> dict[str, int]:
    """Name → size when a Deployment is scaled in the middle of a rollout: each active ReplicaSet gets its share.

    The shares are rounded; what is left over goes to the largest.
    """
    shown = active(sets)
    allowed = size(d) + fenceposts(d)[0] if size(d) > 0 else 0
    to_add = allowed - total(shown)
    # Largest first; of equal ones the newer first when growing, the older first when shrinking.
    newer_first = to_add > 0
    shown.sort(key=lambda rs: (-size(rs), meta.creation_timestamp(rs) * (-1 if newer_first else 1)))
    sizes: dict[str, int] = {}
    added = 0
    for rs in shown:
        share = _share(rs, d, to_add, added) if to_add else 0
        sizes[meta.name(rs)] = size(rs) + share
        added += share
    if shown and to_add:
        first = meta.name(shown[0])
        sizes[first] = max(0, sizes[first] + to_add - added)
    return sizes


def _share(rs: Obj, d: Obj, to_add: int, added: int) -> int:
    if size(rs) == 0:
        return 0
    if size(d) == 0:
        fraction = -size(rs)
    else:
        text = meta.annotations(rs).get(MAXIMUM, "")
        before = int(text) if text.isdigit() else reported(d, "replicas")
        if before == 0:
            return 0
        exact = size(rs) * (size(d) + fenceposts(d)[0]) / before
        fraction = math.floor(exact + 0.5) - size(rs)
    allowed = to_add - added
    return min(fraction, allowed) if to_add > 0 else max(fraction, allowed)


def is_saturated(d: Obj, rs: Obj | None) -> bool:
    """The new ReplicaSet alone does what the Deployment wants."""
    if rs is None:
        return False
    text = meta.annotations(rs).get(DESIRED, "")
    return size(rs) == size(d) and text == str(size(d)) and reported(rs, "availableReplicas") == size(d)


def set_annotations(d: Obj, rs: Obj, new_revision: int, existed: bool) -> dict[str, str]:
    """The annotations of the new ReplicaSet: the Deployment's, and its revision; an older one goes into the history."""
    result = dict(meta.annotations(rs))
    result |= {k: v for k, v in meta.annotations(d).items() if k not in NOT_COPIED}
    old = result.get(REVISION, "")
    if not old.isdigit() or int(old) < new_revision:
        result[REVISION] = str(new_revision)
        if existed and old:
            history = result.get(REVISION_HISTORY, "")
            result[REVISION_HISTORY] = f"{history},{old}" if history else old
    if not existed:
        result |= replica_annotations(d)
    return result


def replica_annotations(d: Obj) -> dict[str, str]:
    """What the ReplicaSet was scaled for: tells scaling from rolling out later."""
    return {DESIRED: str(size(d)), MAXIMUM: str(size(d) + fenceposts(d)[0])}


# --- status


def condition(type: str, status: str, reason: str, message: str, now: float) -> dict[str, Any]:
    return {"type": type, "status": status, "lastUpdateTime": rfc3339(now), "reason": reason, "message": message}


def with_condition(listed: list[dict[str, Any]], new: dict[str, Any], now: float) -> list[dict[str, Any]]:
    """Unless nothing but the time would change: then the old one stays."""
    old = conditions.find(listed, new["type"])
    if old is not None and (old.get("status"), old.get("reason")) == (new["status"], new["reason"]):
        return listed
    return last(listed, new, now)


def last(listed: list[dict[str, Any]], new: dict[str, Any], now: float) -> list[dict[str, Any]]:
    """With `new` behind the others: what changed last stands last, as upstream lists them."""
    merged = conditions.set(listed, new, now)
    return [*conditions.remove(merged, new["type"]), *(c for c in merged if c.get("type") == new["type"])]


def compute_status(d: Obj, sets: list[Obj], new: Obj | None, now: float) -> dict[str, Any]:
    """The sums over all ReplicaSets, and the condition Available. Upstream: calculateStatus."""
    old = d.get("status") or {}
    available = total(sets, "availableReplicas")
    status: dict[str, Any] = {
        "observedGeneration": meta.generation(d),
        "replicas": total(sets, "replicas"),
        "updatedReplicas": reported(new, "replicas") if new is not None else 0,
        "readyReplicas": total(sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, total(sets) - available),
        "terminatingReplicas": total(sets, "terminatingReplicas"),
        "collisionCount": old.get("collisionCount"),
        "conditions": list(old.get("conditions") or []),
    }
    if available >= size(d) - fenceposts(d)[1]:
        new_condition = condition(
            "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", now
        )
    else:
        new_condition = condition(
            "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", now
        )
    status["conditions"] = with_condition(status["conditions"], new_condition, now)
    return status


def is_complete(d: Obj, status: dict[str, Any]) -> bool:
    """All replicas are of the newest template and available, and the status is about this generation."""
    return bool(
        status["updatedReplicas"] == size(d)
        and status["replicas"] == size(d)
        and status["availableReplicas"] == size(d)
        and status["observedGeneration"] >= meta.generation(d)
    )


def is_progressing(d: Obj, status: dict[str, Any]) -> bool:
    """Something has moved since the last status: what `progressDeadlineSeconds` waits for."""
    old = d.get("status") or {}
    old_olds = (old.get("replicas") or 0) - (old.get("updatedReplicas") or 0)
    return bool(
        status["updatedReplicas"] > (old.get("updatedReplicas") or 0)
        or status["replicas"] - status["updatedReplicas"] < old_olds
        or status["readyReplicas"] > (old.get("readyReplicas") or 0)
        or status["availableReplicas"] > (old.get("availableReplicas") or 0)
    )


def has_deadline(d: Obj) -> bool:
    seconds = d["spec"].get("progressDeadlineSeconds")
    return seconds is not None and seconds != NO_DEADLINE


def seconds_to_deadline(d: Obj, status: dict[str, Any], now: float) -> float | None:
    """Until the rollout counts as stuck; None when it cannot be, or is counted so already."""
    progressing = conditions.find(status["conditions"], "Progressing")
    if progressing is None or progressing["reason"] == "NewReplicaSetAvailable" or not has_deadline(d):
        return None
    if progressing["reason"] == "ProgressDeadlineExceeded":
        return None
    since = parse_rfc3339(progressing["lastUpdateTime"])
    return since + float(d["spec"]["progressDeadlineSeconds"]) - now


def with_progress(d: Obj, status: dict[str, Any], sets: list[Obj], new: Obj | None, now: float) -> dict[str, Any]:
    """`status` with its Progressing and ReplicaFailure conditions. Upstream: `syncRolloutStatus`."""
    listed = status["conditions"]
    current = conditions.find(listed, "Progressing")
    done_before = current is not None and current["reason"] == "NewReplicaSetAvailable"
    what = f'ReplicaSet "{meta.name(new)}"' if new is not None else f'Deployment "{meta.name(d)}"'
    if has_deadline(d) and not (done_before and status["replicas"] == status["updatedReplicas"]):
        if is_complete(d, status):
            text = f"{what} has successfully progressed."
            listed = with_condition(listed, condition("Progressing", "True", "NewReplicaSetAvailable", text, now), now)
        elif is_progressing(d, status):
            made = condition("Progressing", "True", "ReplicaSetUpdated", f"{what} is progressing.", now)
            if current is not None and current["status"] == "True":
                made["lastTransitionTime"] = current["lastTransitionTime"]
            listed = last(listed, made, now)
        elif (left := seconds_to_deadline(d, status, now)) is not None and left <= 0:
            text = f"{what} has timed out progressing."
            made = condition("Progressing", "False", "ProgressDeadlineExceeded", text, now)
            listed = with_condition(listed, made, now)
    failures = [f for rs in ([new] if new else []) + sets if (f := conditions.get(rs, "ReplicaFailure"))]
    if failures:
        first = failures[0]
        made = condition("ReplicaFailure", first["status"], first["reason"], first["message"], now)
        listed = with_condition(listed, made, now)
    else:
        listed = conditions.remove(listed, "ReplicaFailure")
    return {**status, "conditions": listed}


def omit_empty(status: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in status.items() if v or (k == "terminatingReplicas" and v is not None)}
