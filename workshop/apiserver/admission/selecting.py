"""Which requests a webhook or a policy is asked about: rules and selectors. Pure.

A rule names groups, versions and resources. With `matchPolicy: Equivalent` (the default) a request in another version
of the same kind counts too, and the object is shown in the version that the rule names.

Upstream: apiserver/pkg/admission/plugin/webhook/predicates, plugin/policy/matching.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workshop.api import labels
from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.apiserver.interfaces import AdmissionRequest

ADMISSION_KINDS = frozenset(
    f"{plural}.admissionregistration.k8s.io"
    for plural in (
        "mutatingwebhookconfigurations", "validatingwebhookconfigurations", "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings", "validatingadmissionpolicies", "validatingadmissionpolicybindings",
    )
)  # fmt: skip
"""Nobody is asked about these: who could forbid his own removal could never be removed."""


def rule_matches(rule: Obj, request: AdmissionRequest, resource: Resource) -> bool:
    """Whether a rule names the request, taken as one for `resource` (the request's own or an equivalent one)."""
    operations = rule.get("operations") or ()
    if "*" not in operations and request.operation not in operations:
        return False
    names = rule.get("resourceNames")
    if names and request.name not in names:
        return False
    return (
        _among(rule.get("apiGroups"), resource.group)
        and _among(rule.get("apiVersions"), resource.version)
        and _in_scope(rule.get("scope") or "*", request)
        and any(_names(each, resource.plural, request.subresource) for each in rule.get("resources") or ())
    )


def _among(known: list[str] | None, value: str) -> bool:
    return known is not None and ("*" in known or value in known)


def _names(pattern: str, plural: str, subresource: str) -> bool:
    """`pods`, `pods/*`, `*/scale`, `*`, `*/*`."""
    name, slash, sub = pattern.partition("/")
    return name in ("*", plural) and (sub in ("*", subresource) if slash else not subresource)


def _in_scope(scope: str, request: AdmissionRequest) -> bool:
    in_namespace = bool(request.namespace) and request.resource.group_resource != "namespaces"
    return scope == "*" or (scope == "Namespaced") == in_namespace


def match(rules: Iterable[Obj], policy: str, request: AdmissionRequest, served: Iterable[Resource]) -> Resource | None:
    """The resource as which the request matches one of the rules; None if it does not."""
    rules = list(rules)
    if any(rule_matches(rule, request, request.resource) for rule in rules):
        return request.resource
    if policy == "Exact":
        return None
    for other in equivalent(request.resource, served):
        if any(rule_matches(rule, request, other) for rule in rules):
            return other
    return None


def equivalent(resource: Resource, served: Iterable[Resource]) -> list[Resource]:
    """The other versions in which the same objects are served."""
    return [
        other for other in served
        if other.storage_prefix == resource.storage_prefix and other.kind == resource.kind and other.persisted
        and other.api_version != resource.api_version
    ]  # fmt: skip


def labels_match(selector: Obj | None, found: Obj | None) -> bool:
    return labels.from_selector(selector or {}).matches(found or {})


def objects_match(selector: Obj | None, request: AdmissionRequest) -> bool:
    """Either state of the object will do."""
    if not selector:
        return True
    states = [state for state in (request.object, request.old_object) if state]
    return any(labels_match(selector, (state.get("metadata") or {}).get("labels")) for state in states)


def namespace_matches(selector: Obj | None, request: AdmissionRequest, namespace: Obj | None) -> bool:
    """`namespace` is the Namespace object of a request in one. A namespace itself is judged by its own labels."""
    if not selector:
        return True
    if request.resource.group_resource == "namespaces":
        own: Any = request.object or request.old_object or namespace or {}
        return labels_match(selector, (own.get("metadata") or {}).get("labels"))
    if not request.namespace:
        return True
    return labels_match(selector, ((namespace or {}).get("metadata") or {}).get("labels"))
