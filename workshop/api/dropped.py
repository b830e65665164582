"""Fields that the server takes and forgets: those of features whose gates are closed in 1.36.

What an object has already, it keeps: a server that was downgraded would otherwise lose it on the next write.
Upstream: dropDisabledFields in each kind's strategy.go and pkg/api/pod/util.go; gates in pkg/features/kube_features.go.

>>> found = {"spec": {"strategy": "OldestEmulationVersion", "holderIdentity": "me"}}
>>> _remove(found, ["spec", "strategy"])
>>> found
{'spec': {'holderIdentity': 'me'}}
"""

from __future__ import annotations

from typing import Any

from workshop.api.meta import Obj
from workshop.api.resources import Resource

CONTAINERS = ("containers[]", "initContainers[]", "ephemeralContainers[]")
OF_PODS = (
    "volumes[].projected.sources[].clusterTrustBundle",
    "volumes[].projected.sources[].podCertificate",
    "schedulingGroup",
    *(f"{each}.lifecycle.stopSignal" for each in CONTAINERS),
)
PODS_IN = {
    "pods": "spec",
    "podtemplates": "template.spec",
    "replicationcontrollers": "spec.template.spec",
    "deployments.apps": "spec.template.spec",
    "replicasets.apps": "spec.template.spec",
    "daemonsets.apps": "spec.template.spec",
    "statefulsets.apps": "spec.template.spec",
    "jobs.batch": "spec.template.spec",
    "cronjobs.batch": "spec.jobTemplate.spec.template.spec",
}
OWN = {
    "pods": ("status.nodeAllocatableResourceClaimStatuses",),
    "nodes": ("spec.configSource", "status.config"),
    "statefulsets.apps": ("spec.updateStrategy.rollingUpdate.maxUnavailable",),
    "leases.coordination.k8s.io": ("spec.strategy", "spec.preferredHolder"),
    "endpointslices.discovery.k8s.io": ("endpoints[].deprecatedTopology",),
    "csidrivers.storage.k8s.io": ("spec.preventPodSchedulingIfMissing",),
    "resourceslices.resource.k8s.io": (
        "spec.devices[].nodeAllocatableResourceMappings",
        *(f"spec.devices[].attributes{{}}.{each}" for each in ("bools", "ints", "strings", "versions")),
    ),
}


def drop(resource: Resource, new: Obj, old: Obj | None) -> None:
    """Changes `new` in place."""
    kind = resource.group_resource
    paths = list(OWN.get(kind, ()))
    if (where := PODS_IN.get(kind)) is not None:
        paths += [f"{where}.{path}" for path in OF_PODS]
    for path in paths:
        steps = path.split(".")
        if old is None or not _has(old, steps):
            _remove(new, steps)


def _has(found: Any, steps: list[str]) -> bool:
    if not isinstance(found, dict):
        return False
    name, rest = steps[0].rstrip("[]{}"), steps[1:]
    value = found.get(name)
    if value is None or not rest:
        return value is not None
    return any(_has(each, rest) for each in _within(value, steps[0]))


def _remove(found: Any, steps: list[str]) -> None:
    if not isinstance(found, dict):
        return
    name, rest = steps[0].rstrip("[]{}"), steps[1:]
    if not rest:
        found.pop(name, None)
        return
    for each in _within(found.get(name), steps[0]):
        _remove(each, rest)


def _within(value: Any, step: str) -> list[Any]:
    """`name` is the value itself, `name[]` each of a list, `name{}` each of a map."""
    if step.endswith("[]"):
        return value or []
    return list((value or {}).values()) if step.endswith("{}") else [value]
