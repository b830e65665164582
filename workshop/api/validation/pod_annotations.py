"""Annotations that said of old what fields say now, and those that still do. Upstream: core/validation
(ValidatePodSpecificAnnotations, validateSeccompAnnotationsAndFields), v1.36.2.
"""

from __future__ import annotations

import json

from workshop.api.meta import Obj
from workshop.api.validation import containers, scheduling
from workshop.api.validation.field import ErrorList
from workshop.api.validation.paths import descending

MIRROR = "kubernetes.io/config.mirror"
SECCOMP, SECCOMP_OF = "seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/"
APP_ARMOR_OF = "container.apparmor.security.beta.kubernetes.io/"
TOLERATIONS = "scheduler.alpha.kubernetes.io/tolerations"
COST = "controller.kubernetes.io/pod-deletion-cost"
MUST_MATCH = "in annotation and field must match"


def check(errors: ErrorList, path: str, found: dict[str, str], spec: Obj) -> None:
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


def profiles_match(errors: ErrorList, path: str, found: dict[str, str], spec: Obj) -> None:
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
