"""PodTopologyLabels: a pod carries the zone and region of the node it is bound to.

On a Binding the labels are laid into the Binding's metadata; binding copies them to the pod.

Upstream: `plugin/pkg/admission/podtopologylabels/admission.go`.
"""

from __future__ import annotations

from workshop.api.meta import labels
from workshop.api.resources import resource
from workshop.apiserver.admission.plugin import Plugin, section
from workshop.apiserver.interfaces import AdmissionRequest

COPIED = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class PodTopologyLabels(Plugin):
    name = "PodTopologyLabels"
    operations = ("CREATE",)
    resources = ("pods", "bindings")
    subresources = ("", "binding")

    async def admit(self, request: AdmissionRequest) -> None:
        obj = request.object
        if request.subresource == "binding" or request.resource.plural == "bindings":
            target = obj.get("target") or {}
            node = target.get("name", "") if target.get("kind") == "Node" else ""
        else:
            node = (obj.get("spec") or {}).get("nodeName", "")
        stored = await self.context.get(resource("nodes"), node) if node else None
        copied = {key: value for key, value in labels(stored or {}).items() if key in COPIED}
        if copied:
            metadata = section(obj, "metadata")
            metadata["labels"] = {**(metadata.get("labels") or {}), **copied}
