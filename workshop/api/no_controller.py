"""Kinds that are served and stored, and that no controller of ours acts on yet; the real cluster has one.

Creating such an object answers with a Warning header, so that nobody waits for what will not happen. Whoever writes the
controller takes the kind out; `workshop/controllers/manager.py` has the controllers.
"""

from __future__ import annotations

from workshop.api.meta import Obj
from workshop.api.resources import Resource

KINDS: dict[tuple[str, str], str] = {
    # (group, kind): upstream's controller
    ("autoscaling", "HorizontalPodAutoscaler"): "horizontal-pod-autoscaler-controller",
    ("storage.k8s.io", "VolumeAttachment"): "persistentvolume-attach-detach-controller",
    ("storagemigration.k8s.io", "StorageVersionMigration"): "storage-version-migrator-controller",
    ("networking.k8s.io", "ServiceCIDR"): "service-cidr-controller",
}


UNALLOCATED = (
    "spec.resourceClaims: kube-scheduler chooses no devices here yet; the pod waits until its claims are allocated"
)


def of_pod(pod: Obj) -> str | None:
    """The same of a pod that asks for devices."""
    return UNALLOCATED if (pod.get("spec") or {}).get("resourceClaims") else None


def warning(resource: Resource) -> str | None:
    """What a client is told that creates one; None for a kind that is looked after.

    >>> from workshop.api.resources import resource
    >>> warning(resource("horizontalpodautoscalers"))
    'HorizontalPodAutoscaler is stored, but horizontal-pod-autoscaler-controller does not run here yet'
    >>> warning(resource("deployments.apps"))
    """
    controller = KINDS.get((resource.group, resource.kind))
    return f"{resource.kind} is stored, but {controller} does not run here yet" if controller else None
