"""Subresources: a second door to an object, with rights of its own.

    status                 the same object, but only its status changes
    scale                  the number of replicas of any workload, in one form (autoscaling/v1 Scale)
    binding                the scheduler's word: this pod goes to that node
    eviction               a deletion that a PodDisruptionBudget may refuse (429)
    approval, finalize, ephemeralcontainers, resize    a part of the object each

Upstream: pkg/registry/core/pod/storage/{storage,eviction}.go, pkg/registry/apps/*/storage/storage.go.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from workshop.api import conditions, errors, labels, schema
from workshop.api.meta import Obj, copy
from workshop.api.patch import merge
from workshop.api.patch import request as patch_request
from workshop.api.patch.request import Patch
from workshop.api.resources import Resource, resource
from workshop.apiserver.cacher import Cacher
from workshop.apiserver.extensions import scale as custom_scale
from workshop.apiserver.interfaces import AdmissionRequest
from workshop.apiserver.registry.options import DeleteOptions, WriteOptions, write_options
from workshop.apiserver.registry.reader import Selection, served_obj
from workshop.apiserver.server.http import Request, Response, json_response
from workshop.apiserver.server.negotiate import accepted
from workshop.clock import rfc3339

from . import forms, patches
from .resources import Resources, read_body

WHOLE_OBJECT = ("status", "approval", "finalize", "ephemeralcontainers", "resize")
BUDGETS = resource("poddisruptionbudgets.policy")
PODS = resource("pods")


class Subresources:
    """What is served below an object's name, but for what a kubelet answers."""

    def __init__(self, resources: Resources, cacher: Cacher) -> None:
        self._resources, self._cacher = resources, cacher

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
                return await self._scale(request, res)
            case "binding":
                return await self.bind(request, res)
            case "eviction":
                return await self._evict(request, res)
        raise errors.method_not_supported(res, verb)

    # --- scale

    async def _scale(self, request: Request, res: Resource) -> Response:
        info, form = request.info, accepted(request.header("accept"))
        kind = res.definition
        shown = scale_of if kind is None else partial(custom_scale.scale_of, kind)
        if info.verb == "get":
            stored = await self._resources.reader.get(res, info.namespace, info.name, request.option("resourceVersion"))
            if kind is not None:
                custom_scale.check(kind, stored.obj)
            return forms.one(request, res, shown(served_obj(res, stored)), form, self._resources.clock.now())
        options = write_options(request)
        body, header = await request.body(), request.header("content-type")
        if info.verb == "update":
            given, warnings = read_body(body, header, "autoscaling/v1", "Scale", options.field_validation)
            request.warnings.extend(warnings)
            name = given.get("metadata", {}).get("name")
            if not name:
                raise errors.bad_request(errors.unnamed(info.name))
            if name != info.name:
                raise errors.bad_request(
                    f"the name of the object ({name}) does not match the name on the URL ({info.name})"
                )

            def scaled(current: Obj) -> Obj:
                return given
        else:
            patch = patch_request.read(header, body, custom=res.custom, field_validation=options.field_validation)

            def scaled(current: Obj) -> Obj:
                return _patched_scale(patch, current, options)

        async def change(old: Obj | None) -> Obj:
            if old is None:
                raise errors.not_found(res, info.name)
            new = scaled(shown(old))
            replicas = new.get("spec", {}).get("replicas", 0)
            if replicas < 0:
                text = f"Invalid value: {replicas}: must be greater than or equal to 0"
                raise errors.invalid(
                    "Scale.autoscaling", info.name, [errors.cause("FieldValueInvalid", text, "spec.replicas")]
                )
            version = new.get("metadata", {}).get("resourceVersion")
            if version and version != old["metadata"]["resourceVersion"]:
                raise errors.conflict(res, info.name)
            if kind is not None:
                return custom_scale.scaled(kind, old, replicas)
            return {**old, "spec": {**old["spec"], "replicas": replicas}}

        written = await self._resources.writer.update(res, info.namespace, info.name, change, options, "scale")
        return forms.one(request, res, shown(written.obj), form, self._resources.clock.now())

    # --- binding

    async def bind(self, request: Request, res: Resource) -> Response:
        """POST pods/NAME/binding, or a Binding to the namespace's `bindings`."""
        options, info = write_options(request), request.info
        binding, _ = read_body(await request.body(), request.header("content-type"), "v1", "Binding", "Ignore")
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
        if (eviction.get("metadata") or {}).get("name", info.name) != info.name:
            raise errors.bad_request("name in URL does not match name in Eviction object")
        options = eviction.get("deleteOptions") or {}
        preconditions = options.get("preconditions") or {}
        delete = DeleteOptions(
            grace=options.get("gracePeriodSeconds"),
            uid=preconditions.get("uid"),
            version=preconditions.get("resourceVersion"),
            propagation=options.get("propagationPolicy"),
            dry_run=bool(options.get("dryRun") or request.query.get("dryRun")),
        )
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


def scale_of(obj: Obj) -> Obj:
    """A workload as a Scale. A ReplicationController's selector is a plain map, the others' is a LabelSelector."""
    metadata, spec, status = obj["metadata"], obj.get("spec", {}), obj.get("status", {})
    selector: Any = spec.get("selector")
    if obj["kind"] == "ReplicationController":
        selector = {"matchLabels": selector or {}}
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {field: metadata[field] for field in kept if field in metadata},
        "spec": {"replicas": spec["replicas"]} if spec.get("replicas") else {},
        "status": {"replicas": status.get("replicas", 0), "selector": str(labels.from_selector(selector))},
    }


def _patched_scale(patch: Patch, current: Obj, options: WriteOptions) -> Obj:
    if patch.kind == "apply":  # of a Scale only the replicas can be meant
        new = merge.apply(current, patch.body)
    else:
        new = patch_request.change(patch, current, schema.for_kind("autoscaling/v1", "Scale"))
    return patches.read(patch, new, "autoscaling/v1", "Scale", options)


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
    """The budget after one disruption. Raises ApiError 429 in upstream's words."""
    metadata, status = budget["metadata"], budget.get("status", {})
    name, allowed = metadata["name"], status.get("disruptionsAllowed", 0)
    if status.get("observedGeneration", 0) < metadata.get("generation", 0):
        raise errors.too_many_requests(
            "Cannot evict pod as it would violate the pod's disruption budget.", 10,
            [errors.cause("DisruptionBudget", f"The disruption budget {name} is still being processed by the server.")],
        )  # fmt: skip
    if allowed <= 0:
        text = (
            f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} healthy pods and has "
            f"{status.get('currentHealthy', 0)} currently"
        )
        raise errors.too_many_requests(
            "Cannot evict pod as it would violate the pod's disruption budget.", 0,
            [errors.cause("DisruptionBudget", text)],
        )  # fmt: skip
    disrupted = {**(status.get("disruptedPods") or {}), pod: rfc3339(now)}
    return {**budget, "status": {**status, "disruptionsAllowed": allowed - 1, "disruptedPods": disrupted}}
