"""Names of resources and amounts of them. Upstream: pkg/apis/core/helper/helpers.go and core/validation, v1.36.2."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from workshop.api import names, quantity
from workshop.api.meta import Obj
from workshop.api.validation.field import NOT_NEGATIVE, POSITIVE, ErrorList

ZERO = quantity.parse("0")
COUNTED = {
    "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims",
    "services.nodeports", "services.loadbalancers",
}  # fmt: skip
MEASURED = {
    "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage",
    "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage",
}  # fmt: skip
QUOTA = COUNTED | MEASURED
STANDARD = QUOTA | {"storage"}
FOR_CONTAINERS = {"cpu", "memory", "ephemeral-storage"}


def is_huge(name: str) -> bool:
    return name.startswith("hugepages-")


def is_quota_huge(name: str) -> bool:
    return name.startswith(("hugepages-", "requests.hugepages-"))


def is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """`example.com/gpu`: whole numbers only, and never more promised than there is."""
    return not is_native(name) and not name.startswith("requests.") and not names.qualified_name(f"requests.{name}")


def may_overcommit(name: str) -> bool:
    return is_native(name) and not is_huge(name)


def resource_name(errors: ErrorList, path: str, name: str) -> bool:
    """Whether it was fine."""
    complaints = names.qualified_name(name)
    errors.each(path, name, complaints)
    if complaints:
        return False
    if "/" not in name and name not in STANDARD and not is_quota_huge(name):
        errors.invalid(path, name, "must be a standard resource type or fully qualified")
        return False
    return True


def container_resource(errors: ErrorList, path: str, name: str) -> None:
    resource_name(errors, path, name)
    if "/" not in name:
        if name not in FOR_CONTAINERS and not is_huge(name):
            errors.invalid(path, name, "must be a standard resource for containers")
    elif not is_native(name) and not is_extended(name):
        errors.invalid(path, name, "doesn't follow extended resource name standard")


def pod_resource(errors: ErrorList, path: str, name: str) -> None:
    if resource_name(errors, path, name) and name not in ("cpu", "memory") and not is_huge(name):
        errors.not_supported(path, name, ("cpu", "hugepages-", "memory"))


def quota_resource(errors: ErrorList, path: str, name: str) -> None:
    resource_name(errors, path, name)
    if "/" not in name and name not in QUOTA and not is_quota_huge(name):
        errors.invalid(path, name, "must be a standard resource for quota")


def not_negative(errors: ErrorList, path: str, amount: str) -> None:
    if quantity.parse(amount) < ZERO:
        errors.invalid(path, amount, NOT_NEGATIVE)


def positive(errors: ErrorList, path: str, amount: str) -> bool:
    if quantity.parse(amount) > ZERO:
        return True
    errors.invalid(path, amount, POSITIVE)
    return False


def amount(errors: ErrorList, path: str, name: str, value: str) -> None:
    not_negative(errors, path, value)
    if (name in COUNTED or is_extended(name)) and quantity.parse(value).milli_value() % 1000:
        errors.invalid(path, value, "must be an integer")


def basic(errors: ErrorList, path: str, value: str) -> None:
    if (whole := quantity.parse(value).value()) < 0:
        errors.invalid(path, whole, "must be a valid resource quantity")


def _huge(errors: ErrorList, path: str, name: str, value: str) -> bool:
    if not is_huge(name):
        return False
    try:
        page = quantity.parse(name.removeprefix("hugepages-"))
    except ValueError:
        page = ZERO
    divisible = page > ZERO and not page.milli_value() % 1000 and not quantity.parse(value).value() % page.value()
    if not divisible:
        errors.invalid(path, value, f"{value} is not positive integer multiple of {name}")
    return True


def requirements(
    errors: ErrorList,
    path: str,
    found: Obj,
    claims: Iterable[str] = (),
    check: Callable[[ErrorList, str, str], None] = container_resource,
) -> None:
    """Limits and requests of a container, or of a pod (`check=pod_resource`); `claims` are the pod's."""
    limits, requests = found.get("limits") or {}, found.get("requests") or {}
    huge = False
    for name, value in limits.items():
        at = f"{path}.limits[{name}]"
        check(errors, at, name)
        amount(errors, at, name, value)
        huge |= _huge(errors, at, name, value)
    for name, value in requests.items():
        at = f"{path}.requests[{name}]"
        check(errors, at, name)
        amount(errors, at, name, value)
        if name in limits:
            asked, most = quantity.parse(value), quantity.parse(limits[name])
            if asked != most and not may_overcommit(name):
                errors.invalid(f"{path}.requests", value, f"must be equal to {name} limit of {limits[name]}")
            elif asked > most:
                errors.invalid(
                    f"{path}.requests", value, f"must be less than or equal to {name} limit of {limits[name]}"
                )
        elif not may_overcommit(name):
            errors.required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        huge |= _huge(errors, at, name, value)
    if huge and not {"cpu", "memory"} & {*limits, *requests}:
        errors.forbidden(path, "HugePages require cpu or memory")
    _claims(errors, f"{path}.claims", found.get("claims") or [], sorted(claims))


def _claims(errors: ErrorList, path: str, found: list[Obj], known: list[str]) -> None:
    seen: set[str] = set()
    for index, each in enumerate(found):
        at, name, request = f"{path}[{index}]", each.get("name", ""), each.get("request", "")
        if not name:
            errors.required(at)
            continue
        if name in seen:
            errors.duplicate(at, name)
        else:
            if request:
                errors.each(f"{at}.request", request, names.dns1123_label(request))
            key = f"{name}/{request}" if request else name
            if key in seen:
                errors.duplicate(at, key)
            elif not request:
                for other in seen:
                    if other.startswith(f"{name}/"):
                        errors.duplicate(at, name)
            seen.add(key)
        if name not in known:
            told = ": " + ", ".join(known) if known else " which is empty"
            errors.not_found(at, name, f"must be one of the names in pod.spec.resourceClaims{told}")
