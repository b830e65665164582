"""IPAddresses and ServiceCIDRs. Upstream: pkg/apis/networking/validation, v1.36.2."""

from __future__ import annotations

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import addresses, paths
from workshop.api.validation.field import IMMUTABLE, ErrorList


def ip_address(errors: ErrorList, obj: Obj) -> None:
    parent, at = obj["spec"].get("parentRef"), "spec.parentRef"
    if parent is None:
        errors.required(at)
        return
    if parent.get("group"):
        errors.each(f"{at}.group", parent["group"], names.dns1123_subdomain(parent["group"]))
    paths.segments(errors, at, parent, "resource", "name")
    if parent.get("namespace"):
        errors.each(f"{at}.namespace", parent["namespace"], names.path_segment(parent["namespace"]))


def ip_address_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    mine, theirs = (obj["spec"].get("parentRef") for obj in (new, old))
    if mine != theirs:
        fields = ("group", "resource", "namespace", "name")
        shown = None if mine is None else {name.capitalize(): mine.get(name, "") for name in fields}
        errors.invalid("spec.parentRef", shown, IMMUTABLE)


ONE_EACH = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"


def service_cidr(errors: ErrorList, obj: Obj) -> None:
    found, at = obj["spec"].get("cidrs") or [], "spec.cidrs"
    if not found:
        errors.required(at, "at least one CIDR required")
        return
    if len(found) > 2:
        errors.invalid(at, {"CIDRs": found}, "may only hold up to 2 values")
        return
    for index, each in enumerate(found):
        addresses.strict_range(errors, f"{at}[{index}]", each)
    families = [addresses.family(each.partition("/")[0]) for each in found if addresses.parse_range(each) is not None]
    if len(families) == 2 and families[0] == families[1]:
        errors.invalid(at, found, ONE_EACH)


def service_cidr_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    mine, theirs, at = new["spec"].get("cidrs") or [], old["spec"].get("cidrs") or [], "spec.cidrs"
    if len(mine) == len(theirs):
        for index, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            errors.immutable(f"{at}[{index}]", a, b)
    elif len(theirs) == 1 and len(mine) == 2:
        errors.immutable(f"{at}[0]", mine[0], theirs[0])
        service_cidr(errors, new)
    else:
        errors.invalid(at, mine or None, IMMUTABLE)
