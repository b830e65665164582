"""Subresources: a second door to an object, with rights of its own.

    status                 the same object, but only its status changes
    scale                  the number of replicas of any workload, in one form (autoscaling/v1 Scale): scale.py
    binding                the scheduler's word: this pod goes to that node
    eviction               a deletion that a PodDisruptionBudget may refuse (429)
    approval, finalize, ephemeralcontainers, resize    a part of the object each

Upstream: pkg/registry/core/pod/storage/{storage,eviction}.go, pkg/registry/apps/*/storage/storage.go.
"""

from __future__ import annotations

from dataclasses import replace

from workshop.api import conditions, errors, labels
from workshop.api.meta import Obj, copy
from workshop.api.resources import Resource, resource
from workshop.apiserver.cacher import Cacher
from workshop.apiserver.interfaces import AdmissionRequest
from workshop.apiserver.registry import preconditions
from workshop.apiserver.registry.options import DeleteOptions, WriteOptions, options_of, write_options
from workshop.apiserver.registry.reader import Selection, served_obj
from workshop.apiserver.server.http import Request, Response, json_response
from workshop.clock import rfc3339

from .resources import Resources, read_body
from .scale import Scales

WHOLE_OBJECT = ("status", "approval", "finalize", "ephemeralcontainers", "resize")
BUDGETS = resource("poddisruptionbudgets.policy")
PODS = resource("pods")
MAX_DISRUPTED = 2000


class Subresources:
    """What is served below an object's name, but for what a kubelet answers."""

    def __init__(self, resources: Resources, cacher: Cacher) -> None:
        self._resources, self._cacher = resources, cacher
        self._scales = Scales(resources)

    async def handle(self, request: Request, res: Resource) -> Response:
        name, verb = request.info.subresource, request.info.verb
        sub = res.subresource(name)
        if sub is None:
            raise errors.no_such_path()
        if verb not in sub.verbs:
            raise errors.method_not_supported(res, verb)
        if name in WHOLE_OBJECT:
            match verb:
                case "get":
                    return await self._resources.get(request, res)
                case "update":
                    return await self._resources.update(request, res, name)
                case _:
                    return await self._resources.patch(request, res, name)
        match name:
            case "scale":
                return await self._scales.handle(request, res)
            case "binding":
                return await self.bind(request, res)
            case "eviction":
                return await self._evict(request, res)
        raise errors.method_not_supported(res, verb)

    # --- binding

    async def bind(self, request: Request, res: Resource) -> Response:
        """POST pods/NAME/binding, or a Binding to the namespace's `bindings`."""
        options, info = write_options(request), request.info
        binding, _ = read_body(await request.body(), request.header("content-type"), "v1", "Binding", "Ignore")
        if info.name:
            _same_object(binding, request, "Binding")
        metadata, target = binding.get("metadata") or {}, binding.get("target") or {}
        name = info.name or metadata.get("name", "")
        if target.get("kind") not in (None, "", "Node"):
            why = f'Unsupported value: "{target["kind"]}": supported values: "Node", "<empty>"'
            raise errors.failure(500, "", f"target.kind: {why}")  # upstream forgets to make a Status of these two
        if not target.get("name"):
            raise errors.failure(500, "", "target.name: Required value")
        now = self._resources.clock.now()

        async def change(pod: Obj | None) -> Obj:
            if pod is None:
                raise errors.not_found(PODS, name)
            version, wanted = pod["metadata"]["resourceVersion"], metadata.get("resourceVersion")
            if wanted and wanted != version:
                raise preconditions.failed(PODS, pod, "ResourceVersion", wanted, version, options.dry_run)
            return bound(pod, binding, now)

        await self._resources.writer.update(
            PODS, info.namespace, name, change, options, "binding", applying=True, uid=metadata.get("uid") or None
        )
        return json_response(
            {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201
        )

    # --- eviction

    async def _evict(self, request: Request, res: Resource) -> Response:
        info = request.info
        eviction, _ = read_body(await request.body(), request.header("content-type"), "policy/v1", "Eviction", "Ignore")
        _same_object(eviction, request, "Eviction")
        options = eviction.get("deleteOptions") or {}
        if options.get("ignoreStoreReadErrorWithClusterBreakingPotential"):
            why = "Invalid value: true: can not be set for pod eviction, try after removing the option"
            at = "deleteOptions.ignoreStoreReadErrorWithClusterBreakingPotential"
            raise errors.invalid("Eviction.policy", info.name, [errors.cause("FieldValueInvalid", why, at)])
        dry, inside = request.query.get("dryRun") or [], options.get("dryRun") or []
        if dry and inside and dry != inside:  # upstream makes no Status of it
            told = " and ".join(f"[{' '.join(each)}]" for each in (dry, inside))
            raise errors.failure(500, "", f"Non-matching dry-run options in request and content: {told}")
        delete = options_of({**options, "dryRun": inside or dry})
        pod = served_obj(res, await self._resources.reader.get(res, info.namespace, info.name))
        admission = AdmissionRequest(
            "CREATE", res, "eviction", info.namespace, info.name, eviction, None, request.user, delete.dry_run
        )
        await self._resources.writer.admit(admission)
        if _budget_matters(pod):
            await self._spend(pod, replace(write_options(request), dry_run=delete.dry_run))
        if not delete.dry_run:
            await self._tell_why(pod, delete, write_options(request))
        await self._resources.deleter.delete(res, info.namespace, info.name, delete, request.user)
        return json_response(
            {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201
        )

    async def _tell_why(self, pod: Obj, delete: DeleteOptions, options: WriteOptions) -> None:
        """The pod's status says why it ends, before it ends. Raises ApiError 404 and 409."""
        now, metadata = self._resources.clock.now(), pod["metadata"]
        why = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
               "message": "Eviction API: evicting"}  # fmt: skip

        async def told(old: Obj | None) -> Obj:
            if old is None:
                raise errors.not_found(PODS, metadata["name"])
            status = old.get("status", {})
            return {**old, "status": {**status, "conditions": conditions.set(status.get("conditions") or [], why, now)}}

        await self._resources.writer.update(
            PODS, metadata["namespace"], metadata["name"], told, options, "status", uid=delete.uid
        )

    async def _spend(self, pod: Obj, options: WriteOptions) -> None:
        """Take one disruption off the budget that covers the pod. Raises ApiError 429 and 500."""
        metadata = pod["metadata"]
        await self._cacher.consistent()
        shelf = self._cacher.shelf(BUDGETS.storage_key())
        budgets = [s.obj for s in shelf.under(Selection(BUDGETS, metadata["namespace"]).prefix)]
        covering = [
            b for b in budgets
            if (selector := b["spec"].get("selector")) is not None
            and labels.from_selector(selector).matches(metadata.get("labels") or {})
        ]  # fmt: skip
        if len(covering) > 1:
            raise errors.internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            )
        if not covering:
            return
        budget = covering[0]
        healthy = conditions.get(pod, "Ready")
        unhealthy_may_go = budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow"
        if (healthy is None or healthy["status"] != "True") and (unhealthy_may_go or _has_enough(budget)):
            return
        name = metadata["name"]

        async def spent(old: Obj | None) -> Obj:
            if old is None:
                raise errors.not_found(BUDGETS, budget["metadata"]["name"])
            return one_less(old, name, self._resources.clock.now())

        await self._resources.writer.update(
            BUDGETS, metadata["namespace"], budget["metadata"]["name"], spent, options, "status"
        )


