"""Which names a definition gets: whoever asked first has them. Pure.

Upstream: apiextensions-apiserver/pkg/controller/status/naming_controller.go, pkg/controller/establish, and
pkg/controller/apiapproval for groups of the Kubernetes community.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workshop.api import conditions
from workshop.api.conditions import is_true
from workshop.api.errors import quote
from workshop.api.meta import Obj

APPROVED = "api-approved.kubernetes.io"


def settled(crd: Obj, others: Iterable[Obj], now: float) -> Obj:
    """The definition's status as it shall be. `others` are the definitions of the same group."""
    status = crd.get("status") or {}
    accepted, wrong = accept(crd["spec"]["names"], status.get("acceptedNames") or {}, others)
    found = list(status.get("conditions") or ())
    reason, message = wrong or ("NoConflicts", "no conflicts found")
    told = [_condition("NamesAccepted", not wrong, reason, message)]
    if not is_true(crd, "Established"):
        if wrong:
            told.append(_condition("Established", False, "NotAccepted", "not all names are accepted"))
        else:
            text = "the initial names have been accepted"
            told.append(_condition("Established", True, "InitialNamesAccepted", text))
    if (approval := _approval(crd)) is not None:
        told.append(approval)
    for condition in told:
        found = conditions.set(found, condition, now)
    made: Obj = {"conditions": found, "acceptedNames": accepted, "storedVersions": status.get("storedVersions") or []}
    return made


def accept(wanted: Obj, has: Obj, others: Iterable[Obj]) -> tuple[Obj, tuple[str, str] | None]:
    """(the names it has from now on, reason and message of what it cannot get)."""
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        taken = (other.get("status") or {}).get("acceptedNames") or {}
        resources |= {taken.get("plural", ""), taken.get("singular", ""), *(taken.get("shortNames") or ())}
        kinds |= {taken.get("kind", ""), taken.get("listKind", "")}
    names, wrong = dict(has), None
    for field, reason, used in (("plural", "PluralConflict", resources), ("singular", "SingularConflict", resources)):
        if wanted.get(field) != has.get(field) and wanted.get(field) in used:
            wrong = (reason, f"{quote(wanted[field])} is already in use")
        else:
            names[field] = wanted.get(field)
    mine = {*(has.get("shortNames") or ())}
    clash = [name for name in wanted.get("shortNames") or () if name not in mine and name in resources]
    if clash:
        told = [f"{quote(name)} is already in use" for name in clash]
        wrong = ("ShortNamesConflict", told[0] if len(told) == 1 else f"[{', '.join(told)}]")
    else:
        names["shortNames"] = wanted.get("shortNames")
    for field, reason, used in (("kind", "KindConflict", kinds), ("listKind", "ListKindConflict", kinds)):
        if wanted.get(field) != has.get(field) and wanted.get(field) in used:
            wrong = (reason, f"{quote(wanted[field])} is already in use")
        else:
            names[field] = wanted.get(field)
    names["categories"] = wanted.get("categories")
    order = ("plural", "singular", "shortNames", "kind", "listKind", "categories")
    return {field: names[field] for field in order if names.get(field)}, wrong


def is_protected(group: str) -> bool:
    return group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))


def approval_state(annotations: Obj) -> tuple[str, str]:
    """(missing, invalid, bypassed or approved; a reason)."""
    given = annotations.get(APPROVED) or ""
    if not given:
        link = "https://github.com/kubernetes/enhancements/pull/1111"
        return "missing", f"protected groups must have approval annotation {quote(APPROVED)}, see {link}"
    if given.startswith("unapproved"):
        return "bypassed", f"not approved: {quote(given)}"
    if "://" in given and given.partition("://")[2]:
        return "approved", f"approved in {given}"
    why = (
        f"protected groups must have approval annotation {quote(APPROVED)} with either a URL or a reason starting "
        'with "unapproved"'
    )
    return "invalid", f"{why}, see https://github.com/kubernetes/enhancements/pull/1111"


def _approval(crd: Obj) -> Obj | None:
    if not is_protected(crd["spec"]["group"]):
        return None
    state, message = approval_state(crd["metadata"].get("annotations") or {})
    reasons = {"missing": "MissingAnnotation", "invalid": "InvalidAnnotation", "bypassed": "UnapprovedAnnotation",
               "approved": "ApprovedAnnotation"}  # fmt: skip
    return _condition("KubernetesAPIApprovalPolicyConformant", state == "approved", reasons[state], message)


def _condition(kind: str, true: bool, reason: str, message: str) -> dict[str, Any]:
    return {"type": kind, "status": "True" if true else "False", "reason": reason, "message": message}
