"""PodResizeValidator and NodeDeclaredFeatureValidator: what a pod that runs may become asks its node.

PodResizeValidator            only Linux nodes resize, and none beyond what it can allocate
NodeDeclaredFeatureValidator  a resize that not every kubelet knows needs one that says it does

Upstream: `plugin/pkg/admission/{podresize,nodedeclaredfeatures}`,
`component-helpers/nodedeclaredfeatures/features`, v1.36.2.
"""

from __future__ import annotations

from workshop.api import errors
from workshop.api.meta import Obj, labels
from workshop.api.quantity import parse
from workshop.api.resources import resource
from workshop.api.scheduling import pod_resources
from workshop.apiserver.admission.plugin import Plugin, forbidden
from workshop.apiserver.interfaces import AdmissionRequest

NODES = resource("nodes")
OS = "kubernetes.io/os"
PLATFORM, CAPACITY = "UnsupportedPlatform", "NodeCapacity"
POD_LEVEL = "InPlacePodLevelResourcesVerticalScaling"
INIT_CONTAINERS = "InPlacePodVerticalScalingInitContainers"


class _OnItsNode(Plugin):
    """Of updates that make a new generation of a pod on a node."""

    operations = ("UPDATE",)
    resources = ("pods",)

    def sees(self, request: AdmissionRequest) -> bool:
        if not super().sees(request) or not (request.object.get("spec") or {}).get("nodeName"):
            return False
        before = (request.old_object or {}).get("metadata") or {}
        return bool(request.object["metadata"].get("generation") != before.get("generation"))

    async def node(self, request: AdmissionRequest) -> Obj:
        """Raises ApiError 403."""
        name = request.object["spec"]["nodeName"]
        found = await self.context.get(NODES, name)
        if found is None:
            raise forbidden(request, f"node {errors.quote(name)} not found")
        return found


class NodeDeclaredFeatureValidator(_OnItsNode):
    name = "NodeDeclaredFeatureValidator"
    subresources = ("", "resize")

    async def validate(self, request: AdmissionRequest) -> None:
        needed = needed_features(request.object["spec"], (request.old_object or {})["spec"])
        if not needed:
            return
        node = await self.node(request)
        declared = (node.get("status") or {}).get("declaredFeatures") or []
        if missing := [feature for feature in needed if feature not in declared]:
            where = f"which are not available on node {errors.quote(node['metadata']['name'])}"
            raise forbidden(request, f"pod update requires features {', '.join(missing)} {where}")


def needed_features(new: Obj, old: Obj) -> list[str]:
    """What a kubelet must know to bring the pod from `old` to `new` (two specs)."""
    found = []
    if (new.get("resources") or {}) != (old.get("resources") or {}):
        found.append(POD_LEVEL)
    pairs = zip(old.get("initContainers") or [], new.get("initContainers") or [], strict=False)
    if any(
        was.get("restartPolicy") != "Always" and (was.get("resources") or {}) != (now.get("resources") or {})
        for was, now in pairs
    ):
        found.append(INIT_CONTAINERS)
    return found


class PodResizeValidator(_OnItsNode):
    name = "PodResizeValidator"
    subresources = ("resize",)

    async def validate(self, request: AdmissionRequest) -> None:
        node = await self.node(request)
        system = labels(node).get(OS, "linux")
        if system != "linux":
            name = errors.quote(node["metadata"]["name"])
            said = f"pod resize is only supported on linux nodes, node {name} is {errors.quote(system)}"
            raise _because(forbidden(request, said), PLATFORM)
        if said := beyond(request.object, (node.get("status") or {}).get("allocatable") or {}):
            said = f"node didn't have enough allocatable resources: {said}"
            raise _because(forbidden(request, said), CAPACITY)


def beyond(pod: Obj, allocatable: Obj) -> str:
    """What of a pod's requests its node does not have."""
    asked = pod_resources.of_pod(pod, "requests")
    found = []
    for name in ("cpu", "memory"):
        if name in asked and asked[name] > (has := parse(allocatable.get(name, "0"))):
            both = (each.milli_value() if name == "cpu" else each.value() for each in (asked[name], has))
            found.append("{}, requested: {}, allocatable: {}".format(name, *both))
    return "; ".join(found)


def _because(error: errors.ApiError, reason: str) -> errors.ApiError:
    error.status["details"]["causes"] = [errors.cause(reason, "")]
    return error
