"""DefaultStorageClass, StorageObjectInUseProtection, PersistentVolumeClaimResize: three rules for claims and volumes.

Upstream: `plugin/pkg/admission/storage`.
"""

from __future__ import annotations

from workshop.api import meta, quantity
from workshop.api.meta import Obj, creation_timestamp, finalizers, name
from workshop.api.resources import resource
from workshop.apiserver.admission.plugin import Plugin, forbidden, section
from workshop.apiserver.interfaces import AdmissionRequest

DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
PROTECTION = {
    "persistentvolumes": "kubernetes.io/pv-protection",
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "volumeattributesclasses": "kubernetes.io/vac-protection",
}


def newest_default(classes: list[Obj], marks: tuple[str, ...]) -> Obj | None:
    """The class that is annotated as default; of several the newest, then the first by name."""
    marked = [c for c in classes if any(meta.annotations(c).get(mark) == "true" for mark in marks)]
    return min(marked, key=lambda c: (-creation_timestamp(c), name(c)), default=None)


class DefaultStorageClass(Plugin):
    """A claim that names no class (not even "") gets the default one, if there is one."""

    name = "DefaultStorageClass"
    operations = ("CREATE",)
    resources = ("persistentvolumeclaims",)

    async def admit(self, request: AdmissionRequest) -> None:
        spec = section(request.object, "spec")
        if spec.get("storageClassName") is not None or CLASS_ANNOTATION in meta.annotations(request.object):
            return
        classes = await self.context.list(resource("storageclasses.storage.k8s.io"))
        default = newest_default(classes, DEFAULT_CLASS)
        if default is not None:
            spec["storageClassName"] = name(default)


class StorageObjectInUseProtection(Plugin):
    """A finalizer keeps a claim while a pod uses it, and a volume while a claim does."""

    name = "StorageObjectInUseProtection"
    operations = ("CREATE",)
    resources = ("persistentvolumes", "persistentvolumeclaims", "volumeattributesclasses.storage.k8s.io")

    async def admit(self, request: AdmissionRequest) -> None:
        finalizer = PROTECTION[request.resource.plural]
        if finalizer not in finalizers(request.object):
            request.object["metadata"]["finalizers"] = [*finalizers(request.object), finalizer]


class PersistentVolumeClaimResize(Plugin):
    """A claim may grow if it is bound and its class allows it."""

    name = "PersistentVolumeClaimResize"
    operations = ("UPDATE",)
    resources = ("persistentvolumeclaims",)

    async def validate(self, request: AdmissionRequest) -> None:
        new, old = request.object, request.old_object or {}
        if _size(new) <= _size(old):
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            raise forbidden(request, "Only bound persistent volume claims can be expanded")
        wanted = _class_of(new)
        kind = await self.context.get(resource("storageclasses.storage.k8s.io"), wanted) if wanted else None
        if wanted != _class_of(old) or not (kind or {}).get("allowVolumeExpansion"):
            why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc"
            raise forbidden(request, f"{why} must support resize")


def _size(claim: Obj) -> quantity.Quantity:
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    return quantity.parse(str(requests.get("storage", "0")))


def _class_of(claim: Obj) -> str:
    marked = meta.annotations(claim).get(CLASS_ANNOTATION)
    return marked if marked is not None else (claim.get("spec") or {}).get("storageClassName") or ""
