"""Kinds of storage.k8s.io. Upstream: pkg/apis/storage/validation, v1.36.2."""

from __future__ import annotations

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import amounts, metadata, persistent_volumes, scheduling
from workshop.api.validation.field import ErrorList
from workshop.api.validation.volumes import csi_driver_name

MOST_PARAMETERS, BIGGEST_PARAMETERS = 512, 256 * 1024
POLICIES, BINDING = ("Delete", "Retain"), ("Immediate", "WaitForFirstConsumer")


def _provisioner(errors: ErrorList, path: str, name: str) -> None:
    if not name:
        errors.required(path)
    else:
        errors.each(path, name.lower(), names.qualified_name(name.lower()))


def _parameters(errors: ErrorList, found: dict[str, str] | None, may_be_empty: bool) -> None:
    found, size = found or {}, 0
    if len(found) > MOST_PARAMETERS:
        errors.too_long("parameters", MOST_PARAMETERS)
        return
    for key, value in found.items():
        if not key:
            errors.invalid("parameters", key, "field can not be empty.")
        size += len(key.encode()) + len(value.encode())
    if size > BIGGEST_PARAMETERS:
        errors.too_long("parameters", BIGGEST_PARAMETERS)
    if not may_be_empty and not found:
        errors.required("parameters", "must contain at least one key/value pair")


def storage_class(errors: ErrorList, obj: Obj) -> None:
    _provisioner(errors, "provisioner", obj.get("provisioner", ""))
    _parameters(errors, obj.get("parameters"), True)
    if obj.get("reclaimPolicy"):
        errors.among("reclaimPolicy", obj["reclaimPolicy"], POLICIES)
    if obj.get("volumeBindingMode") is None:
        errors.required("volumeBindingMode")
    else:
        errors.among("volumeBindingMode", obj["volumeBindingMode"], BINDING)
    seen: list[dict[str, set[str]]] = [{} for _ in obj.get("allowedTopologies") or []]
    for index, term in enumerate(obj.get("allowedTopologies") or []):
        found = scheduling.topology_term(errors, f"allowedTopologies[{index}]", term)
        for other in seen:
            if other == found:
                errors.duplicate(f"allowedTopologies[{index}].matchLabelExpressions", "")
        seen.append(found)


def storage_class_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    for name in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
        errors.immutable(name, new.get(name), old.get(name))


def attributes_class(errors: ErrorList, obj: Obj) -> None:
    _provisioner(errors, "driverName", obj.get("driverName", ""))
    _parameters(errors, obj.get("parameters"), False)


def attributes_class_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    for name in ("driverName", "parameters"):
        if (new.get(name) or None) != (old.get(name) or None):
            errors.forbidden(name, f"updates to {name} are forbidden.")
    attributes_class(errors, new)


def attachment(errors: ErrorList, obj: Obj) -> None:
    spec, source = obj["spec"], obj["spec"].get("source") or {}
    csi_driver_name(errors, "spec.attacher", spec.get("attacher", ""))
    volume, inline, at = source.get("persistentVolumeName"), source.get("inlineVolumeSpec"), "spec.source"
    one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if volume is None and inline is None:
        errors.required(at, one)
    elif volume is not None and inline is not None:
        errors.forbidden(at, one)
    elif volume == "":
        errors.required(f"{at}.persistentVolumeName", "must specify non empty persistentVolumeName")
    elif inline is not None:
        persistent_volumes.inline(errors, f"{at}.inlineVolumeSpec", inline)
    node = spec.get("nodeName", "")
    errors.each("spec.nodeName", node, names.dns1123_subdomain(node))
    attachment_status(errors, obj, obj)
    if volume is not None:
        errors.each(f"{at}.persistentVolumeName", volume, names.dns1123_subdomain(volume))


def attachment_status(errors: ErrorList, new: Obj, old: Obj) -> None:
    status = new.get("status") or {}
    told = status.get("attachmentMetadata") or {}
    if sum(len(k.encode()) + len(v.encode()) for k, v in told.items()) > BIGGEST_PARAMETERS:
        errors.too_long("status.attachmentMetadata", BIGGEST_PARAMETERS)
    for name in ("attachError", "detachError"):
        found = status.get(name) or {}
        if len(found.get("message", "").encode()) > 1024:
            errors.too_long(f"status.{name}.message", BIGGEST_PARAMETERS)
        if (code := found.get("errorCode")) is not None and code < 0:
            errors.invalid(f"status.{name}.errorCode", code, names.inclusive_range(0, 2**31 - 1))


