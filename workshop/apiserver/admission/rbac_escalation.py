"""The check that nobody hands out RBAC rights that he does not hold, as the last link of the chain.

Upstream has it in the registry of the RBAC kinds, right before they are stored; user and object meet here as well.

Upstream: `pkg/registry/rbac/*/policybased/storage.go`.
"""

from __future__ import annotations

from workshop.apiserver.admission.plugin import Plugin
from workshop.apiserver.authorization.escalation import BINDINGS, GROUP, ROLES, check_write
from workshop.apiserver.authorization.rbac import RbacIndex
from workshop.apiserver.interfaces import AdmissionRequest, Attributes, Context


class RbacEscalation(Plugin):
    """Not to be switched off by a flag: it belongs to the RBAC kinds."""

    name = "RbacEscalation"
    resources = tuple(f"{plural}.{GROUP}" for plural in (*ROLES, *BINDINGS))

    def __init__(self, context: Context, index: RbacIndex) -> None:
        super().__init__(context)
        self._index = index

    async def validate(self, request: AdmissionRequest) -> None:
        asked = Attributes(
            request.user, request.operation.lower(), GROUP, request.resource.version, request.resource.plural,
            namespace=request.namespace, name=request.name,
        )  # fmt: skip
        await check_write(self._index, self.context.authorizer, asked, request.object, request.old_object)
