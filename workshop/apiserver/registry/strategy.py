"""What a kind does differently from the others when it is written.

A `Strategy` answers questions; `strategies.py` overrides the answers kind by kind. The order of a write is in `writer`.
Upstream: apiserver/pkg/registry/rest/{create,update,delete}.go and the strategy.go of each kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from workshop.api import defaults, no_controller, reading, schema, warnings
from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.api.validation import ErrorList

from .options import DeleteOptions, WriteOptions


class Pool(Protocol):
    """What a write took from a pool: kept when the object is stored, given back when it is not."""

    async def commit(self) -> None: ...

    async def rollback(self) -> None: ...


# Kinds whose spec is counted by metadata.generation, beside all those that have a status subresource.
_NO_GENERATION = {
    "nodes", "namespaces", "persistentvolumes", "persistentvolumeclaims", "resourcequotas",
    "volumeattachments.storage.k8s.io", "certificatesigningrequests.certificates.k8s.io", "services",
    "horizontalpodautoscalers.autoscaling", "servicecidrs.networking.k8s.io", "resourceclaims.resource.k8s.io",
}  # fmt: skip
_RETURN_DELETED = {
    "pods", "services", "serviceaccounts", "podtemplates", "persistentvolumes", "persistentvolumeclaims",
    "resourcequotas", "storageclasses.storage.k8s.io", "csidrivers.storage.k8s.io", "csinodes.storage.k8s.io",
    "volumeattachments.storage.k8s.io", "deviceclasses.resource.k8s.io", "resourceclaims.resource.k8s.io",
    "resourceclaimtemplates.resource.k8s.io", "resourceslices.resource.k8s.io",
}  # fmt: skip
# Kinds whose update must say which version it is made of. Upstream: AllowUnconditionalUpdate in each strategy.go.
_ONLY_CONDITIONAL = {
    "podcertificaterequests.certificates.k8s.io",
    "clustertrustbundles.certificates.k8s.io",
    "runtimeclasses.node.k8s.io",
    "poddisruptionbudgets.policy",
    "csidrivers.storage.k8s.io",
    "csistoragecapacities.storage.k8s.io",
    "volumeattachments.storage.k8s.io",
    "csinodes.storage.k8s.io",
    "leases.coordination.k8s.io",
    "leasecandidates.coordination.k8s.io",
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "mutatingadmissionpolicies.admissionregistration.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
}
# Kinds that an update makes where they are missing. Upstream: AllowCreateOnUpdate in each strategy.go.
_MADE_BY_UPDATES = {
    "runtimeclasses.node.k8s.io", "roles.rbac.authorization.k8s.io", "clusterroles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io", "clusterrolebindings.rbac.authorization.k8s.io", "services", "endpoints",
    "leases.coordination.k8s.io", "leasecandidates.coordination.k8s.io", "limitranges", "events",
    "events.events.k8s.io",
}  # fmt: skip
# Kinds whose status door changes nothing of the metadata (metav1.ResetObjectMetaForStatus).
_STATUS_KEEPS_METADATA = {
    "volumeattachments.storage.k8s.io", "flowschemas.flowcontrol.apiserver.k8s.io",
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io", "servicecidrs.networking.k8s.io",
    "validatingadmissionpolicies.admissionregistration.k8s.io", "resourceclaims.resource.k8s.io",
}  # fmt: skip


@dataclass(frozen=True)
class Write:
    """One write under way, as strategies see it."""

    resource: Resource
    options: WriteOptions
    subresource: str = ""
    now: float = 0
    """Seconds since the epoch."""


class Strategy:
    """The ordinary kind."""

    has_status = True

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.allows_create_on_update = resource.group_resource in _MADE_BY_UPDATES
        self.allows_unconditional_update = resource.group_resource not in _ONLY_CONDITIONAL
        self.has_status = resource.subresource("status") is not None
        self.counts_generation = self.has_status and resource.group_resource not in _NO_GENERATION

    def prepare_for_create(self, obj: Obj, write: Write) -> None:
        """Change `obj` in place: what clients may not choose is set or taken away; a node's status is its kubelet's."""
        if self.has_status and self.resource.group_resource != "nodes":
            obj.pop("status", None)
            if (status := defaults.fresh_status(self.resource, obj)) is not None:
                obj["status"] = _with_zeros(self.resource, status)
        if self.counts_generation:
            obj["metadata"]["generation"] = 1

    def prepare_for_update(self, new: Obj, old: Obj, write: Write) -> None:
        """The same for an update of the whole object or of its status."""
        if write.subresource == "status":
            self.prepare_for_status_update(new, old)
            return
        if self.has_status:
            take(new, old, "status")
        if self.counts_generation:
            generation = old["metadata"].get("generation", 0)
            if self.spec_of(new) != self.spec_of(old):
                generation += 1
            if generation:
                new["metadata"]["generation"] = generation

    def prepare_for_status_update(self, new: Obj, old: Obj) -> None:
        """Only the status (and annotations, finalizers …) may change."""
        for field in {*new, *old} - {"status", "metadata", "apiVersion", "kind"}:
            take(new, old, field)
        if self.resource.group_resource in _STATUS_KEEPS_METADATA:
            for field in ("labels", "annotations", "ownerReferences", "finalizers"):
                take(new["metadata"], old["metadata"], field)
        take(new["metadata"], old["metadata"], "deletionTimestamp")
        if generation := old["metadata"].get("generation"):
            new["metadata"]["generation"] = generation

    def settle(self, obj: Obj) -> None:
        """Fill in what follows from what the server itself added; called once the object is found valid. Upstream
        does it whenever it reads an object from the store."""

    def spec_of(self, obj: Obj) -> object:
        """What a change of which makes a new generation."""
        return obj.get("spec")

    async def problems(self, new: Obj, old: Obj | None, write: Write) -> ErrorList:
        """What is wrong with it for what stands around it: its namespace, who writes it. Told before what validation
        finds in the object itself."""
        return ErrorList()

    async def allocate(self, new: Obj, old: Obj | None, write: Write) -> Pool | None:
        """Take what the object needs from a pool (addresses, ports). Raises ApiError, having taken nothing."""
        return None

    async def release(self, obj: Obj) -> None:
        """Called once the object has gone from the store."""

    def prepare_for_delete(self, obj: Obj, now: float) -> None:
        """Change `obj` in place when somebody asks for its deletion for the first time."""

    def grace_seconds(self, obj: Obj, options: DeleteOptions) -> int | None:
        """Seconds between the wish to delete and the deletion; None where a kind has no such grace."""
        return None

    def returns_deleted_object(self) -> bool:
        return self.resource.group_resource in _RETURN_DELETED

    def default_propagation(self) -> str:
        """What a deletion without a policy does with dependents: two old kinds leave them alone."""
        return "Orphan" if self.resource.group_resource in ("jobs.batch", "replicationcontrollers") else "Background"

    def warnings(self, new: Obj, old: Obj | None, subresource: str = "") -> list[str]:
        unattended = no_controller.warning(self.resource) if old is None else None
        return [*([unattended] if unattended is not None else []), *warnings.of(self.resource, new, old, subresource)]


def _with_zeros(resource: Resource, status: Obj) -> Obj:
    """A status with what Go writes out though it is zero: `{"replicas": 0}`."""
    types = schema.for_kind(resource.api_version, resource.kind)
    if types is None:
        return status
    found: Obj = reading.convert(types, {"status": status}).obj["status"]
    return found


def take(new: Obj, old: Obj, field: str) -> None:
    """`new[field]` becomes what it is in `old`, also if that is nothing."""
    if field in old:
        new[field] = old[field]
    else:
        new.pop(field, None)
