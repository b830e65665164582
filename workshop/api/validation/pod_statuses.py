"""What a pod's status may say. Upstream: core/validation (ValidatePodStatusUpdate), v1.36.2."""

from __future__ import annotations

from workshop.api import names, restarts
from workshop.api.meta import Obj
from workshop.api.validation import addresses, metadata, pods
from workshop.api.validation.field import ErrorList
from workshop.api.validation.pod_updates import annotation_changes

STATUSES = {
    "containerStatuses": "containers",
    "initContainerStatuses": "initContainers",
    "ephemeralContainerStatuses": "ephemeralContainers",
}


def pod_status(errors: ErrorList, new: Obj, old: Obj) -> None:
    annotation_changes(errors, new, old)
    status, before = new.get("status") or {}, old.get("status") or {}
    for index, each in enumerate(status.get("conditions") or []):
        at = f"status.conditions[{index}]"
        if each.get("observedGeneration", 0) < 0:
            errors.invalid(f"{at}.observedGeneration", each["observedGeneration"], "must be a non-negative integer")
        if each.get("type") not in ("PodScheduled", "Ready", "Initialized"):
            metadata.label_key(errors, f"{at}.Type", each.get("type", ""))
    nominated = status.get("nominatedNodeName", "")
    if nominated and nominated != before.get("nominatedNodeName", ""):
        errors.each("status.nominatedNodeName", nominated, names.dns1123_subdomain(nominated))
        if old["spec"].get("nodeName"):
            said = "may not be set on pods that are already bound to a node"
            errors.forbidden("status.nominatedNodeName", said)
    if status.get("observedGeneration", 0) < 0:
        errors.invalid("status.observedGeneration", status["observedGeneration"], "must be a non-negative integer")
    errors.immutable("status.qosClass", status.get("qosClass", ""), before.get("qosClass", ""))
    for kind, of in STATUSES.items():
        _transitions(errors, kind, status.get(kind) or [], before.get(kind) or [], old["spec"], of)
    _claim_statuses(errors, status.get("resourceClaimStatuses") or [], new["spec"])
    _ips(errors, "podIPs", status, before)
    _ips(errors, "hostIPs", status, before)
    for kind, of in STATUSES.items():
        found = status.get(kind) or []
        _users(errors, f"status.{kind}", found, (new["spec"].get("os") or {}).get("name", "linux"))
        _device_health(errors, f"status.{kind}", found, new["spec"].get(of) or [], of)
    _extended_claim(errors, status.get("extendedResourceClaimStatus"), new["spec"])


def _transitions(errors: ErrorList, kind: str, new: list[Obj], old: list[Obj], spec: Obj, of: str) -> None:
    """A container that has ended, and is not to be started again, stays ended."""
    if of != "ephemeralContainers" and restarts.may_restart_all(spec):
        return
    for index, before in enumerate(old):
        ended = (before.get("state") or {}).get("terminated")
        if ended is None:
            continue
        for after in new:
            if after.get("name") != before.get("name") or (after.get("state") or {}).get("terminated") is not None:
                continue
            container = next((c for c in spec.get(of) or [] if c.get("name") == after.get("name")), None)
            if (
                of == "ephemeralContainers"
                or container is None
                or not restarts.restarts_after(spec, container, ended.get("exitCode", 0))
            ):
                errors.forbidden(f"status.{kind}[{index}].state", "may not be transitioned to non-terminated state")
            break


def _claim_statuses(errors: ErrorList, found: list[Obj], spec: Obj) -> None:
    known = {claim.get("name") for claim in spec.get("resourceClaims") or []}
    seen: set[str] = set()
    for index, each in enumerate(found):
        at, name = f"status.resourceClaimStatuses[{index}]", each.get("name", "")
        if name not in known:
            errors.invalid(f"{at}.name", name, "must match the name of an entry in `spec.resourceClaims`")
        if name in seen:
            errors.duplicate(f"{at}.name", name)
        seen.add(name)
        if (claim := each.get("resourceClaimName")) is not None:
            errors.each(f"{at}.resourceClaimName", claim, names.dns1123_subdomain(claim))


