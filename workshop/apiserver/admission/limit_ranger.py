"""LimitRanger: a namespace's LimitRanges give containers default requests and limits, and bound them.

Upstream: `plugin/pkg/admission/limitranger/admission.go`.
"""

from __future__ import annotations

from collections.abc import Iterator

from workshop.api import meta
from workshop.api.meta import Obj, deletion_timestamp
from workshop.api.quantity import Quantity, parse
from workshop.api.resources import resource
from workshop.api.scheduling import pod_resources
from workshop.api.scheduling.pod_resources import Amounts
from workshop.apiserver.admission.plugin import Plugin, forbidden, section
from workshop.apiserver.authorization.rbac import aggregate
from workshop.apiserver.interfaces import AdmissionRequest

ANNOTATION = "kubernetes.io/limit-ranger"


class LimitRanger(Plugin):
    name = "LimitRanger"
    resources = ("pods", "persistentvolumeclaims")
    subresources = ("", "resize")

    def sees(self, request: AdmissionRequest) -> bool:
        # a pod's containers change by its `resize` only
        pod_update = request.resource.plural == "pods" and request.operation == "UPDATE" and not request.subresource
        return super().sees(request) and not pod_update

    async def _ranges(self, request: AdmissionRequest) -> list[Obj]:
        if request.old_object is not None and deletion_timestamp(request.old_object) is not None:
            return []
        return await self.context.list(resource("limitranges"), request.namespace)

    async def admit(self, request: AdmissionRequest) -> None:
        if request.resource.plural == "pods":
            for limit_range in await self._ranges(request):
                set_defaults(request.object, limit_range)

    async def validate(self, request: AdmissionRequest) -> None:
        judge = pod_violations if request.resource.plural == "pods" else claim_violations
        for limit_range in await self._ranges(request):
            violations = list(judge(request.object, limit_range))
            if violations:
                raise forbidden(request, aggregate(violations))


def set_defaults(pod: Obj, limit_range: Obj) -> None:
    """Give containers the requests and limits that they lack, and note it in an annotation of the pod."""
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    for limit in limit_range["spec"].get("limits") or ():
        if limit.get("type") == "Container":
            requests |= limit.get("defaultRequest") or {}
            limits |= limit.get("default") or {}
    notes: list[str] = []
    for field, label in (("containers", "container"), ("initContainers", "init container")):
        for container in (pod.get("spec") or {}).get(field) or ():
            resources = section(container, "resources")
            for side, word, defaults in (("requests", "request", requests), ("limits", "limit", limits)):
                missing = {key: value for key, value in defaults.items() if key not in (resources.get(side) or {})}
                if missing:
                    resources[side] = {**(resources.get(side) or {}), **missing}
                    notes.append(f"{', '.join(sorted(missing))} {word} for {label} {container.get('name', '')}")
    if notes:
        text = "LimitRanger plugin set: " + "; ".join(notes)
        pod["metadata"]["annotations"] = {**meta.annotations(pod), ANNOTATION: text}


def pod_violations(pod: Obj, limit_range: Obj) -> Iterator[str]:
    """What a pod's containers, or the pod as a whole, break."""
    spec = pod.get("spec") or {}
    for limit in limit_range["spec"].get("limits") or ():
        if limit.get("type") == "Container":
            for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
                resources = container.get("resources")
                requested = pod_resources.amounts(resources, "requests")
                yield from _violations(limit, requested, pod_resources.amounts(resources, "limits"))
        elif limit.get("type") == "Pod":
            yield from _violations(limit, pod_resources.of_pod(pod, "requests"), pod_resources.of_pod(pod, "limits"))


def claim_violations(claim: Obj, limit_range: Obj) -> Iterator[str]:
    """What a claim's request breaks."""
    requests = pod_resources.amounts((claim.get("spec") or {}).get("resources"), "requests")
    for limit in limit_range["spec"].get("limits") or ():
        if limit.get("type") != "PersistentVolumeClaim":
            continue
        for key, bound in _bounds(limit, "min"):
            yield from _minimum("PersistentVolumeClaim", key, bound, requests, {})
        for key, bound in _bounds(limit, "max"):
            head = f"maximum {key} usage per PersistentVolumeClaim is {bound}"
            if key not in requests:
                yield f"{head}.  No request is specified"
            elif requests[key] > bound:
                yield f"{head}, but request is {requests[key]}"


def _bounds(limit: Obj, field: str) -> Iterator[tuple[str, Quantity]]:
    return ((key, parse(value)) for key, value in sorted((limit.get(field) or {}).items()))


def _violations(limit: Obj, requests: Amounts, limits: Amounts) -> Iterator[str]:
    kind = limit["type"]
    for key, bound in _bounds(limit, "min"):
        yield from _minimum(kind, key, bound, requests, limits)
    for key, bound in _bounds(limit, "max"):
        yield from _maximum(kind, key, bound, requests, limits)
    for key, bound in _bounds(limit, "maxLimitRequestRatio"):
        yield from _ratio(kind, key, bound, requests, limits)


def _minimum(kind: str, key: str, bound: Quantity, requests: Amounts, limits: Amounts) -> Iterator[str]:
    head = f"minimum {key} usage per {kind} is {bound}"
    if key not in requests:
        yield f"{head}.  No request is specified"
    elif requests[key] < bound:
        yield f"{head}, but request is {requests[key]}"
    elif key in limits and limits[key] < bound:
        yield f"{head}, but limit is {limits[key]}"


def _maximum(kind: str, key: str, bound: Quantity, requests: Amounts, limits: Amounts) -> Iterator[str]:
    head = f"maximum {key} usage per {kind} is {bound}"
    if key not in limits:
        yield f"{head}.  No limit is specified"
    elif limits[key] > bound:
        yield f"{head}, but limit is {limits[key]}"
    elif key in requests and requests[key] > bound:
        yield f"{head}, but request is {requests[key]}"


def _ratio(kind: str, key: str, bound: Quantity, requests: Amounts, limits: Amounts) -> Iterator[str]:
    head = f"{key} max limit to request ratio per {kind} is {bound}"
    if key not in requests or not requests[key]:
        yield f"{head}, but no request is specified or request is 0"
    elif key not in limits or not limits[key]:
        yield f"{head}, but no limit is specified or limit is 0"
    else:
        ratio = limits[key].milli_value() / requests[key].milli_value()
        if ratio * 1000 > bound.milli_value():
            yield f"{head}, but provided ratio is {ratio:f}"
