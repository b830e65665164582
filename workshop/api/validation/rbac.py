"""Roles and bindings. Upstream: pkg/apis/rbac/validation, v1.36.2."""

from __future__ import annotations

from workshop.api import labels as selectors
from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import metadata
from workshop.api.validation.field import ErrorList

GROUP = "rbac.authorization.k8s.io"
SUBJECTS = ("ServiceAccount", "User", "Group")


def role(errors: ErrorList, obj: Obj) -> None:
    for index, rule in enumerate(obj.get("rules") or []):
        at, urls = f"rules[{index}]", rule.get("nonResourceURLs") or []
        if not rule.get("verbs"):
            errors.required(f"{at}.verbs", "verbs must contain at least one value")
        if urls:
            if obj["kind"] == "Role":
                errors.invalid(f"{at}.nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs")
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                said = "rules cannot apply to both regular resources and non-resource URLs"
                errors.invalid(f"{at}.nonResourceURLs", urls, said)
            continue
        if not rule.get("apiGroups"):
            errors.required(f"{at}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            errors.required(f"{at}.resources", "resource rules must supply at least one resource")


def cluster_role(errors: ErrorList, obj: Obj) -> None:
    role(errors, obj)
    if (rule := obj.get("aggregationRule")) is None:
        return
    at = "aggregationRule.clusterRoleSelectors"
    if not rule.get("clusterRoleSelectors"):
        errors.required(at, "at least one clusterRoleSelector required if aggregationRule is non-nil")
    for index, selector in enumerate(rule.get("clusterRoleSelectors") or []):
        metadata.selector(errors, f"{at}[{index}]", selector)
        try:
            selectors.from_selector(selector)
        except ValueError:
            errors.invalid(f"{at}[{index}]", None, "invalid label selector.")


def role_binding(errors: ErrorList, obj: Obj) -> None:
    ref, namespaced = obj.get("roleRef", {}), obj["kind"] == "RoleBinding"
    name = ref.get("name", "")
    errors.among("roleRef.apiGroup", ref.get("apiGroup"), (GROUP,))
    errors.among("roleRef.kind", ref.get("kind"), ("Role", "ClusterRole") if namespaced else ("ClusterRole",))
    if not name:
        errors.required("roleRef.name")
    else:
        errors.each("roleRef.name", name, names.path_segment(name))
    for index, subject in enumerate(obj.get("subjects") or []):
        _subject(errors, f"subjects[{index}]", subject, namespaced)


def _subject(errors: ErrorList, at: str, subject: Obj, namespaced: bool) -> None:
    name, kind, group = subject.get("name", ""), subject.get("kind", ""), subject.get("apiGroup", "")
    errors.needed(subject, at, "name")
    if kind == "ServiceAccount":
        if name:
            errors.each(f"{at}.name", name, names.dns1123_subdomain(name))
        if group:
            errors.not_supported(f"{at}.apiGroup", group, ("",))
        if not namespaced and not subject.get("namespace"):
            errors.required(f"{at}.namespace")
    elif kind in SUBJECTS:
        errors.among(f"{at}.apiGroup", group, (GROUP,))
    else:
        errors.not_supported(f"{at}.kind", kind, SUBJECTS)


def role_binding_update(errors: ErrorList, new: Obj, old: Obj) -> None:
    if new.get("roleRef") != old.get("roleRef"):
        ref = new.get("roleRef") or {}
        given = {"APIGroup": ref.get("apiGroup", ""), "Kind": ref.get("kind", ""), "Name": ref.get("name", "")}
        errors.invalid("roleRef", given, "cannot change roleRef")
