"""pods/NAME/eviction: a deletion that a PodDisruptionBudget may refuse (429).

    a pod that has ended, is not yet running, or is going anyway     → needs nobody's leave
    under two budgets                                                → 500
    not ready, and the budget lets such pods go                      → only if it still is so: 429 else
    under one budget                                                 → one disruption less, or 429

Upstream: pkg/registry/core/pod/storage/eviction.go.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from workshop.api import conditions, errors, labels
from workshop.api.meta import Obj
from workshop.api.resources import resource
from workshop.apiserver.cacher import Cacher
from workshop.apiserver.interfaces import AdmissionRequest
from workshop.apiserver.registry.deletion import check_preconditions
from workshop.apiserver.registry.options import DeleteOptions, WriteOptions, options_of, write_options
from workshop.apiserver.registry.reader import Selection, served_obj
from workshop.apiserver.server.http import Request, Response, json_response
from workshop.clock import rfc3339

from . import posted
from .resources import Resources

BUDGETS = resource("poddisruptionbudgets.policy")
PODS = resource("pods")
MAX_DISRUPTED = 2000
TRIES = 20
SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
SERVER = "kube-apiserver"
"""Who writes a budget's status here: the server itself."""


@dataclass(frozen=True)
class Evictions:
    resources: Resources
    cacher: Cacher

    async def create(self, request: Request) -> Response:
        """Raises ApiError 400, 403, 404, 409, 422, 429 and 500."""
        info, writing = request.info, write_options(request)
        eviction = await posted.read(request, "policy/v1", "Eviction", writing)
        posted.same_namespace(eviction, info.namespace)
        admission = AdmissionRequest(
            "CREATE", PODS, "eviction", info.namespace, info.name, eviction, None, request.user, writing.dry_run
        )
        await self.resources.writer.admission.admit(admission)
        posted.same_name(eviction, info.name, "Eviction")
        delete = _deletion(eviction, info.name, request.query.get("dryRun") or [])
        await self.resources.writer.admission.validate(admission)
        writing = replace(writing, dry_run=delete.dry_run)
        for _ in range(TRIES):
            pod = served_obj(PODS, await self.resources.reader.get(PODS, info.namespace, info.name))
            try:
                await self._evict(pod, delete, writing)
                return json_response(posted.SUCCESS, 201)
            except errors.ApiError as error:
                if not errors.is_conflict(error) or delete.version is not None or _budget_matters(pod):
                    raise
                conflict = error
        raise conflict

    async def _evict(self, pod: Obj, delete: DeleteOptions, writing: WriteOptions) -> None:
        """Only as the pod was looked at, where that was what let it go. Raises ApiError 404, 409, 429, 500."""
        as_it_was = replace(delete, version=delete.version or pod["metadata"]["resourceVersion"])
        if not _budget_matters(pod):
            await self._delete(pod, as_it_was if _may_become_healthy(pod) else delete, writing)
        elif (budget := await self._leave(pod, writing)) is None:
            await self._delete(pod, delete, writing)
        else:
            try:
                await self._delete(pod, as_it_was, writing)
            except errors.ApiError as error:
                if errors.is_conflict(error) and delete.version is None:
                    raise _being_processed(budget) from error
                raise

    async def _delete(self, pod: Obj, delete: DeleteOptions, options: WriteOptions) -> None:
        """The pod's status says why it ends, before it ends. Raises ApiError 404 and 409."""
        now, metadata = self.resources.clock.now(), pod["metadata"]
        why = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
               "message": "Eviction API: evicting"}  # fmt: skip

        async def told(old: Obj | None) -> Obj:
            if old is None:
                raise errors.not_found(PODS, metadata["name"])
            check_preconditions("Pod", metadata["name"], old["metadata"], delete)
            status = old.get("status", {})
            return {**old, "status": {**status, "conditions": conditions.set(status.get("conditions") or [], why, now)}}

        if not delete.dry_run:
            written = await self.resources.writer.update(
                PODS, metadata["namespace"], metadata["name"], told, options, "status", applying=True
            )
            if delete.version is not None:
                delete = replace(delete, version=written.obj["metadata"]["resourceVersion"])
        await self.resources.deleter.delete(PODS, metadata["namespace"], metadata["name"], delete, options.user)

    async def _leave(self, pod: Obj, options: WriteOptions) -> Obj | None:
        """Take one disruption off the budget that covers the pod. The budget, where it lets unhealthy pods go without:
        then the pod must not have become healthy meanwhile. Raises ApiError 429 and 500."""
        metadata = pod["metadata"]
        await self.cacher.consistent()
        shelf = self.cacher.shelf(BUDGETS.storage_key())
        budgets = [s.obj for s in shelf.under(Selection(BUDGETS, metadata["namespace"]).prefix)]
        covering = [each for each in budgets if _covers(each, metadata.get("labels") or {})]
        if len(covering) > 1:
            raise errors.failure(500, "", SEVERAL)  # upstream makes this Status by hand, without a reason
        if not covering:
            return None
        budget = covering[0]
        healthy = conditions.get(pod, "Ready")
        always = budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow"
        if (healthy is None or healthy["status"] != "True") and (always or _has_enough(budget)):
            return budget
        name = metadata["name"]

        async def spent(old: Obj | None) -> Obj:
            if old is None:
                raise errors.not_found(BUDGETS, budget["metadata"]["name"])
            return one_less(old, name, self.resources.clock.now())

        await self.resources.writer.update(
            BUDGETS,
            metadata["namespace"],
            budget["metadata"]["name"],
            spent,
            replace(options, manager=SERVER),
            "status",
        )
        return None


