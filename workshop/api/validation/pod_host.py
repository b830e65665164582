"""What a pod shares with its node: ports, namespaces, host name and operating system. Upstream: core/validation
(validateHostUsers, validateOS, validateWindowsHostProcessPod), v1.36.2.
"""

from __future__ import annotations

from typing import Any

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import containers
from workshop.api.validation.field import ErrorList


def host_ports(errors: ErrorList, path: str, found: list[Obj], is_pod: bool) -> None:
    for index, each in enumerate(found):
        for i, port in enumerate(each.get("ports") or []):
            on_host, inside = port.get("hostPort", 0), port.get("containerPort", 0)
            if (is_pod or on_host) and on_host != inside:
                said = "must match `containerPort` when `hostNetwork` is true"
                errors.invalid(f"{path}[{index}].ports[{i}].hostPort", on_host, said)


def _windows_options(each: Obj) -> Any:
    return ((each.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")


def host_process(errors: ErrorList, path: str, spec: Obj) -> None:
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


def host_users(errors: ErrorList, path: str, spec: Obj) -> None:
    if spec.get("hostUsers") is not False:
        return
    refused = "when `hostUsers` is false"
    for name, said in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
        if spec.get(name):
            errors.forbidden(f"{path}.{said}", refused)
    for at, each in containers.every(spec, path):
        if each.get("volumeDevices"):
            errors.forbidden(f"{at}.volumeDevices", refused)


def host_name(errors: ErrorList, path: str, spec: Obj) -> None:
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


def operating_system(errors: ErrorList, path: str, spec: Obj) -> None:
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
