"""Security contexts of pods and containers. Upstream: core/validation (ValidateSecurityContext,
validatePodSpecSecurityContext, validateWindowsSecurityContextOptions), v1.36.2."""

from __future__ import annotations

import re
from collections.abc import Iterable

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation.field import ErrorList
from workshop.api.validation.paths import descending

LARGEST_ID = 2**31 - 1
PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
SYSCTL = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
SYSCTL_NAME = rf"({SYSCTL}[\./])*{SYSCTL}"


def ids(errors: ErrorList, at: str, context: Obj, *fields: str) -> None:
    for name in fields:
        errors.within(f"{at}.{name}", context.get(name), 0, LARGEST_ID)


def pod(errors: ErrorList, at: str, context: Obj | None, spec: Obj) -> None:
    if context is None:
        return
    ids(errors, at, context, "fsGroup", "runAsUser", "runAsGroup")
    for index, group in enumerate(context.get("supplementalGroups") or []):
        errors.within(f"{at}.supplementalGroups[{index}]", group, 0, LARGEST_ID)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        said = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.invalid(f"{at}.shareProcessNamespace", True, said)
    _sysctls(errors, f"{at}.sysctls", context.get("sysctls") or [], spec)
    for name, known in (
        ("fsGroupChangePolicy", ("Always", "OnRootMismatch")),
        ("supplementalGroupsPolicy", ("Merge", "Strict")),
        ("seLinuxChangePolicy", ("Recursive",)),
    ):
        if context.get(name) is not None:
            errors.among(f"{at}.{name}", context[name], known)
    seccomp(errors, f"{at}.seccompProfile", context.get("seccompProfile"))
    windows(errors, f"{at}.windowsOptions", context.get("windowsOptions"))
    app_armor(errors, f"{at}.appArmorProfile", context.get("appArmorProfile"))


def _sysctls(errors: ErrorList, path: str, found: list[Obj], spec: Obj) -> None:
    seen: set[str] = set()
    for index, each in enumerate(found):
        at, name = f"{path}[{index}].name", each.get("name", "")
        if not name:
            errors.required(at)
        elif len(name) > 253 or not re.fullmatch(SYSCTL_NAME, name):
            errors.invalid(at, name, f"must have at most 253 characters and match regex ^{SYSCTL_NAME}$")
        elif name in seen:
            errors.duplicate(at, name)
        seen.add(name)
        dotted = name.replace("/", ".")
        if spec.get("hostNetwork") and dotted.startswith("net."):
            errors.invalid(at, name, "may not be specified when 'hostNetwork' is true")
        elif spec.get("hostIPC") and (
            dotted.startswith(("kernel.shm", "kernel.msg", "fs.mqueue.")) or dotted == "kernel.sem"
        ):
            errors.invalid(at, name, "may not be specified when 'hostIPC' is true")


def container(errors: ErrorList, at: str, context: Obj | None, host_users: bool) -> None:
    if context is None:
        return
    ids(errors, at, context, "runAsUser", "runAsGroup")
    if (mount := context.get("procMount")) is not None:
        errors.among(f"{at}.procMount", mount, ("Default", "Unmasked"))
        if host_users and mount == "Unmasked":
            errors.invalid(f"{at}.procMount", mount, "`hostUsers` must be false to use `Unmasked`")
    seccomp(errors, f"{at}.seccompProfile", context.get("seccompProfile"))
    if context.get("allowPrivilegeEscalation") is False:
        lead = "cannot set `allowPrivilegeEscalation` to false and"
        if context.get("privileged"):
            errors.invalid(at, internal(context), f"{lead} `privileged` to true")
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or []):
            errors.invalid(at, internal(context), f"{lead} `capabilities.Add` CAP_SYS_ADMIN")
    windows(errors, f"{at}.windowsOptions", context.get("windowsOptions"))
    app_armor(errors, f"{at}.appArmorProfile", context.get("appArmorProfile"))


INTERNAL = (
    "capabilities", "privileged", "seLinuxOptions", "windowsOptions", "runAsUser", "runAsGroup", "runAsNonRoot",
    "readOnlyRootFilesystem", "allowPrivilegeEscalation", "procMount", "seccompProfile", "appArmorProfile",
)  # fmt: skip


