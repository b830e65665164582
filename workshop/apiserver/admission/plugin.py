"""What all admission plugins share: which requests a plugin looks at, and how it refuses.

Upstream: `staging/src/k8s.io/apiserver/pkg/admission/{handler,errors}.go`.
"""

from __future__ import annotations

from typing import ClassVar

from workshop.api import errors
from workshop.api.meta import Obj
from workshop.apiserver.interfaces import AdmissionRequest, Context, Operation

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"


class Plugin:
    """A plugin changes a request (`admit`), judges it (`validate`), or both; by default neither.

    It sees the requests of its `operations` on its `resources` (none named: all) and `subresources`
    (`*`: every one, "" is the object itself).
    """

    name: ClassVar[str]
    operations: ClassVar[tuple[Operation, ...]] = ("CREATE", "UPDATE")
    resources: ClassVar[tuple[str, ...]] = ()
    subresources: ClassVar[tuple[str, ...]] = ("",)

    def __init__(self, context: Context) -> None:
        self.context = context

    def sees(self, request: AdmissionRequest) -> bool:
        """Whether this plugin has anything to do with the request."""
        return (
            request.operation in self.operations
            and (not self.resources or request.resource.group_resource in self.resources)
            and (request.subresource in self.subresources or "*" in self.subresources)
        )

    async def admit(self, request: AdmissionRequest) -> None:
        """Change `request.object` in place. Raises ApiError to refuse."""

    async def validate(self, request: AdmissionRequest) -> None:
        """Raises ApiError to refuse. Changes nothing."""


def forbidden(request: AdmissionRequest, message: str) -> errors.ApiError:
    """403 `pods "web" is forbidden: MESSAGE`; an object without a name yet is called by its generateName."""
    metadata = request.object.get("metadata") or {}
    name = request.name or metadata.get("name") or metadata.get("generateName") or "Unknown!"
    return errors.forbidden(request.resource, name, message)


def section(obj: Obj, field: str) -> Obj:
    """`obj[field]`, made if it is missing: what mutating plugins see has not been validated yet."""
    found = obj.get(field)
    if found is None:
        found = obj[field] = {}
    return found


def is_mirror(pod: dict[str, object]) -> bool:
    """Whether the pod only mirrors one that a kubelet runs from a file."""
    metadata = pod.get("metadata")
    return isinstance(metadata, dict) and MIRROR_ANNOTATION in (metadata.get("annotations") or {})
