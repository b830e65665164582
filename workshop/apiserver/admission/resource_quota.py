"""ResourceQuota: what a namespace uses stays below what it may.

A write is charged before it is stored: `status.used` of each quota concerned is raised under the condition that
nobody else raised it meanwhile. A charge that is not used after all (the write failed later) or has become free (the
object was deleted) is found when a quota seems exhausted, or has not been counted yet: then all objects are counted
anew. Charges of the last moments count too, as long as their objects have not shown up.

Upstream: `staging/src/k8s.io/apiserver/pkg/admission/plugin/resourcequota`; there a controller counts anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from workshop.api import errors
from workshop.api.meta import Obj, name
from workshop.api.quantity import of, parse
from workshop.api.resources import resource
from workshop.api.scheduling.pod_resources import Amounts, add
from workshop.apiserver.admission.plugin import Plugin, forbidden
from workshop.apiserver.admission.quota_usage import in_scope, kinds_of, unnamed, usage
from workshop.apiserver.interfaces import AdmissionRequest, Context

#: So long a charge counts beside the objects that are there (seconds).
UNDER_WAY = 5.0
ATTEMPTS = 10


@dataclass(frozen=True)
class Charge:
    """A write under way: what it adds to its namespace, until its object shows up."""

    at: float
    namespace: str
    kind: str
    name: str
    amounts: Amounts


class ResourceQuota(Plugin):
    name = "ResourceQuota"
    subresources = ("", "resize")

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._charges: list[Charge] = []

    def sees(self, request: AdmissionRequest) -> bool:
        if not request.namespace or not super().sees(request):
            return False
        # a pod's amounts change by its `resize` only
        return request.operation == "CREATE" or request.resource.plural != "pods" or bool(request.subresource)

    async def validate(self, request: AdmissionRequest) -> None:
        quotas = await self.context.list(resource("resourcequotas"), request.namespace)
        for quota in quotas:
            if in_scope(quota, request.resource, request.object):
                await self._charge(request, quota)

    async def _charge(self, request: AdmissionRequest, quota: Obj) -> None:
        now = self.context.clock.now()
        hard = {key: parse(value) for key, value in (quota.get("spec") or {}).get("hard", {}).items()}
        if request.resource.group_resource == "pods":
            refusal = unnamed(request.object, set(hard))
            if refusal:
                raise forbidden(request, f"failed quota: {name(quota)}: {refusal}")
        wanted = usage(request.resource, request.object, now)
        if request.old_object is not None and in_scope(quota, request.resource, request.old_object):
            before = usage(request.resource, request.old_object, now)
            wanted = {key: value - before[key] if key in before else value for key, value in wanted.items()}
        wanted = {key: value for key, value in wanted.items() if key in hard and value > of(0)}
        if wanted:
            await self._raise_used(request, quota, hard, wanted)

    async def _raise_used(self, request: AdmissionRequest, quota: Obj, hard: Amounts, wanted: Amounts) -> None:
        counted_anew = False
        for _ in range(ATTEMPTS):
            used = counted(quota)
            if used is None or (counted_anew is False and exceeded(wanted, used, hard)):
                used, counted_anew = await self._count(request.namespace, quota, hard), True
            over = exceeded(wanted, used, hard)
            if over:
                raise forbidden(request, refusal_text(name(quota), over, wanted, used, hard))
            if request.dry_run:
                return
            status = {"hard": quota["spec"]["hard"], "used": written(add(used, wanted))}
            if await self.context.update_status(resource("resourcequotas"), {**quota, "status": status}):
                self._remember(request, wanted)
                return
            fresh = await self.context.get_live(resource("resourcequotas"), name(quota), request.namespace)
            if fresh is None:
                return  # the quota is gone
            quota, counted_anew = fresh, False
        raise errors.conflict("resourcequotas", name(quota))

    def _remember(self, request: AdmissionRequest, wanted: Amounts) -> None:
        now = self.context.clock.now()
        self._charges = [c for c in self._charges if c.at > now - UNDER_WAY]
        own = request.name or str((request.object.get("metadata") or {}).get("name", ""))
        self._charges.append(Charge(now, request.namespace, request.resource.group_resource, own, wanted))

    async def _count(self, namespace: str, quota: Obj, hard: Amounts) -> Amounts:
        """What the namespace uses, by its objects and by the writes under way."""
        now = self.context.clock.now()
        total: Amounts = {key: of(0) for key in hard}
        seen: set[tuple[str, str]] = set()
        for kind in kinds_of(set(hard), self.context.served):
            for obj in await self.context.list(kind, namespace):
                seen.add((kind.group_resource, name(obj)))
                if in_scope(quota, kind, obj):
                    total = add(total, usage(kind, obj, now))
        for charge in self._charges:
            fresh = charge.at > now - UNDER_WAY and charge.namespace == namespace
            if fresh and (charge.kind, charge.name) not in seen:
                total = add(total, charge.amounts)
        return {key: total[key] for key in hard}


def counted(quota: Obj) -> Amounts | None:
    """`status.used`; None if it does not speak of all that the quota limits now."""
    status = quota.get("status") or {}
    hard = (quota.get("spec") or {}).get("hard") or {}
    used = status.get("used") or {}
    if not hard.keys() <= used.keys():
        return None
    return {key: parse(value) for key, value in used.items() if key in hard}


def exceeded(wanted: Amounts, used: Amounts, hard: Amounts) -> list[str]:
    """The names that `wanted` would bring above their limit."""
    return sorted(key for key, value in wanted.items() if used.get(key, of(0)) + value > hard[key])


def refusal_text(quota: str, over: list[str], wanted: Amounts, used: Amounts, hard: Amounts) -> str:
    """`exceeded quota: NAME, requested: pods=1, used: pods=2, limited: pods=2`."""

    def shown(amounts: Amounts) -> str:
        return ",".join(f"{key}={amounts.get(key, of(0))}" for key in over)

    return f"exceeded quota: {quota}, requested: {shown(wanted)}, used: {shown(used)}, limited: {shown(hard)}"


def written(amounts: Amounts) -> dict[str, str]:
    """As they stand in a status."""
    return {key: str(value) for key, value in sorted(amounts.items())}