def internal(context: Obj) -> Obj:
    """As upstream prints it: its internal type, all fields, names with capitals."""

    def inner(value: object) -> object:
        if isinstance(value, dict):
            return {_capital(name): inner(v) for name, v in value.items()}
        return value

    made: Obj = {}
    for name in INTERNAL:
        value = context.get(name)
        if name == "capabilities" and value is not None:
            value = {"add": value.get("add"), "drop": value.get("drop")}
        if name == "seLinuxOptions" and value is not None:
            value = {part: value.get(part, "") for part in ("user", "role", "type", "level")}
        if name in ("seccompProfile", "appArmorProfile") and value is not None:
            value = {"type": value.get("type", ""), "localhostProfile": value.get("localhostProfile")}
        made[_capital(name)] = inner(value)
    return made


def _capital(name: str) -> str:
    return {"seLinuxOptions": "SELinuxOptions"}.get(name, name[:1].upper() + name[1:])


def seccomp(errors: ErrorList, at: str, profile: Obj | None) -> None:
    if profile is None:
        return
    local = profile.get("localhostProfile")
    errors.one_of(f"{at}.type", profile.get("type"), PROFILES, "type is required when seccompProfile is set")
    if profile.get("type") != "Localhost":
        if local is not None:
            shown = {"Type": profile.get("type", ""), "LocalhostProfile": local}
            errors.invalid(f"{at}.localhostProfile", shown, "can only be set when seccomp type is Localhost")
    elif local is None:
        errors.required(f"{at}.localhostProfile", "must be set when seccomp type is Localhost")
    else:
        descending(errors, f"{at}.localhostProfile", local)


def app_armor(errors: ErrorList, at: str, profile: Obj | None) -> None:
    if profile is None:
        return
    kind, local, path = profile.get("type"), profile.get("localhostProfile"), f"{at}.localhostProfile"
    if kind == "Localhost":
        if local is not None and local != local.strip():
            errors.invalid(path, local, "must not be padded with whitespace")
        elif not local:
            errors.required(path, "must be set when AppArmor type is Localhost")
        if len(local or "") > 4095:
            errors.too_long(path, 4095)
    elif kind in PROFILES:
        if local is not None:
            errors.invalid(path, local, "can only be set when AppArmor type is Localhost")
    else:
        errors.one_of(f"{at}.type", kind, PROFILES, "type is required when appArmorProfile is set")


NET_BIOS = re.compile(r'^[^\\/:\*\?"<>|\.][^\\/:\*\?"<>|]{0,14}$')
DOMAIN = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
WINDOWS_DOMAIN = re.compile(rf"^{DOMAIN}(?:\.{DOMAIN})*$")


def windows(errors: ErrorList, at: str, options: Obj | None) -> None:
    if options is None:
        return
    if (name := options.get("gmsaCredentialSpecName")) is not None:
        errors.each(f"{at}.gmsaCredentialSpecName", name, names.dns1123_subdomain(name))
    if (spec := options.get("gmsaCredentialSpec")) is not None:
        if not spec:
            errors.invalid(f"{at}.gmsaCredentialSpec", spec, "gmsaCredentialSpec cannot be an empty string")
        elif len(spec) > 64 * 1024:
            errors.invalid(f"{at}.gmsaCredentialSpec", spec, "gmsaCredentialSpec size must be under 64 KiB")
    if (user := options.get("runAsUserName")) is not None:
        for said in _user_name(user):
            errors.invalid(f"{at}.runAsUserName", user, f"runAsUserName{said}")


def _user_name(name: str) -> Iterable[str]:
    if not name:
        yield " cannot be an empty string"
        return
    if re.search(r"[\x00-\x1f\x7f]", name):
        yield " cannot contain control characters"
        return
    if name.count("\\") > 1:
        yield " cannot contain more than one backslash"
        return
    domain, slash, user = name.rpartition("\\")
    if len(domain) >= 256:
        yield "'s Domain length must be under 256 characters"
    if slash and not (NET_BIOS.match(domain) or WINDOWS_DOMAIN.match(domain)):
        yield "'s Domain doesn't match the NetBios nor the DNS format"
    if not user:
        yield "'s User cannot be empty"
    elif len(user) > 104:
        yield "'s User length must not be longer than 104 characters"
    if re.fullmatch(r"[. ]+", user):
        yield "'s User cannot contain only periods or spaces"
    if re.search(r'["/\\:;|=,+*?<>@\[\]]', user):
        yield "'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"