def attachment_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    errors.immutable("spec", new["spec"], old["spec"])


def csi_node(errors: ErrorList, obj: Obj) -> None:
    seen: set[str] = set()
    for index, driver in enumerate(obj["spec"].get("drivers") or []):
        at, name, node = f"spec.drivers[{index}]", driver.get("name", ""), driver.get("nodeID", "")
        csi_driver_name(errors, f"{at}.name", name)
        if not node:
            errors.required(f"{at}.nodeID")
        if len(node) > 256:
            errors.invalid(f"{at}.nodeID", node, "must be 256 characters or less")
        errors.not_negative(driver.get("allocatable") or {}, f"{at}.allocatable", "count")
        if name in seen:
            errors.duplicate(f"{at}.name", name)
        seen.add(name)
        keys = driver.get("topologyKeys") or []
        for i, key in enumerate(keys):
            if not key:
                errors.required(at)
            if key in keys[:i]:
                errors.duplicate(at, key)
            metadata.label_key(errors, at, key)


def csi_node_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    def fixed(driver: Obj) -> Obj:
        return {
            "Name": driver.get("name", ""), "NodeID": driver.get("nodeID", ""),
            "TopologyKeys": driver.get("topologyKeys"), "Allocatable": None,
        }  # fmt: skip

    for theirs in old["spec"].get("drivers") or []:
        for mine in new["spec"].get("drivers") or []:
            if mine.get("name") == theirs.get("name"):
                errors.immutable("spec.drivers", fixed(mine), fixed(theirs))


def csi_driver(errors: ErrorList, obj: Obj) -> None:
    spec, requests = obj["spec"], obj["spec"].get("tokenRequests") or []
    for name, told in (("attachRequired", "attachedRequired"), ("podInfoOnMount", ""), ("storageCapacity", "")):
        if spec.get(name) is None:
            errors.required(f"spec.{told or name}")
    if spec.get("fsGroupPolicy") is not None:
        errors.among("spec.fsGroupPolicy", spec["fsGroupPolicy"], ("File", "None", "ReadWriteOnceWithFSType"))
    _token_requests(errors, requests)
    for mode in spec.get("volumeLifecycleModes") or []:
        errors.among("spec.volumeLifecycleModes", mode, ("Persistent", "Ephemeral"))
    if spec.get("seLinuxMount") is None:
        errors.required("spec.seLinuxMount")
    if (seconds := spec.get("nodeAllocatableUpdatePeriodSeconds")) is not None and seconds < 10:
        said = "must be greater than or equal to 10 seconds"
        errors.invalid("spec.nodeAllocatableUpdatePeriodSeconds", seconds, said)
    if (given := spec.get("serviceAccountTokenInSecrets")) is not None and not requests:
        said = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
        errors.invalid("spec.serviceAccountTokenInSecrets", given, said)


def _token_requests(errors: ErrorList, requests: list[Obj]) -> None:
    seen: set[str] = set()
    for index, request in enumerate(requests):
        at, audience, seconds = (
            f"spec.tokenRequests[{index}]",
            request.get("audience", ""),
            request.get("expirationSeconds"),
        )
        if audience in seen:
            errors.duplicate(f"{at}.audience", audience)
            continue
        seen.add(audience)
        if seconds is not None and seconds < 600:
            errors.invalid(f"{at}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
        if seconds is not None and seconds > 1 << 32:
            errors.invalid(f"{at}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")


def csi_driver_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    for name, told in (("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")):
        errors.immutable(f"spec.{told}", new["spec"].get(name), old["spec"].get(name))


def capacity(errors: ErrorList, obj: Obj) -> None:
    metadata.selector(errors, "nodeTopology", obj.get("nodeTopology"))
    name = obj.get("storageClassName", "")
    errors.each("storageClassName", name, names.dns1123_subdomain(name))
    if obj.get("capacity") is not None:
        amounts.not_negative(errors, "capacity", obj["capacity"])


def capacity_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    for name in ("nodeTopology", "storageClassName"):
        errors.immutable(name, new.get(name), old.get(name))
