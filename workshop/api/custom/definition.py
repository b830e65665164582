"""A CustomResourceDefinition as the resources that it makes: one a served version, in discovery's order.

Upstream: apiextensions-apiserver/pkg/apiserver/customresource_discovery_controller.go, apimachinery/pkg/version.
"""

from __future__ import annotations

import re
from typing import Any

from workshop.api.conditions import is_true
from workshop.api.custom.kind import CustomKind
from workshop.api.meta import Obj
from workshop.api.resources import Resource, Subresource, storage_version_hash

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
DOOR_VERBS = ("get", "patch", "update")
_KUBE_VERSION = re.compile(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?")


def priority(version: str) -> tuple[Any, ...]:
    """Sort key of versions, the preferred one first: v2, v1, v2beta1, v1beta1, v1alpha1, then all others by name."""
    found = _KUBE_VERSION.fullmatch(version)
    if found is None:
        return (1, 0, 0, 0, version)
    stage = {None: 0, "beta": 1, "alpha": 2}[found[2]]
    return (0, stage, -int(found[1]), -int(found[3] or 0), version)


def storage_version(crd: Obj) -> str:
    return next(str(v["name"]) for v in crd["spec"]["versions"] if v.get("storage"))


def resources_of(crd: Obj) -> list[Resource]:
    """What the definition serves now: nothing before it is established."""
    if not is_true(crd, "Established"):
        return []
    return [resource_of(crd, v) for v in sorted(crd["spec"]["versions"], key=lambda v: priority(v["name"]))
            if v.get("served")]  # fmt: skip


def resource_of(crd: Obj, version: Obj) -> Resource:
    """One version, served or not, as a resource."""
    spec, names = crd["spec"], crd["status"]["acceptedNames"]
    stored = storage_version(crd)
    group, name = spec["group"], version["name"]
    doors = version.get("subresources") or {}
    subresources = []
    if doors.get("status") is not None:
        subresources.append(Subresource("status", group, name, names["kind"], DOOR_VERBS))
    if doors.get("scale") is not None:
        subresources.append(Subresource("scale", "autoscaling", "v1", "Scale", DOOR_VERBS))
    return Resource(
        group=group,
        version=name,
        kind=names["kind"],
        plural=names["plural"],
        singular=names.get("singular") or names["kind"].lower(),
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=tuple(subresources),
        storage_group=group,
        storage_version=stored,
        storage_version_hash=storage_version_hash(group, stored, names["kind"]),
        list_kind=names.get("listKind") or names["kind"] + "List",
        custom=True,
        definition=CustomKind(crd, version),
    )
