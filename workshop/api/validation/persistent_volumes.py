"""PersistentVolumes. Upstream: core/validation (ValidatePersistentVolumeSpec, …Update), v1.36.2."""

from __future__ import annotations

import posixpath

from workshop.api import names
from workshop.api.meta import Obj, copy
from workshop.api.validation import amounts, claims, scheduling
from workshop.api.validation import volumes as sources
from workshop.api.validation.diff import diff
from workshop.api.validation.field import ErrorList
from workshop.api.validation.paths import no_backsteps

ORDER = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd", "quobyte",
    "cephfs", "iscsi", "cinder", "fc", "flexVolume", "azureFile", "vsphereVolume", "photonPersistentDisk",
    "portworxVolume", "azureDisk", "scaleIO", "local", "storageos", "csi",
)  # fmt: skip
REFUSED_AS = {"cephfs": "cephFS"}


def persistent_volume(errors: ErrorList, obj: Obj) -> None:
    spec, name = obj["spec"], obj["metadata"].get("name", "")
    modes, capacity = spec.get("accessModes") or [], spec.get("capacity") or {}
    if not modes:
        errors.required("spec.accessModes")
    claims.access_modes(errors, "spec.accessModes", modes)
    if not capacity:
        errors.required("spec.capacity")
    if set(capacity) != {"storage"}:
        errors.not_supported("spec.capacity", obj["spec"].get("capacity"), ("storage",))
    for key, value in capacity.items():
        amounts.basic(errors, f"spec.capacity[{key}]", value)
        amounts.positive(errors, f"spec.capacity[{key}]", value)
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy:
        errors.among("spec.persistentVolumeReclaimPolicy", policy, ("Delete", "Recycle", "Retain"))
    affinity = spec.get("nodeAffinity")
    if affinity is not None and affinity.get("required") is None:
        errors.required("spec.nodeAffinity.required", "must specify required node constraints")
    elif affinity is not None:
        scheduling.node_selector(errors, "spec.nodeAffinity.required", affinity["required"])
    _source(errors, "spec", spec, name)
    if posixpath.normpath((spec.get("hostPath") or {}).get("path") or ".") == "/" and policy == "Recycle":
        said = "may not be 'recycle' for a hostPath mount of '/'"
        errors.forbidden("spec.persistentVolumeReclaimPolicy", said)
    if spec.get("storageClassName"):
        errors.each(
            "spec.storageClassName", spec["storageClassName"], names.dns1123_subdomain(spec["storageClassName"])
        )
    if spec.get("volumeMode") is not None:
        errors.among("spec.volumeMode", spec["volumeMode"], claims.VOLUME_MODES)
    _attributes_class(errors, spec)


WITH_MOUNT_OPTIONS = (
    "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "nfs", "rbd", "quobyte", "iscsi", "cinder", "cephfs",
    "azureFile", "vsphereVolume", "azureDisk", "photonPersistentDisk",
)  # fmt: skip
MOUNT_OPTIONS = "volume.beta.kubernetes.io/mount-options"


def with_mount_options(errors: ErrorList, obj: Obj) -> None:
    """By the annotation of old only some kinds of volumes take options. Upstream: pkg/volume/validation."""
    persistent_volume(errors, obj)
    if MOUNT_OPTIONS not in (obj["metadata"].get("annotations") or {}):
        return
    if all(obj["spec"].get(source) is None for source in WITH_MOUNT_OPTIONS):
        said = "may not specify mount options for this volume type"
        errors.forbidden(f"metadata.annotations.{MOUNT_OPTIONS}", said)


INLINE = "in the context of inline volumes"


def inline(errors: ErrorList, at: str, spec: Obj) -> None:
    """The volume of a pod of old, written out in a VolumeAttachment: what only a claim could use may not be there."""
    for name in ("claimRef", "capacity", "nodeAffinity", "storageClassName"):
        if spec.get(name):
            errors.forbidden(f"{at}.{name}", f"may not be specified {INLINE}")
    if spec.get("csi") is None:
        errors.required(f"{at}.csi", f"has to be specified {INLINE}")
    if not spec.get("accessModes"):
        errors.required(f"{at}.accessModes")
    claims.access_modes(errors, f"{at}.accessModes", spec.get("accessModes") or [])
    if spec.get("persistentVolumeReclaimPolicy", "Retain") != "Retain":
        errors.forbidden(f"{at}.persistentVolumeReclaimPolicy", f"may only be Retain {INLINE}")
    _source(errors, at, spec, "")
    if spec.get("volumeMode", "Filesystem") != "Filesystem":
        errors.forbidden(f"{at}.volumeMode", f"may not specify volumeMode other than Filesystem {INLINE}")


def _attributes_class(errors: ErrorList, spec: Obj) -> None:
    given, at = spec.get("volumeAttributesClassName"), "spec.volumeAttributesClassName"
    if given is None:
        return
    if not given:
        errors.required(at, "an empty string is disallowed")
    else:
        errors.each(at, given, names.dns1123_subdomain(given))
    if spec.get("csi") is None:
        errors.required("spec.csi", "has to be specified when using volumeAttributesClassName")


