"""What a request cannot set through its door, and so does not come to manage: the status in the main resource, the spec
in the status door.

>>> door("pods", "status")({"f:spec": {"f:nodeName": {}}, "f:status": {"f:phase": {}}})
{'f:status': {'f:phase': {}}}

Upstream: GetResetFields in the strategy.go of each kind, v1.36.2.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from workshop.api.patch.fieldset import Trie, of, recursive_difference
from workshop.api.resources import Resource

Filter = Callable[[Trie], Trie]
"""From what a request changed to what of it is managed."""

WITHOUT_STATUS = ("", "finalize", "ephemeralcontainers", "resize")
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


def nothing(fields: Trie) -> Trie:
    """The filter that leaves everything."""
    return fields


def of_resource(resource: Resource, subresource: str) -> Filter:
    has_status = resource.subresource("status") is not None
    return door(resource.group_resource, subresource, has_status, resource.custom)


@cache
def door(kind: str, subresource: str, has_status: bool = True, custom: bool = False) -> Filter:
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
    return (STATUS,) if has_status and subresource in WITHOUT_STATUS else ()
