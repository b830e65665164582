"""Pods and pod templates. Upstream: core/validation (ValidatePodSpec, ValidatePodCreate), v1.36.2.

What a change of a pod may be is in pod_updates.py.
"""

from __future__ import annotations

import json
from typing import Any

from workshop.api import names, quantity
from workshop.api.meta import Obj
from workshop.api.validation import addresses, amounts, containers, metadata, scheduling, security
from workshop.api.validation.containers import Within
from workshop.api.validation.field import ErrorList
from workshop.api.validation.paths import descending
from workshop.api.validation.volumes import volumes

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
MIRROR = "kubernetes.io/config.mirror"
LARGEST = 2**31 - 1


def pod(errors: ErrorList, obj: Obj) -> None:
    """A new pod."""
    metadata_and_spec(errors, obj)
    spec = obj["spec"]
    if spec.get("ephemeralContainers"):
        errors.forbidden("spec.ephemeralContainers", "cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        errors.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")
    _profiles_match(errors, "spec", obj["metadata"].get("annotations") or {}, spec)


def metadata_and_spec(errors: ErrorList, obj: Obj) -> None:
    """All but the metadata that every kind has."""
    spec = obj["spec"]
    old_annotations(errors, "metadata.annotations", obj["metadata"].get("annotations") or {}, spec)
    pod_spec(errors, "spec", spec, obj["metadata"])
    if not spec.get("serviceAccountName"):
        for index, volume in enumerate(spec.get("volumes") or []):
            for i, source in enumerate((volume.get("projected") or {}).get("sources") or []):
                if source.get("serviceAccountToken") is not None:
                    at = f"spec.volumes[{index}].projected.sources[{i}].serviceAccountToken"
                    errors.forbidden(at, "must not be specified when serviceAccountName is not set")
    for kind in ("containers", "initContainers"):
        for index, each in enumerate(spec.get(kind) or []):
            containers.trimmed_image(errors, f"spec.{kind}[{index}]", each)


def template(errors: ErrorList, path: str, found: Obj) -> None:
    meta, spec = found.get("metadata") or {}, found.get("spec") or {}
    metadata.labels(errors, f"{path}.labels", meta.get("labels"))
    metadata.annotation_map(errors, f"{path}.annotations", meta.get("annotations"))
    old_annotations(errors, f"{path}.annotations", meta.get("annotations") or {}, spec)
    pod_spec(errors, f"{path}.spec", spec)
    _profiles_match(errors, f"{path}.spec", meta.get("annotations") or {}, spec)
    if spec.get("ephemeralContainers"):
        errors.forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def pod_spec(errors: ErrorList, path: str, spec: Obj, meta: Obj | None = None) -> None:
    """`meta` is a pod's; a template has none."""
    is_pod = meta is not None
    if spec.get("terminationGracePeriodSeconds") is None:
        errors.required(f"{path}.terminationGracePeriodSeconds")
    fine = volumes(errors, f"{path}.volumes", spec.get("volumes") or [], meta, is_pod)
    inside = Within(spec, fine)
    _resource_claims(errors, f"{path}.resourceClaims", spec.get("resourceClaims") or [])
    main = spec.get("containers") or []
    containers.containers(errors, f"{path}.containers", main, inside)
    containers.init_containers(errors, f"{path}.initContainers", spec.get("initContainers") or [], main, inside)
    containers.ephemeral_containers(errors, f"{path}.ephemeralContainers", spec, inside)
    _resources(errors, f"{path}.resources", spec, inside)
    if spec.get("hostNetwork"):
        _host_ports(errors, f"{path}.containers", main, is_pod)
    errors.one_of(f"{path}.restartPolicy", spec.get("restartPolicy", ""), RESTART_POLICIES)
    errors.one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy", ""), DNS_POLICIES)
    metadata.labels(errors, f"{path}.nodeSelector", spec.get("nodeSelector"))
    security.pod(errors, f"{path}.securityContext", spec.get("securityContext"), spec)
    scheduling.affinity(errors, f"{path}.affinity", spec.get("affinity"))
    _dns_config(errors, f"{path}.dnsConfig", spec.get("dnsConfig"), spec.get("dnsPolicy", ""))
    for index, gate in enumerate(spec.get("readinessGates") or []):
        metadata.label_key(errors, f"{path}.readinessGates[{index}].conditionType", gate.get("conditionType", ""))
    _scheduling_gates(errors, f"{path}.schedulingGates", spec.get("schedulingGates") or [])
    scheduling.spread(errors, f"{path}.topologySpreadConstraints", spec.get("topologySpreadConstraints") or [])
    _host_process(errors, path, spec)
    _host_users(errors, path, spec)
    _host_name(errors, path, spec)
    _names(errors, path, spec)
    scheduling.tolerations(errors, f"{path}.tolerations", spec.get("tolerations") or [])
    for index, alias in enumerate(spec.get("hostAliases") or []):
        at = f"{path}.hostAliases[{index}]"
        addresses.legacy_ip(errors, f"{at}.ip", alias.get("ip", ""))
        for i, host in enumerate(alias.get("hostnames") or []):
            errors.each(f"{at}.hostnames[{i}]", host, names.dns1123_subdomain(host))
    if spec.get("preemptionPolicy") is not None:
        known = ("PreemptLowerPriority", "Never")
        errors.one_of(f"{path}.preemptionPolicy", spec["preemptionPolicy"], known)
    if spec.get("overhead") is not None:
        amounts.requirements(errors, f"{path}.overhead", {"limits": spec["overhead"]})
    _os(errors, path, spec)
    _file_volumes(errors, path, spec)