def _source(errors: ErrorList, path: str, spec: Obj, name: str) -> None:
    kinds = [kind for kind in ORDER if spec.get(kind) is not None]
    if not kinds:
        errors.required(path, "must specify a volume type")
    for extra in kinds[1:]:
        if extra == "flexVolume":  # upstream forgets to count it
            sources.source(errors, f"{path}.flexVolume", extra, spec[extra])
        else:
            errors.forbidden(f"{path}.{REFUSED_AS.get(extra, extra)}", sources.MORE)
    for kind in kinds[:1]:
        at, found = f"{path}.{sources.SAID_AS.get(kind, kind)}", spec[kind]
        match kind:
            case "iscsi":
                _iscsi(errors, at, found, name)
            case "csi":
                _csi(errors, at, found)
            case "local":
                _local(errors, at, found)
                if spec.get("nodeAffinity") is None:
                    errors.required(f"{path}.nodeAffinity", "Local volume requires node affinity")
            case _:
                sources.source(errors, at, kind, found)
        _more(errors, at, kind, found)


def _more(errors: ErrorList, at: str, kind: str, found: Obj) -> None:
    """What a PersistentVolume asks beyond a pod's volume: it has no namespace of its own."""
    secret = found.get("secretRef")
    if kind in ("cinder", "storageos") and secret is not None:
        errors.needed(secret, f"{at}.secretRef", "namespace")
    if kind == "azureFile" and found.get("secretNamespace") == "":
        errors.required(f"{at}.secretNamespace")
    if kind == "glusterfs" and (namespace := found.get("endpointsNamespace")) is not None:
        said = "if the endpointnamespace is set, it must be a valid namespace name"
        errors.each(f"{at}.endpointsNamespace", namespace, names.dns1123_label(namespace) if namespace else [said])


def _local(errors: ErrorList, at: str, found: Obj) -> None:
    if not found.get("path"):
        errors.required(f"{at}.path")
    else:
        no_backsteps(errors, f"{at}.path", found["path"])


SECRETS = ("controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef")


def _csi(errors: ErrorList, at: str, found: Obj) -> None:
    sources.csi_driver_name(errors, f"{at}.driver", found.get("driver", ""))
    errors.needed(found, at, "volumeHandle")
    for kind in SECRETS:
        if (secret := found.get(kind)) is None:
            continue
        errors.needed(secret, f"{at}.{kind}", "name", "namespace")
        for part, check in (("name", names.dns1123_subdomain), ("namespace", names.dns1123_label)):
            if secret.get(part):
                errors.each(f"{at}.{kind}.{part}", secret[part], check(secret[part]))


def _iscsi(errors: ErrorList, at: str, found: Obj, name: str) -> None:
    portal, initiator = found.get("targetPortal", ""), found.get("initiatorName")
    errors.needed(found, at, "targetPortal")
    if initiator is not None and len(f"{name}:{portal}") > 64:
        said = (
            "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is"
            " specified."
        )
        errors.invalid(f"{at}.targetportal", portal, said)
    errors.needed(found, at, "iqn")
    if found.get("iqn"):
        sources.iscsi_name(errors, f"{at}.iqn", found["iqn"], "must be valid format")
    errors.within(f"{at}.lun", found.get("lun", 0), 0, 255)
    secret = found.get("secretRef")
    if (found.get("chapAuthDiscovery") or found.get("chapAuthSession")) and secret is None:
        errors.required(f"{at}.secretRef")
    if secret is not None:
        errors.needed(secret, f"{at}.secretRef", "name")
    if initiator is not None:
        sources.iscsi_name(errors, f"{at}.initiatorname", initiator, "must be valid format")


def persistent_volume_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    """Its source, its mode and its place stay."""
    after, before = copy(new["spec"]), old["spec"]
    csi = before.get("csi")
    if csi is not None and csi.get("controllerExpandSecretRef") is None:
        (after.get("csi") or {}).pop("controllerExpandSecretRef", None)
    mine, theirs = ({kind: spec[kind] for kind in ORDER if kind in spec} for spec in (after, before))
    if mine != theirs:
        said = f"spec.persistentvolumesource is immutable after creation\n{diff(theirs, mine)}"
        errors.forbidden("spec.persistentvolumesource", said)
    errors.immutable("volumeMode", after.get("volumeMode"), before.get("volumeMode"))
    if before.get("nodeAffinity") is not None and after.get("nodeAffinity") != before["nodeAffinity"]:
        said = "field is immutable, except for updating from beta label to GA"
        errors.invalid("nodeAffinity", affinity_shown(after.get("nodeAffinity")), said)
    if before.get("volumeAttributesClassName") is not None and after.get("volumeAttributesClassName") is None:
        errors.forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden")


def affinity_shown(found: Obj | None) -> Obj | None:
    """As upstream prints its internal type."""
    if found is None or found.get("required") is None:
        return None if found is None else {"Required": None}

    def expressions(items: list[Obj] | None) -> list[Obj] | None:
        if items is None:
            return None
        return [{"Key": e.get("key", ""), "Operator": e.get("operator", ""), "Values": e.get("values")} for e in items]

    terms = [
        {
            "MatchExpressions": expressions(term.get("matchExpressions")),
            "MatchFields": expressions(term.get("matchFields")),
        }
        for term in found["required"].get("nodeSelectorTerms") or []
    ]
    return {"Required": {"NodeSelectorTerms": terms}}
