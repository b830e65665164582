"""TaintNodesByCondition: a new node is not ready, so nothing is scheduled to it before somebody has said it is.

Upstream: `plugin/pkg/admission/nodetaint/admission.go`.
"""

from __future__ import annotations

from workshop.apiserver.admission.plugin import Plugin, section
from workshop.apiserver.interfaces import AdmissionRequest

NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


class TaintNodesByCondition(Plugin):
    name = "TaintNodesByCondition"
    operations = ("CREATE",)
    resources = ("nodes",)

    async def admit(self, request: AdmissionRequest) -> None:
        spec = section(request.object, "spec")
        taints = spec.get("taints") or []
        if not any((t.get("key"), t.get("effect")) == (NOT_READY["key"], NOT_READY["effect"]) for t in taints):
            spec["taints"] = [*taints, dict(NOT_READY)]
