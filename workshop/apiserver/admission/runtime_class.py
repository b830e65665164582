"""RuntimeClass: the class says what running a pod costs beside its containers, and where it can run.

Upstream: `plugin/pkg/admission/runtimeclass/admission.go`.
"""

from __future__ import annotations

from workshop.api.meta import Obj
from workshop.api.resources import resource
from workshop.apiserver.admission.plugin import Plugin, forbidden, section
from workshop.apiserver.interfaces import AdmissionRequest

_MISMATCH = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"


class RuntimeClass(Plugin):
    name = "RuntimeClass"
    operations = ("CREATE",)
    resources = ("pods",)

    async def _class(self, request: AdmissionRequest) -> Obj | None:
        wanted = (request.object.get("spec") or {}).get("runtimeClassName")
        if wanted is None:
            return None
        kind = resource("runtimeclasses.node.k8s.io")
        found = await self.context.get(kind, wanted) or await self.context.get_live(kind, wanted)
        if found is None:
            raise forbidden(request, f'pod rejected: RuntimeClass "{wanted}" not found')
        return found

    async def admit(self, request: AdmissionRequest) -> None:
        runtime = await self._class(request)
        if runtime is None:
            return
        spec = section(request.object, "spec")
        overhead = (runtime.get("overhead") or {}).get("podFixed")
        if runtime.get("overhead") is not None:
            if spec.get("overhead") and spec["overhead"] != overhead:
                raise forbidden(request, _MISMATCH)
            spec["overhead"] = dict(overhead or {})
        self._schedule(request, spec, runtime.get("scheduling") or {})

    def _schedule(self, request: AdmissionRequest, spec: Obj, scheduling: Obj) -> None:
        selector = dict(spec.get("nodeSelector") or {})
        for key, value in (scheduling.get("nodeSelector") or {}).items():
            if selector.setdefault(key, value) != value:
                classes = f"runtimeClass.scheduling.nodeSelector[{key}] = {value}"
                raise forbidden(request, f"conflict: {classes}; pod.spec.nodeSelector[{key}] = {selector[key]}")
        if selector:
            spec["nodeSelector"] = selector
        own = spec.get("tolerations") or []
        added = [t for t in scheduling.get("tolerations") or () if t not in own]
        if added:
            spec["tolerations"] = [*own, *added]

    async def validate(self, request: AdmissionRequest) -> None:
        runtime = await self._class(request)
        overhead = (request.object.get("spec") or {}).get("overhead") or {}
        if runtime is not None and runtime.get("overhead") is not None:
            if overhead != (runtime["overhead"].get("podFixed") or {}):
                raise forbidden(request, _MISMATCH)
        elif overhead:
            why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            raise forbidden(request, why)
