"""Priority: a pod's priority class becomes the number that the scheduler reads.

Upstream: `plugin/pkg/admission/priority/admission.go`.
"""

from __future__ import annotations

from workshop.api.meta import Obj, name
from workshop.api.resources import resource
from workshop.apiserver.admission.plugin import Plugin, forbidden, section
from workshop.apiserver.interfaces import AdmissionRequest

_NEVER_SET = {"value": 0, "preemptionPolicy": "PreemptLowerPriority"}


class Priority(Plugin):
    name = "Priority"
    resources = ("pods", "priorityclasses.scheduling.k8s.io")

    async def admit(self, request: AdmissionRequest) -> None:
        if request.resource.plural != "pods":
            return
        spec = section(request.object, "spec")
        if request.operation == "UPDATE":
            old = (request.old_object or {}).get("spec") or {}
            for field in ("priority", "preemptionPolicy"):
                if spec.get(field) is None and old.get(field) is not None:
                    spec[field] = old[field]
            return
        chosen = await self._class(request, spec.get("priorityClassName", ""))
        value, policy = chosen["value"], chosen.get("preemptionPolicy")
        ending = "from the given PriorityClass name"
        if spec.get("priority") not in (None, value):
            why = f"the integer value of priority ({spec['priority']}) must not be provided in pod spec"
            raise forbidden(request, f"{why}; priority admission controller computed {value} {ending}")
        if policy and spec.get("preemptionPolicy") not in (None, policy):
            why = f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec"
            raise forbidden(request, f"{why}; priority admission controller computed {policy} {ending}")
        if not spec.get("priorityClassName") and chosen.get("metadata"):
            spec["priorityClassName"] = name(chosen)
        spec["priority"] = value
        if policy:
            spec["preemptionPolicy"] = policy

    async def _class(self, request: AdmissionRequest, wanted: str) -> Obj:
        if not wanted:
            return await self._default() or _NEVER_SET
        found = await self.context.get(resource("priorityclasses.scheduling.k8s.io"), wanted)
        if found is None:
            raise forbidden(request, f"no PriorityClass with name {wanted} was found")
        return found

    async def _default(self) -> Obj | None:
        """The class for pods without one; should there be two, the one of lowest priority."""
        classes = await self.context.list(resource("priorityclasses.scheduling.k8s.io"))
        return min((c for c in classes if c.get("globalDefault")), key=lambda c: int(c["value"]), default=None)

    async def validate(self, request: AdmissionRequest) -> None:
        if request.resource.plural != "priorityclasses" or not request.object.get("globalDefault"):
            return
        default = await self._default()
        if default is not None and (request.operation == "CREATE" or name(default) != name(request.object)):
            why = f"PriorityClass {name(default)} is already marked as default. Only one default can exist"
            raise forbidden(request, why)