def bound(pod: Obj, binding: Obj, now: float) -> Obj:
    """The pod on its node. Raises ApiError 409 if it is on one already, is going away, or is held by a gate."""
    metadata, spec, node = pod["metadata"], pod["spec"], binding["target"]["name"]
    if "deletionTimestamp" in metadata:
        raise errors.conflict(
            "pods/binding", metadata["name"], f"pod {metadata['name']} is being deleted, cannot be assigned to a host"
        )
    if spec.get("nodeName"):
        raise errors.conflict(
            "pods/binding", metadata["name"], f'pod {metadata["name"]} is already assigned to node "{spec["nodeName"]}"'
        )
    if spec.get("schedulingGates"):
        raise errors.conflict(PODS, metadata["name"], f"pod {metadata['name']} has non-empty .spec.schedulingGates")
    new = copy(pod)
    new["spec"]["nodeName"] = node
    if extra := (binding.get("metadata") or {}).get("annotations"):
        new["metadata"].setdefault("annotations", {}).update(extra)
    status = new.setdefault("status", {})
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": rfc3339(now)}
    status["conditions"] = [c for c in status.get("conditions", ()) if c["type"] != "PodScheduled"] + [scheduled]
    return new


def _budget_matters(pod: Obj) -> bool:
    """A pod that has ended, is not yet running or is going anyway needs nobody's leave."""
    phase = pod.get("status", {}).get("phase")
    return phase not in ("Succeeded", "Failed", "Pending") and "deletionTimestamp" not in pod["metadata"]


def _has_enough(budget: Obj) -> bool:
    status = budget.get("status", {})
    return bool(
        status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) and status.get("desiredHealthy", 0) > 0
    )


def one_less(budget: Obj, pod: str, now: float) -> Obj:
    """The budget after one disruption. Raises ApiError 403 and 429 in upstream's words (`checkAndDecrement`)."""
    metadata, status = budget["metadata"], budget.get("status", {})
    name, allowed = metadata["name"], status.get("disruptionsAllowed", 0)
    refused = "Cannot evict pod as it would violate the pod's disruption budget."
    if status.get("observedGeneration", 0) < metadata.get("generation", 0):
        told = f"The disruption budget {name} is still being processed by the server."
        raise errors.too_many_requests(refused, 10, [errors.cause("DisruptionBudget", told)])
    if allowed < 0:
        raise errors.forbidden("poddisruptionbudget.policy", name, "pdb disruptions allowed is negative")
    if len(status.get("disruptedPods") or {}) > MAX_DISRUPTED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise errors.forbidden("poddisruptionbudget.policy", name, why)
    if allowed == 0:
        raise errors.too_many_requests(refused, 0, [errors.cause("DisruptionBudget", _why_not(name, status))])
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


def _same_object(posted: Obj, request: Request, kind: str) -> None:
    """What is posted about an object names that object. Raises ApiError 400."""
    metadata, info = posted.get("metadata") or {}, request.info
    if metadata.get("namespace", info.namespace) not in ("", info.namespace):
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if metadata.get("name", "") != info.name:
        raise errors.bad_request(f"name in URL does not match name in {kind} object")