def _deletion(eviction: Obj, name: str, dry: list[str]) -> DeleteOptions:
    """The options of the deletion that an Eviction asks for. Raises ApiError 422, and a 500 that is no Status."""
    options = eviction.get("deleteOptions") or {}
    if options.get("ignoreStoreReadErrorWithClusterBreakingPotential"):
        why = "Invalid value: true: can not be set for pod eviction, try after removing the option"
        at = "deleteOptions.ignoreStoreReadErrorWithClusterBreakingPotential"
        raise errors.invalid("Eviction.policy", name, [errors.cause("FieldValueInvalid", why, at)])
    inside = options.get("dryRun") or []
    if dry and inside and dry != inside:
        told = " and ".join(f"[{' '.join(each)}]" for each in (dry, inside))
        raise errors.failure(500, "", f"Non-matching dry-run options in request and content: {told}")
    return options_of({**options, "dryRun": inside or dry})


def _covers(budget: Obj, of_pod: Obj) -> bool:
    selector = budget["spec"].get("selector")
    return selector is not None and labels.from_selector(selector).matches(of_pod)


def _budget_matters(pod: Obj) -> bool:
    phase = pod.get("status", {}).get("phase")
    return phase not in ("Succeeded", "Failed", "Pending") and "deletionTimestamp" not in pod["metadata"]


def _may_become_healthy(pod: Obj) -> bool:
    """It needs nobody's leave now, but would if it ran a moment later."""
    phase = pod.get("status", {}).get("phase")
    return phase not in ("Succeeded", "Failed") and "deletionTimestamp" not in pod["metadata"]


def _has_enough(budget: Obj) -> bool:
    status = budget.get("status", {})
    return bool(
        status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) and status.get("desiredHealthy", 0) > 0
    )


def _being_processed(budget: Obj) -> errors.ApiError:
    told = f"The disruption budget {budget['metadata']['name']} is still being processed by the server."
    return errors.too_many_requests(REFUSED, 10, [errors.cause("DisruptionBudget", told)])


def one_less(budget: Obj, pod: str, now: float) -> Obj:
    """The budget after one disruption. Raises ApiError 403 and 429 in upstream's words (`checkAndDecrement`)."""
    metadata, status = budget["metadata"], budget.get("status", {})
    name, allowed = metadata["name"], status.get("disruptionsAllowed", 0)
    if status.get("observedGeneration", 0) < metadata.get("generation", 0):
        raise _being_processed(budget)
    if allowed < 0:
        raise errors.forbidden("poddisruptionbudget.policy", name, "pdb disruptions allowed is negative")
    if len(status.get("disruptedPods") or {}) > MAX_DISRUPTED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise errors.forbidden("poddisruptionbudget.policy", name, why)
    if allowed == 0:
        raise errors.too_many_requests(REFUSED, 0, [errors.cause("DisruptionBudget", _why_not(name, status))])
    left = {**status, "disruptionsAllowed": allowed - 1}
    if allowed == 1:
        none = {"type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": ""}
        none["observedGeneration"] = status.get("observedGeneration", 0)
        left["conditions"] = conditions.set(status.get("conditions") or [], none, now)
    left["disruptedPods"] = {**(status.get("disruptedPods") or {}), pod: rfc3339(now)}
    return {**budget, "status": left}


def _why_not(name: str, status: Obj) -> str:
    needs, has = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
    condition = conditions.get({"status": status}, "DisruptionAllowed") or {}
    said = condition.get("message") if condition.get("status") == "False" else ""
    if said and condition.get("reason") == "SyncFailed":
        return f"The disruption budget {name} does not allow evicting pods currently because it failed sync: {said}"
    if has <= needs:
        return f"The disruption budget {name} needs {needs} healthy pods and has {has} currently"
    if said:
        return f"The disruption budget {name} does not allow evicting pods currently ({condition['reason']}): {said}"
    return f"The disruption budget {name} does not allow evicting pods currently"