def _ips(errors: ErrorList, kind: str, status: Obj, before: Obj) -> None:
    found = [each.get("ip", "") for each in status.get(kind) or []]
    known = {each.get("ip", "") for each in before.get(kind) or []}
    if kind == "hostIPs" and found and status.get("hostIP", "") != found[0]:
        errors.invalid("status.hostIPs[0].ip", found[0], "must be equal to `hostIP`")
    for index, ip in enumerate(found):
        addresses.legacy_ip(errors, f"status.{kind}[{index}]", ip, known)
    odd = next((index for index, ip in enumerate(found) if addresses.parse(ip) is None), None)
    if len(found) > 1 and odd is not None:
        said = f"failed to check for dual stack with error:invalid IP[{odd}]: {found[odd]}"
        errors.internal(f"status.{kind}", said)
    if len(found) > 1 and (not addresses.dual(found) or len(found) > 2):
        shown = [{"IP": ip} for ip in found]
        errors.invalid(f"status.{kind}", shown, "may specify no more than one IP for each IP family")


def _users(errors: ErrorList, path: str, found: list[Obj], os: str) -> None:
    for index, each in enumerate(found):
        at, user = f"{path}[{index}].user.linux", (each.get("user") or {}).get("linux")
        if user is None:
            continue
        if os == "windows":
            errors.forbidden(at, "cannot be set for a windows pod")
            continue
        for name in ("uid", "gid"):
            errors.within(f"{at}.{name}", user.get(name, 0), 0, pods.LARGEST)
        for i, group in enumerate(user.get("supplementalGroups") or []):
            errors.within(f"{at}.supplementalGroups[{i}]", group, 0, pods.LARGEST)


HEALTHS = ("Healthy", "Unhealthy", "Unknown")
NO_CLAIM = (
    "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or "
    "'claim:<claimName>' if request is empty"
)


def _device_health(errors: ErrorList, path: str, found: list[Obj], containers: list[Obj], of: str) -> None:
    for index, status in enumerate(found):
        at, told = f"{path}[{index}].allocatedResourcesStatus", status.get("allocatedResourcesStatus") or []
        if of == "ephemeralContainers":
            if told:
                errors.forbidden(at, "must not be specified in container status")
            continue
        container = next((c for c in containers if c.get("name") == status.get("name")), None)
        for i, each in enumerate(told):
            if container is not None and (why := _no_resource(container, each.get("name", ""))):
                errors.invalid(f"{at}[{i}].name", each.get("name", ""), why)
            seen: set[str] = set()
            for k, part in enumerate(each.get("resources") or []):
                errors.among(f"{at}[{i}].resources[{k}].health", part.get("health"), HEALTHS)
                if part.get("resourceID", "") in seen:
                    errors.duplicate(f"{at}[{i}].resources[{k}].resourceID", part.get("resourceID", ""))
                seen.add(part.get("resourceID", ""))


def _no_resource(container: Obj, name: str) -> str:
    resources = container.get("resources") or {}
    if not name.startswith("claim:"):
        return (
            "" if name in (resources.get("requests") or {}) else "must match one of the container's resource requests"
        )
    claims = [
        c.get("name", "") + (f"/{c['request']}" if c.get("request") else "") for c in resources.get("claims") or []
    ]
    return "" if name.removeprefix("claim:") in claims else NO_CLAIM


NO_EXTENDED = (
    "must match the extended resource name of an entry in spec.initContainers.resources.requests or "
    "spec.containers.resources.requests"
)


def _extended_claim(errors: ErrorList, found: Obj | None, spec: Obj) -> None:
    if found is None:
        return
    at, seen = "status.extendedResourceClaimStatus", set()
    containers = {c.get("name"): c for c in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]}
    if not found.get("requestMappings"):
        errors.required(f"{at}.requestMappings", "at least one request mapping is required")
    for index, each in enumerate(found.get("requestMappings") or []):
        path, key = f"{at}.requestMappings[{index}]", tuple(each.get(n, "") for n in MAPPING)
        container = containers.get(key[0])
        if container is None:
            said = "must match the name of an entry in spec.initContainers.name or spec.containers.name"
            errors.invalid(f"{path}.containerName", key[0], said)
        elif key[1] not in ((container.get("resources") or {}).get("requests") or {}):
            errors.invalid(f"{path}.resourceName", key[1], NO_EXTENDED)
        errors.each(f"{at}.requestName", key[2], names.dns1123_label(key[2]))
        for name, value in zip(MAPPING, key, strict=True) if key in seen else ():
            errors.duplicate(f"{path}.{name}", value)
        seen.add(key)
    claim = found.get("resourceClaimName", "")
    if not claim:
        errors.required(f"{at}.resourceClaimName")
    else:
        errors.each(f"{at}.resourceClaimName", claim, names.dns1123_subdomain(claim))


MAPPING = ("containerName", "resourceName", "requestName")
