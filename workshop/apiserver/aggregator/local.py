"""The APIServices of what this server serves itself: one a group and version, always available. Pure.

Upstream: pkg/controlplane/apiserver/aggregator.go (the priorities), kube-aggregator/pkg/controllers/autoregister,
pkg/controlplane/controller/crdregistration.
"""

from __future__ import annotations

from collections.abc import Iterable

from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.clock import rfc3339

AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"
CUSTOM = (1000, 100)
UNKNOWN = (15000, 15)
PRIORITIES = {  # group → (groupPriorityMinimum, versionPriority), of kube-apiserver 1.36.2
    "": (18000, 1), "apps": (17800, 15), "events.k8s.io": (17750, 15), "authentication.k8s.io": (17700, 15),
    "authorization.k8s.io": (17600, 15), "autoscaling": (17500, 15), "batch": (17400, 15),
    "certificates.k8s.io": (17300, 15), "networking.k8s.io": (17200, 15), "policy": (17100, 15),
    "rbac.authorization.k8s.io": (17000, 15), "storage.k8s.io": (16800, 15), "apiextensions.k8s.io": (16700, 15),
    "admissionregistration.k8s.io": (16700, 15), "scheduling.k8s.io": (16600, 15), "coordination.k8s.io": (16500, 15),
    "node.k8s.io": (16300, 15), "discovery.k8s.io": (16200, 15), "resource.k8s.io": (16200, 21),
    "flowcontrol.apiserver.k8s.io": (16100, 21),
}  # fmt: skip
_VERSIONS = {("autoscaling", "v2"): 30}


def name_of(group: str, version: str) -> str:
    return f"{version}.{group}"


def wanted(served: Iterable[Resource]) -> dict[str, Obj]:
    """Name → APIService (without status) for everything that is served here, but the aggregator's own group."""
    found: dict[str, Obj] = {}
    for resource in served:
        group, version = resource.group, resource.version
        name = name_of(group, version)
        if group == "apiregistration.k8s.io" or name in found:
            continue
        minimum, priority = CUSTOM if resource.custom else PRIORITIES.get(group, UNKNOWN)
        spec: Obj = {"group": group} if group else {}
        spec |= {
            "version": version, "groupPriorityMinimum": minimum,
            "versionPriority": _VERSIONS.get((group, version), priority),
        }  # fmt: skip
        found[name] = {
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": name, "labels": {AUTOMANAGED: "true" if resource.custom else "onstart"}},
            "spec": spec,
        }  # fmt: skip
    return found


def changes(served: Iterable[Resource], have: dict[str, Obj], first: bool) -> tuple[list[Obj], list[str]]:
    """(to create, names to delete). What a client made instead of ours, or deleted since we began, is left alone: only
    definitions' groups (`automanaged: true`) are kept so for ever."""
    want = wanted(served)
    create = [
        obj for name, obj in want.items()
        if name not in have and (first or obj["metadata"]["labels"][AUTOMANAGED] == "true")
    ]  # fmt: skip
    gone = [
        name for name, obj in have.items()
        if name not in want and (obj["metadata"].get("labels") or {}).get(AUTOMANAGED) == "true"
    ]  # fmt: skip
    return create, gone


def is_local(obj: Obj) -> bool:
    return obj["spec"].get("service") is None


def available(now: float) -> Obj:
    return {
        "type": "Available", "status": "True", "lastTransitionTime": rfc3339(now), "reason": "Local",
        "message": "Local APIServices are always available",
    }  # fmt: skip
