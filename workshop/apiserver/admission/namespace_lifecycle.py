"""NamespaceLifecycle: nothing is made in a namespace that does not exist or is going away.

Upstream: `staging/src/k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle/admission.go`.
"""

from __future__ import annotations

from workshop.api import errors
from workshop.api.resources import resource
from workshop.apiserver.admission.plugin import Plugin, forbidden
from workshop.apiserver.interfaces import AdmissionRequest, Context

IMMORTAL = ("default", "kube-system", "kube-public")
DELETED_LATELY = 30.0
"""Seconds for which the store itself is asked about a namespace whose deletion was asked for here."""
_ACCESS_REVIEWS = ("localsubjectaccessreviews.authorization.k8s.io",)


class NamespaceLifecycle(Plugin):
    name = "NamespaceLifecycle"
    operations = ("CREATE", "UPDATE", "DELETE")
    subresources = ("*",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._deleted: dict[str, float] = {}

    async def admit(self, request: AdmissionRequest) -> None:
        if request.resource.group_resource == "namespaces":
            if request.operation == "DELETE" and request.name in IMMORTAL:
                raise forbidden(request, "this namespace may not be deleted")
            if request.operation == "DELETE":
                now = self.context.clock.now()
                self._deleted = {name: until for name, until in self._deleted.items() if until > now}
                self._deleted[request.name] = now + DELETED_LATELY
            return
        if not request.namespace or request.operation == "DELETE":
            return
        if request.resource.group_resource in _ACCESS_REVIEWS:
            return  # whether the namespace exists is nobody's business there
        namespaces = resource("namespaces")
        namespace = await self.context.get(namespaces, request.namespace)
        if namespace is None or self._deleted.get(request.namespace, 0.0) > self.context.clock.now():
            namespace = await self.context.get_live(namespaces, request.namespace)
        if namespace is None:
            raise errors.not_found(namespaces, request.namespace)
        phase = (namespace.get("status") or {}).get("phase")
        if request.operation == "CREATE" and phase == "Terminating":
            raise self._terminating(request)

    def _terminating(self, request: AdmissionRequest) -> errors.ApiError:
        name = request.namespace
        error = forbidden(request, f"unable to create new content in namespace {name} because it is being terminated")
        error.status.setdefault("details", {}).setdefault("causes", []).append(
            errors.cause("NamespaceTerminating", f"namespace {name} is being terminated", "metadata.namespace")
        )
        return error
