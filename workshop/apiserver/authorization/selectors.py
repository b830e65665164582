"""The selectors of a SubjectAccessReview: raw or as requirements; what of them nobody can read is left out, and told.

Upstream: pkg/registry/authorization/util/helpers.go."""

from __future__ import annotations

from workshop.api import fields, labels
from workshop.api.meta import Obj


def of_fields(selector: Obj) -> tuple[str, bool]:
    """(its text, whether a part was left out)."""
    if raw := selector.get("rawSelector"):
        try:
            return str(fields.parse(raw)), False
        except ValueError:
            return "", True
    terms, left_out = [], False
    for each in selector.get("requirements") or []:
        values, operator = each.get("values") or [], each.get("operator")
        if operator in ("In", "NotIn") and len(values) == 1:
            terms.append(str(fields.Term(each.get("key", ""), values[0], operator == "In")))
        else:
            left_out = True
    return ",".join(terms), left_out


def of_labels(selector: Obj) -> tuple[str, bool]:
    """(its text, whether a part was left out)."""
    if raw := selector.get("rawSelector"):
        try:
            return str(labels.parse(raw)), False
        except ValueError:
            return "", True
    terms, left_out = [], False
    for each in selector.get("requirements") or []:
        try:
            terms.append(str(labels.from_selector({"matchExpressions": [each]})))
        except (ValueError, KeyError):
            left_out = True
    return ",".join(terms), left_out


def ignored(wanted: Obj) -> str:
    """What is said of selectors that could not be read."""
    said = []
    for name, read in (("fieldSelector", of_fields), ("labelSelector", of_labels)):
        text, left_out = read(wanted.get(name) or {})
        if left_out:
            said.append(f"spec.resourceAttributes.{name} {'partially ' if text else ''}ignored due to parse error")
    return "; ".join(said)
