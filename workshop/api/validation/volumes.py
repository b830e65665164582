"""Volumes of pods: one source each, and what each source needs. Upstream: core/validation (ValidateVolumes), v1.36.2.

The kinds that only ask for fields are rows of NEEDED; the others have a rule of their own in RULES.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from workshop.api import names, quantity
from workshop.api.meta import Obj
from workshop.api.validation import claims, metadata, projected
from workshop.api.validation.field import ErrorList
from workshop.api.validation.paths import descending, file_mode, key_to_path, no_backsteps

MORE = "may not specify more than 1 volume type"
Rule = Callable[[ErrorList, str, Obj], None]

NEEDED: dict[str, tuple[str, ...]] = {
    "gcePersistentDisk": ("pdName",),
    "awsElasticBlockStore": ("volumeID",),
    "nfs": ("server", "path"),
    "glusterfs": ("endpoints", "path"),
    "persistentVolumeClaim": ("claimName",),
    "rbd": ("monitors", "image"),
    "cinder": ("volumeID",),
    "cephfs": ("monitors",),
    "flexVolume": ("driver",),
    "azureFile": ("secretName", "shareName"),
    "vsphereVolume": ("volumePath",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "scaleIO": ("gateway", "system", "volumeName"),
    "gitRepo": ("repository",),
    "secret": ("secretName",),
    "configMap": ("name",),
}
ORDER = (
    "emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi",
    "glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI", "fc",
    "flexVolume", "configMap", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk",
    "storageos", "projected", "scaleIO", "csi", "ephemeral", "image",
)  # fmt: skip
"""The order in which upstream looks at them: the first one there is the one that is meant."""
SAID_AS = {"gcePersistentDisk": "persistentDisk"}
"""Paths of problems within a source, where upstream calls it otherwise."""
REFUSED_AS = {"downwardAPI": "downwarAPI", "cephfs": "cephFS"}
"""The same of a second source, slip of the pen included."""


def volumes(errors: ErrorList, path: str, found: list[Obj], pod: Obj | None, is_pod: bool) -> dict[str, Obj]:
    """The volumes by name, those that are wrong left out: a mount of one is a mount of nothing.

    `pod` is the metadata of a pod; a template has none."""
    fine: dict[str, Obj] = {}
    pod_name = (pod or {}).get("name", "")
    made = {f"{pod_name}-{v.get('name', '')}" for v in found if pod_name and v.get("ephemeral") is not None}
    for index, each in enumerate(found):
        at, name = f"{path}[{index}]", each.get("name", "")
        before = len(errors)
        _source(errors, at, each, pod_name, is_pod)
        if not name:
            errors.required(f"{at}.name")
        else:
            errors.each(f"{at}.name", name, names.dns1123_label(name))
        if name in fine:
            errors.duplicate(f"{at}.name", name)
        if len(errors) == before:
            fine[name] = each
        claim = (each.get("persistentVolumeClaim") or {}).get("claimName")
        if claim in made:
            said = "must not reference a PVC that gets created for an ephemeral volume"
            errors.invalid(f"{at}.persistentVolumeClaim.claimName", claim, said)
    return fine


def _source(errors: ErrorList, at: str, volume: Obj, pod_name: str, is_pod: bool) -> None:
    kinds = [kind for kind in ORDER if volume.get(kind) is not None]
    if not kinds:
        errors.required(at, "must specify a volume type")
    for extra in kinds[1:]:
        errors.forbidden(f"{at}.{REFUSED_AS.get(extra, extra)}", MORE)
    for kind in kinds[:1]:
        inside = f"{at}.{SAID_AS.get(kind, kind)}"
        source(errors, inside, kind, volume[kind])
        if kind == "ephemeral" and pod_name and volume.get("name"):
            claim = f"{pod_name}-{volume['name']}"
            for said in names.dns1123_subdomain(claim):
                errors.invalid(f"{at}.name", volume["name"], f'PVC name "{claim}": {said}')
        if kind == "image" and is_pod and not volume[kind].get("reference"):
            errors.required(f"{inside}.reference")


def source(errors: ErrorList, at: str, kind: str, found: Obj) -> None:
    """What any volume source of that kind needs, in a pod or in a PersistentVolume."""
    errors.needed(found, at, *NEEDED.get(kind, ()))
    if (rule := RULES.get(kind)) is not None:
        rule(errors, at, found)


def _empty_dir(errors: ErrorList, at: str, found: Obj) -> None:
    if found.get("sizeLimit") is not None and quantity.parse(found["sizeLimit"]) < quantity.parse("0"):
        errors.forbidden(f"{at}.sizeLimit", "SizeLimit field must be a valid resource quantity")


HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip


def host_path(errors: ErrorList, at: str, found: Obj) -> None:
    if not found.get("path"):
        errors.required(f"{at}.path")
        return
    no_backsteps(errors, f"{at}.path", found["path"])
    if found.get("type") is not None:
        errors.among(f"{at}.type", found["type"], HOST_PATH_TYPES)


def _git_repo(errors: ErrorList, at: str, found: Obj) -> None:
    descending(errors, f"{at}.directory", found.get("directory", ""))


def partition(errors: ErrorList, at: str, found: Obj) -> None:
    if not 0 <= found.get("partition", 0) <= 255:
        errors.invalid(f"{at}.partition", found["partition"], names.inclusive_range(1, 255))


def _keys(errors: ErrorList, at: str, found: Obj) -> None:
    file_mode(errors, f"{at}.defaultMode", found.get("defaultMode"))
    for index, item in enumerate(found.get("items") or []):
        key_to_path(errors, f"{at}.items[{index}]", item)


def _nfs(errors: ErrorList, at: str, found: Obj) -> None:
    if not found.get("path", "").startswith("/"):
        errors.invalid(f"{at}.path", found.get("path", ""), "must be an absolute path")


IQN = re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9\-.]+)(:[^,;*&$|\s]+)$")
EUI = re.compile(r"^eui.[A-Za-z0-9]{16}$")
NAA = re.compile(r"^naa.[A-Za-z0-9]{32}$")
STARTS = {"iqn": IQN, "eui": EUI, "naa": NAA}


def iscsi_name(errors: ErrorList, path: str, name: str, otherwise: str) -> None:
    pattern = STARTS.get(name[:3])
    if pattern is None:
        errors.invalid(path, name, otherwise)
    elif not pattern.search(name):
        errors.invalid(path, name, "must be valid format")


def _iscsi(errors: ErrorList, at: str, found: Obj) -> None:
    start = "must be valid format starting with iqn, eui, or naa"
    errors.needed(found, at, "targetPortal", "iqn")
    if found.get("iqn"):
        iscsi_name(errors, f"{at}.iqn", found["iqn"], start)
    errors.within(f"{at}.lun", found.get("lun", 0), 0, 255)
    if (found.get("chapAuthDiscovery") or found.get("chapAuthSession")) and found.get("secretRef") is None:
        errors.required(f"{at}.secretRef")
    if found.get("initiatorName") is not None:
        iscsi_name(errors, f"{at}.initiatorname", found["initiatorName"], start)


def fibre_channel(errors: ErrorList, at: str, found: Obj) -> None:
    targets, wwids = found.get("targetWWNs") or [], found.get("wwids") or []
    if not targets and not wwids:
        errors.required(f"{at}.targetWWNs", "must specify either targetWWNs or wwids, but not both")
    if targets and wwids:
        errors.invalid(f"{at}.targetWWNs", targets, "targetWWNs and wwids can not be specified simultaneously")
    if targets and found.get("lun") is None:
        errors.required(f"{at}.lun", "lun is required if targetWWNs is specified")
    elif targets:
        errors.within(f"{at}.lun", found["lun"], 0, 255)


def _flocker(errors: ErrorList, at: str, found: Obj) -> None:
    name, uid = found.get("datasetName", ""), found.get("datasetUUID", "")
    if not name and not uid:
        errors.required(at, "one of datasetName and datasetUUID is required")
    if name and uid:
        errors.invalid(at, "resource", "datasetName and datasetUUID can not be specified simultaneously")
    if "/" in name:
        errors.invalid(f"{at}.datasetName", name, "must not contain '/'")


def _quobyte(errors: ErrorList, at: str, found: Obj) -> None:
    said = "must be a host:port pair or multiple pairs separated by commas"
    if not found.get("registry"):
        errors.required(f"{at}.registry", said)
    elif len(found.get("tenant", "")) >= 65:
        errors.required(f"{at}.tenant", "must be a UUID and may not exceed a length of 64 characters")
    else:
        for pair in found["registry"].split(","):
            if pair.count(":") != 1 and not re.fullmatch(r"\[[^\]]*\]:[^:]*", pair):
                errors.invalid(f"{at}.registry", found["registry"], said)
    errors.needed(found, at, "volume")


def flex_options(errors: ErrorList, at: str, found: Obj) -> None:
    for key in found.get("options") or {}:
        owner = "." + key.partition("/")[0].lower()
        if owner.endswith((".kubernetes.io", ".k8s.io")):
            errors.invalid(f"{at}.options[{key}]", key, "kubernetes.io and k8s.io namespaces are reserved")


def _azure_disk(errors: ErrorList, at: str, found: Obj) -> None:
    kind, uri = found.get("kind"), found.get("diskURI", "")
    errors.needed(found, at, "diskName", "diskURI")
    if found.get("cachingMode") is not None:
        errors.among(f"{at}.cachingMode", found["cachingMode"], ("None", "ReadOnly", "ReadWrite"))
    if kind is not None:
        errors.among(f"{at}.kind", kind, ("Dedicated", "Managed", "Shared"))
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        known = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
        errors.not_supported(f"{at}.diskURI", uri, (known,))
    if kind is not None and kind != "Managed" and not uri.startswith("https://"):
        known = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
        errors.not_supported(f"{at}.diskURI", uri, (known,))


def _storageos(errors: ErrorList, at: str, found: Obj) -> None:
    errors.needed(found, at, "volumeName")
    for name in ("volumeName", "volumeNamespace"):
        if found.get(name):
            errors.each(f"{at}.{name}", found[name], names.dns1123_label(found[name]))
    _named_secret(errors, at, found)


def _named_secret(errors: ErrorList, at: str, found: Obj) -> None:
    if found.get("secretRef") is not None:
        errors.needed(found["secretRef"], f"{at}.secretRef", "name")


def csi_driver_name(errors: ErrorList, path: str, name: str) -> None:
    if not name:
        errors.required(path)
        return
    if len(name) > 63:
        errors.too_long(path, 63)
    errors.each(path, name, names.dns1123_subdomain(name.lower()))


def _csi(errors: ErrorList, at: str, found: Obj) -> None:
    csi_driver_name(errors, f"{at}.driver", found.get("driver", ""))
    if (secret := found.get("nodePublishSecretRef")) is not None:
        errors.needed(secret, f"{at}.nodePublishSecretRef", "name")
        if secret.get("name"):
            errors.each(f"{at}.name", secret["name"], names.dns1123_subdomain(secret["name"]))


def _ephemeral(errors: ErrorList, at: str, found: Obj) -> None:
    template = found.get("volumeClaimTemplate")
    if template is None:
        errors.required(f"{at}.volumeClaimTemplate")
        return
    claim_template(errors, f"{at}.volumeClaimTemplate", template)


def claim_template(errors: ErrorList, at: str, template: Obj) -> None:
    metadata.of_template(errors, f"{at}.metadata", template.get("metadata") or {})
    claims.claim_spec(errors, f"{at}.spec", template.get("spec") or {})


def _image(errors: ErrorList, at: str, found: Obj) -> None:
    errors.one_of(f"{at}.pullPolicy", found.get("pullPolicy", ""), ("Always", "IfNotPresent", "Never"))


RULES: dict[str, Rule] = {
    "emptyDir": _empty_dir,
    "hostPath": host_path,
    "gitRepo": _git_repo,
    "gcePersistentDisk": partition,
    "awsElasticBlockStore": partition,
    "secret": _keys,
    "configMap": _keys,
    "nfs": _nfs,
    "iscsi": _iscsi,
    "fc": fibre_channel,
    "flocker": _flocker,
    "quobyte": _quobyte,
    "cinder": _named_secret,
    "flexVolume": flex_options,
    "azureDisk": _azure_disk,
    "storageos": _storageos,
    "csi": _csi,
    "ephemeral": _ephemeral,
    "image": _image,
    "downwardAPI": projected.downward,
    "projected": projected.projected,
}
