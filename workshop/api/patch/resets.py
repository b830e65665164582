"""What a request cannot set through its door, and so does not come to manage: the status in the main resource, the spec
in the status door, everything but the resources of containers in a pod's `resize`.

>>> door("pods", "status")({"f:spec": {"f:nodeName": {}}, "f:status": {"f:phase": {}}})
{'f:status': {'f:phase': {}}}

Upstream: GetResetFields and GetResetFieldsFilter in the strategy.go of each kind, v1.36.2.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from workshop.api.patch.fieldset import EMPTY, Trie, children_of, of, recursive_difference
from workshop.api.resources import Resource

Filter = Callable[[Trie], Trie]
"""From what a request changed to what of it is managed."""
Pattern = dict[str, "Pattern | None"]
"""Path elements, `*` for any; None: all below."""

SPEC, STATUS, METADATA = ("spec",), ("status",), ("metadata",)
DROPPED: dict[tuple[str, str], tuple[tuple[str, ...], ...]] = {
    ("certificatesigningrequests.certificates.k8s.io", ""): (SPEC, STATUS),
    ("certificatesigningrequests.certificates.k8s.io", "status"): (SPEC, ("status", "conditions")),
    ("certificatesigningrequests.certificates.k8s.io", "approval"): (SPEC, ("status", "certificate")),
    ("deployments.apps", "status"): (SPEC, ("metadata", "labels")),
    ("pods", "status"): (SPEC, ("metadata", "deletionTimestamp"), ("metadata", "ownerReferences")),
    **{
        (kind, "status"): (SPEC, METADATA)
        for kind in (
            "servicecidrs.networking.k8s.io", "volumeattachments.storage.k8s.io", "resourceclaims.resource.k8s.io",
            "flowschemas.flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
            "validatingadmissionpolicies.admissionregistration.k8s.io", "apiservices.apiregistration.k8s.io",
        )
    },
}  # fmt: skip
_OF_CONTAINERS: Pattern = {"*": {"f:resources": None, "f:resizePolicy": None}}
KEPT: dict[tuple[str, str], Pattern] = {
    ("pods", "ephemeralcontainers"): {"f:spec": {"f:ephemeralContainers": None}},
    ("pods", "resize"): {"f:spec": {"f:containers": _OF_CONTAINERS, "f:initContainers": _OF_CONTAINERS}},
}


def nothing(fields: Trie) -> Trie:
    """The filter that leaves everything."""
    return fields


def of_resource(resource: Resource, subresource: str) -> Filter:
    has_status = resource.subresource("status") is not None
    return door(resource.group_resource, subresource, has_status, resource.custom)


@cache
def door(kind: str, subresource: str, has_status: bool = True, custom: bool = False) -> Filter:
    if (pattern := KEPT.get((kind, subresource))) is not None:
        return lambda fields: only(fields, pattern)
    dropped = DROPPED.get((kind, subresource))
    if dropped is None:
        dropped = _ordinary(subresource, has_status, custom)
    if not dropped:
        return nothing
    paths = of(*dropped)
    return lambda fields: recursive_difference(fields, paths)


def _ordinary(subresource: str, has_status: bool, custom: bool) -> tuple[tuple[str, ...], ...]:
    if subresource == "status":
        return (SPEC, METADATA) if custom else (SPEC,)
    return (STATUS,) if has_status and subresource in ("", "finalize") else ()


def only(fields: Trie, pattern: Pattern) -> Trie:
    """The members of `fields` that the pattern names."""
    result: Trie = {}
    for name, node in children_of(fields).items():
        below = pattern.get(name, pattern.get("*", EMPTY))
        if below is None:
            result[name] = node
        elif below and (kept := only(node, below)):
            result[name] = kept
    return result
