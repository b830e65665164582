"""pods/NAME/binding: the scheduler's word that this pod goes to that node; also by the old path, the namespace's own
`bindings`. Upstream: pkg/registry/core/pod/storage/storage.go (BindingREST)."""

from __future__ import annotations

from dataclasses import dataclass

from workshop.api import conditions, errors
from workshop.api.meta import Obj, copy
from workshop.api.resources import resource
from workshop.apiserver.interfaces import AdmissionRequest
from workshop.apiserver.registry import preconditions
from workshop.apiserver.registry.options import write_options
from workshop.apiserver.server.http import Request, Response, json_response
from workshop.clock import rfc3339

from . import posted
from .resources import Resources

PODS = resource("pods")
BINDING = "pods/binding"


@dataclass(frozen=True)
class Bindings:
    resources: Resources

    async def create(self, request: Request) -> Response:
        """Raises ApiError 400, 403, 404, 409, and the 500 of a binding that upstream makes no Status of."""
        options, info = write_options(request), request.info
        binding = await posted.read(request, "v1", "Binding", options)
        posted.same_namespace(binding, info.namespace)
        metadata = binding.get("metadata") or {}
        name = metadata.get("name", "")
        admission = AdmissionRequest(
            "CREATE", PODS, "binding", info.namespace, name, binding, None, request.user, options.dry_run
        )
        await self.resources.writer.admission.admit(admission)
        if info.name:
            posted.same_name(binding, info.name, "Binding")
        _check(binding)
        await self.resources.writer.admission.validate(admission)
        if not name:
            raise errors.bad_request("Name parameter required.")
        now = self.resources.clock.now()

        async def change(pod: Obj | None) -> Obj:
            if pod is None:
                raise errors.not_found(PODS, name)
            version, wanted = pod["metadata"]["resourceVersion"], metadata.get("resourceVersion")
            if wanted and wanted != version:
                raise preconditions.failed(PODS, pod, "ResourceVersion", wanted, version, options.dry_run)
            return bound(pod, binding, now)

        await self.resources.writer.update(
            PODS, info.namespace, name, change, options, "binding", applying=True, uid=metadata.get("uid") or None
        )
        return json_response(posted.SUCCESS, 201)


def _check(binding: Obj) -> None:
    """Upstream forgets to make a Status of what is wrong here."""
    target, wrong = binding.get("target") or {}, []
    if target.get("kind") not in (None, "", "Node"):
        kind = errors.quote(target["kind"])
        wrong.append(f'target.kind: Unsupported value: {kind}: supported values: "Node", "<empty>"')
    if not target.get("name"):
        wrong.append("target.name: Required value")
    if wrong:
        raise errors.failure(500, "", wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")


def bound(pod: Obj, binding: Obj, now: float) -> Obj:
    """The pod on its node. Raises ApiError 409 if it is on one already, is going away, or is held by a gate."""
    metadata, spec, node = pod["metadata"], pod["spec"], binding["target"]["name"]
    name, why = metadata["name"], ""
    if "deletionTimestamp" in metadata:
        why = f"pod {name} is being deleted, cannot be assigned to a host"
    elif spec.get("nodeName"):
        why = f"pod {name} is already assigned to node {errors.quote(spec['nodeName'])}"
    elif spec.get("schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
    if why:
        raise errors.conflict(BINDING, name, why)
    new, given = copy(pod), binding.get("metadata") or {}
    new["spec"]["nodeName"] = node
    for field in ("annotations", "labels"):
        if given.get(field):
            new["metadata"].setdefault(field, {}).update(given[field])
    status = new.setdefault("status", {})
    status.pop("nominatedNodeName", None)
    told = conditions.get(pod, "PodScheduled") or {}
    since = told.get("lastTransitionTime") if told.get("status") == "True" else None
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None,
                 "lastTransitionTime": since or rfc3339(now)}  # fmt: skip
    before = status.get("conditions") or []
    if told:
        status["conditions"] = [scheduled if each["type"] == "PodScheduled" else each for each in before]
    else:
        status["conditions"] = [*before, scheduled]
    return new