NAMES = {
    "serviceAccountName": names.dns1123_subdomain,
    "nodeName": names.dns1123_subdomain,
    "hostname": names.dns1123_label,
    "subdomain": names.dns1123_label,
    "priorityClassName": names.dns1123_subdomain,
}


def _names(errors: ErrorList, path: str, spec: Obj) -> None:
    for name, check in NAMES.items():
        if spec.get(name):
            errors.each(f"{path}.{name}", spec[name], check(spec[name]))
    if (runtime := spec.get("runtimeClassName")) is not None:
        errors.each(f"{path}.runtimeClassName", runtime, names.dns1123_subdomain(runtime))
    errors.within(f"{path}.activeDeadlineSeconds", spec.get("activeDeadlineSeconds"), 1, LARGEST)


def _resource_claims(errors: ErrorList, path: str, found: list[Obj]) -> None:
    seen: set[str] = set()
    for index, each in enumerate(found):
        at, name = f"{path}[{index}]", each.get("name", "")
        claim, template = each.get("resourceClaimName"), each.get("resourceClaimTemplateName")
        shown = {"Name": name, "ResourceClaimName": claim, "ResourceClaimTemplateName": template}
        if not name:
            errors.required(f"{at}.name")
        elif name in seen:
            errors.duplicate(f"{at}.name", name)
        else:
            errors.each(f"{at}.name", name, names.dns1123_label(name))
            seen.add(name)
        lead = "`resourceClaimName` or `resourceClaimTemplateName` may be specified"
        if claim is not None and template is not None:
            errors.invalid(at, shown, f"at most one of {lead}")
        if claim is None and template is None:
            errors.invalid(at, shown, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`")
        for kind, value in (("resourceClaimName", claim), ("resourceClaimTemplateName", template)):
            if value is not None:
                errors.each(f"{at}.{kind}", value, names.dns1123_subdomain(value))


def _resources(errors: ErrorList, at: str, spec: Obj, inside: Within) -> None:
    """Limits and requests of the whole pod."""
    found = spec.get("resources")
    if found is None:
        return
    if inside.os == "windows":
        errors.forbidden(at, "may not be set for a windows pod")
        return
    if found.get("claims"):
        errors.forbidden(f"{at}.claims", "claims may not be set for Resources at pod-level")
    amounts.requirements(errors, at, found, inside.claims, amounts.pod_resource)
    limits, requests = found.get("limits") or {}, found.get("requests") or {}
    for name, asked in _sum(spec, "requests").items():
        if name in requests and asked > quantity.parse(requests[name]):
            said = f"must be greater than or equal to aggregate container requests of {asked}"
            errors.invalid(f"{at}.requests[{name}]", requests[name], said)
    for name, asked in _sum(spec, "limits").items():
        if amounts.is_huge(name) and name in limits and asked > quantity.parse(limits[name]):
            said = f"must be greater than or equal to aggregate container limits of {asked}"
            errors.invalid(f"{at}.limits[{name}]", limits[name], said)
    for index, each in enumerate(spec.get("containers") or []):
        for name, value in ((each.get("resources") or {}).get("limits") or {}).items():
            if name in limits and quantity.parse(value) > quantity.parse(limits[name]):
                said = f"must be less than or equal to pod limits of {limits[name]}"
                errors.invalid(f"{at}.containers[{index}][{name}].limits", value, said)


def _sum(spec: Obj, kind: str) -> dict[str, quantity.Quantity]:
    """All containers together; sidecars count beside them, other init containers one at a time."""
    total: dict[str, quantity.Quantity] = {}
    sidecars: dict[str, quantity.Quantity] = {}
    peak: dict[str, quantity.Quantity] = {}
    zero = quantity.parse("0")

    def read(each: Obj) -> dict[str, quantity.Quantity]:
        found = (each.get("resources") or {}).get(kind) or {}
        return {name: quantity.parse(value) for name, value in found.items()}

    for each in spec.get("containers") or []:
        for name, value in read(each).items():
            total[name] = total.get(name, zero) + value
    for each in spec.get("initContainers") or []:
        for name, value in read(each).items():
            if each.get("restartPolicy") == "Always":
                total[name] = total.get(name, zero) + value
                sidecars[name] = sidecars.get(name, zero) + value
                now = sidecars[name]
            else:
                now = sidecars.get(name, zero) + value
            peak[name] = max(peak.get(name, zero), now)
    return {name: max(total.get(name, zero), peak.get(name, zero)) for name in {**total, **peak}}


def _host_ports(errors: ErrorList, path: str, found: list[Obj], is_pod: bool) -> None:
    for index, each in enumerate(found):
        for i, port in enumerate(each.get("ports") or []):
            on_host, inside = port.get("hostPort", 0), port.get("containerPort", 0)
            if (is_pod or on_host) and on_host != inside:
                said = "must match `containerPort` when `hostNetwork` is true"
                errors.invalid(f"{path}[{index}].ports[{i}].hostPort", on_host, said)


def _dns_config(errors: ErrorList, at: str, found: Obj | None, policy: str) -> None:
    servers, searches = (found or {}).get("nameservers") or [], (found or {}).get("searches") or []
    if policy == "None" and found is None:
        errors.required(at, "must provide `dnsConfig` when `dnsPolicy` is None")
        return
    if policy == "None" and not servers:
        errors.required(f"{at}.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")
        return
    if found is None:
        return
    if len(servers) > 3:
        errors.invalid(f"{at}.nameservers", servers, "must not have more than 3 nameservers")
    for index, server in enumerate(servers):
        addresses.legacy_ip(errors, f"{at}.nameservers[{index}]", server)
    if len(searches) > 32:
        errors.invalid(f"{at}.searches", searches, "must not have more than 32 search paths")
    if len(" ".join(searches)) > 2048:
        said = "must not have more than 2048 characters (including spaces) in the search list"
        errors.invalid(f"{at}.searches", searches, said)
    for index, search in enumerate(searches):
        if search != ".":
            search = search.removesuffix(".")
            errors.each(f"{at}.searches[{index}]", search, names.dns1123_subdomain_with_underscore(search))
    for index, option in enumerate(found.get("options") or []):
        if not option.get("name"):
            errors.required(f"{at}.options[{index}]", "must not be empty")


def _scheduling_gates(errors: ErrorList, path: str, found: list[Obj]) -> None:
    seen: set[str] = set()
    for index, gate in enumerate(found):
        name = gate.get("name", "")
        metadata.label_key(errors, f"{path}[{index}]", name)
        if name in seen:
            errors.duplicate(f"{path}[{index}]", name)
        seen.add(name)


def _windows_options(each: Obj) -> Any:
    return ((each.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")


def _host_process(errors: ErrorList, path: str, spec: Obj) -> None:
    of_pod, hosting, count = _windows_options(spec), 0, 0
    for at, each in containers.every(spec, path):
        mine = _windows_options(each)
        count += 1
        if of_pod is not None and mine is not None and of_pod != mine:
            said = f"pod hostProcess value must be identical if both are specified, was {str(of_pod).lower()}"
            errors.invalid(f"{at}.securityContext.windowsOptions.hostProcess", mine, said)
        hosting += bool(mine or (mine is None and of_pod))
    if not hosting:
        return
    if hosting != count:
        said = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        errors.invalid(path, "", said)
    if not spec.get("hostNetwork"):
        said = "hostNetwork must be true if pod contains any hostProcess containers"
        errors.invalid(f"{path}.hostNetwork", False, said)


def _host_users(errors: ErrorList, path: str, spec: Obj) -> None:
    if spec.get("hostUsers") is not False:
        return
    refused = "when `hostUsers` is false"
    for name, said in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
        if spec.get(name):
            errors.forbidden(f"{path}.{said}", refused)
    for at, each in containers.every(spec, path):
        if each.get("volumeDevices"):
            errors.forbidden(f"{at}.volumeDevices", refused)


def _host_name(errors: ErrorList, path: str, spec: Obj) -> None:
    name, at = spec.get("hostnameOverride"), f"{path}.hostnameOverride"
    if name is None:
        return
    for other in ("setHostnameAsFQDN", "hostNetwork"):
        if spec.get(other):
            errors.forbidden(at, f"may not be specified when {other} is true")
    if len(name) > 64:
        errors.too_long(at, 64)
    errors.each(at, name, names.dns1123_subdomain(name))


NOT_WINDOWS = "cannot be set for a windows pod"
NOT_WINDOWS_POD = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls", "runAsUser",
    "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy",
)  # fmt: skip
NOT_WINDOWS_CONTAINER = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged",
    "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup",
)  # fmt: skip


def _os(errors: ErrorList, path: str, spec: Obj) -> None:
    if spec.get("os") is None:
        return
    os = spec["os"].get("name", "")
    context = spec.get("securityContext") or {}
    if not os:
        errors.required(f"{path}.os.name")
    elif os == "linux":
        for at, each in ((path, spec), *containers.every(spec, path)):
            if (each.get("securityContext") or {}).get("windowsOptions") is not None:
                said = "windows options cannot be set for a linux pod"
                errors.forbidden(f"{at}.securityContext.windowsOptions", said)
    elif os == "windows":
        for name in NOT_WINDOWS_POD:
            if context.get(name) is not None:
                errors.forbidden(f"{path}.securityContext.{name}", NOT_WINDOWS)
        for name in ("hostUsers", "shareProcessNamespace"):
            if spec.get(name) is not None:
                errors.forbidden(f"{path}.{name}", NOT_WINDOWS)
        for name in ("hostPID", "hostIPC"):
            if spec.get(name):
                errors.forbidden(f"{path}.{name}", NOT_WINDOWS)
        for at, each in containers.every(spec, path):
            for name in NOT_WINDOWS_CONTAINER:
                if (each.get("securityContext") or {}).get(name) is not None:
                    errors.forbidden(f"{at}.securityContext.{name}", NOT_WINDOWS)
    else:
        errors.not_supported(f"{path}.os", os, ("linux", "windows"))


def _file_volumes(errors: ErrorList, path: str, spec: Obj) -> None:
    known = {volume.get("name", ""): volume for volume in spec.get("volumes") or []}
    for at, each in containers.every(spec, path):
        for index, variable in enumerate(each.get("env") or []):
            if (ref := (variable.get("valueFrom") or {}).get("fileKeyRef")) is None:
                continue
            name, where = ref.get("volumeName", ""), f"{at}.env[{index}].valueFrom.fileKeyRef.volumeName"
            if name not in known:
                errors.not_found(where, name)
            elif known[name].get("emptyDir") is None:
                errors.invalid(where, name, "referenced volume must be of type emptyDir")


# --- annotations of old ---------------------------------------------------------------------------------------------

SECCOMP, SECCOMP_OF = "seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/"
APP_ARMOR_OF = "container.apparmor.security.beta.kubernetes.io/"
TOLERATIONS = "scheduler.alpha.kubernetes.io/tolerations"
COST = "controller.kubernetes.io/pod-deletion-cost"
MUST_MATCH = "in annotation and field must match"


def old_annotations(errors: ErrorList, path: str, found: dict[str, str], spec: Obj) -> None:
    if MIRROR in found and not spec.get("nodeName"):
        said = "must set spec.nodeName if mirror pod annotation is set"
        errors.invalid(f"{path}[{MIRROR}]", found[MIRROR], said)
    if found.get(TOLERATIONS):
        try:
            tolerations = json.loads(found[TOLERATIONS])
        except ValueError:
            errors.invalid(path, TOLERATIONS, "invalid character in the annotation")
        else:
            scheduling.tolerations(errors, f"{path}.{TOLERATIONS}", tolerations)
    if (cost := found.get(COST)) is not None and not _is_cost(cost):
        errors.invalid(f"{path}[{COST}]", cost, "must be a 32bit integer")
    known = {each.get("name", "") for _, each in containers.every(spec, "spec")}
    for key, value in found.items():
        if key == SECCOMP or key.startswith(SECCOMP_OF):
            _seccomp_name(errors, f"{path}.{key}", value)
        if key.startswith(APP_ARMOR_OF):
            if (name := key.removeprefix(APP_ARMOR_OF)) not in known:
                errors.invalid(f"{path}[{key}]", name, "container not found")
            if value not in ("", "runtime/default", "unconfined") and not value.startswith("localhost/"):
                errors.invalid(f"{path}[{key}]", value, f'invalid AppArmor profile name: "{value}"')


def _is_cost(text: str) -> bool:
    """A whole number of 32 bits, without a plus sign or leading zeros."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or (digits != "0" and digits[0] == "0"):
        return False
    return -(2**31) <= int(text) < 2**31


def _seccomp_name(errors: ErrorList, path: str, profile: str) -> None:
    if profile.startswith("localhost/"):
        descending(errors, path, profile.removeprefix("localhost/"))
    elif profile not in ("runtime/default", "docker/default", "unconfined"):
        errors.invalid(path, profile, "must be a valid seccomp profile")


def _profiles_match(errors: ErrorList, path: str, found: dict[str, str], spec: Obj) -> None:
    """A profile that is told twice, in an annotation of old and in a field, is the same."""
    of_pod = spec.get("securityContext") or {}
    if SECCOMP in found and of_pod.get("seccompProfile") is not None:
        _same(errors, f"{path}.securityContext.seccompProfile", "seccomp", of_pod["seccompProfile"], found[SECCOMP])
    for at, each in containers.every(spec, path):
        context, name = each.get("securityContext") or {}, each.get("name", "")
        if context.get("seccompProfile") is not None and SECCOMP_OF + name in found:
            given = found[SECCOMP_OF + name]
            _same(errors, f"{at}.securityContext.seccompProfile", "seccomp", context["seccompProfile"], given)
        profile = context.get("appArmorProfile") or of_pod.get("appArmorProfile")
        windows = (spec.get("os") or {}).get("name") == "windows"
        if profile is not None and APP_ARMOR_OF + name in found and not windows:
            given = found[APP_ARMOR_OF + name]
            _same(errors, f"{at}.securityContext.appArmorProfile", "apparmor", profile, given)


def _same(errors: ErrorList, at: str, what: str, profile: Obj, given: str) -> None:
    kind = profile.get("type")
    fitting = {"Unconfined": ("unconfined",), "RuntimeDefault": ("runtime/default",)}.get(kind or "", ())
    if what == "seccomp" and kind == "RuntimeDefault":
        fitting = (*fitting, "docker/default")
    if kind == "Localhost":
        if not given.startswith("localhost/"):
            errors.forbidden(f"{at}.type", f"{what} type {MUST_MATCH}")
        elif given.removeprefix("localhost/") != profile.get("localhostProfile"):
            errors.forbidden(f"{at}.localhostProfile", f"{what} profile {MUST_MATCH}")
    elif fitting and given not in fitting:
        errors.forbidden(f"{at}.type", f"{what} type {MUST_MATCH}")
