"""What one RBAC rule allows, and whether some rules cover others. Pure.

A policy rule is a dict as stored in a Role: `{"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get"]}`,
or `{"nonResourceURLs": ["/healthz*"], "verbs": ["get"]}`.

Upstream: `pkg/apis/rbac/v1/evaluation_helpers.go`, `staging/src/k8s.io/component-helpers/auth/rbac/validation`,
`pkg/registry/rbac/validation/policy_compact.go`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from workshop.apiserver.interfaces import Attributes

PolicyRule = dict[str, Any]

#: The rights of cluster-admin; whoever sets an aggregation rule must hold them.
FULL_AUTHORITY: list[PolicyRule] = [
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
]


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule as sets, for the hot path: a request is matched by five look-ups."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    urls: tuple[str, ...]
    source: PolicyRule

    def allows(self, a: Attributes) -> bool:
        """Whether this rule alone allows the request."""
        if a.verb not in self.verbs and "*" not in self.verbs:
            return False
        if not a.resource_request:
            return any(url_covers(url, a.path) for url in self.urls)
        if a.api_group not in self.groups and "*" not in self.groups:
            return False
        combined = f"{a.resource}/{a.subresource}" if a.subresource else a.resource
        if not (
            combined in self.resources
            or "*" in self.resources
            or (a.subresource and f"*/{a.subresource}" in self.resources)
        ):
            return False
        return not self.names or a.name in self.names


def compile_rule(rule: PolicyRule) -> CompiledRule:
    """The sets of a stored rule."""
    return CompiledRule(
        frozenset(rule.get("verbs") or ()),
        frozenset(rule.get("apiGroups") or ()),
        frozenset(rule.get("resources") or ()),
        frozenset(rule.get("resourceNames") or ()),
        tuple(rule.get("nonResourceURLs") or ()),
        rule,
    )


def url_covers(pattern: str, url: str) -> bool:
    """`/healthz*` covers `/healthz` and `/healthz/etcd`; a `*` counts only at the end."""
    return pattern == url or (pattern.endswith("*") and url.startswith(pattern.rstrip("*")))


def uncovered(owner: Sequence[PolicyRule], wanted: Iterable[PolicyRule]) -> list[PolicyRule]:
    """What `wanted` allows and `owner` does not, broken down to single rights.

    A single right is one verb on one resource (of one name), so it is covered by one rule of the owner or not at all.
    """
    return [right for rule in wanted for right in breakdown(rule) if not any(_covers(own, right) for own in owner)]


def breakdown(rule: PolicyRule) -> list[PolicyRule]:
    """Equivalent rules with one verb, one resource and at most one name each."""
    rights: list[PolicyRule] = []
    for group in rule.get("apiGroups") or ():
        for resource in rule.get("resources") or ():
            for verb in rule.get("verbs") or ():
                right = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                names = rule.get("resourceNames") or ()
                rights += [{**right, "resourceNames": [name]} for name in names] if names else [right]
    for url in rule.get("nonResourceURLs") or ():
        rights += [{"nonResourceURLs": [url], "verbs": [verb]} for verb in rule.get("verbs") or ()]
    return rights


def _covers(own: PolicyRule, right: PolicyRule) -> bool:
    own_names, names = own.get("resourceNames") or [], right.get("resourceNames") or []
    if own_names and not (names and set(names) <= set(own_names)):
        return False
    return (
        _has_all(own.get("verbs"), right["verbs"])
        and _has_all(own.get("apiGroups"), right.get("apiGroups", ()))
        and all(_covers_resource(own.get("resources") or (), r) for r in right.get("resources", ()))
        and all(
            any(url_covers(p, url) for p in own.get("nonResourceURLs") or ())
            for url in right.get("nonResourceURLs", ())
        )
    )


def _has_all(owned: Sequence[str] | None, wanted: Sequence[str]) -> bool:
    return "*" in (owned or ()) or set(wanted) <= set(owned or ())


def _covers_resource(owned: Sequence[str], resource: str) -> bool:
    if resource in owned or "*" in owned:
        return True
    return "/" in resource and "*/" + resource.split("/", 1)[1] in owned


def compact(rules: Iterable[PolicyRule]) -> list[PolicyRule]:
    """Join single rights that differ only by verb, for messages."""
    others: list[PolicyRule] = []
    joined: dict[tuple[str, ...], PolicyRule] = {}
    for rule in rules:
        names = rule.get("resourceNames") or []
        simple = len(rule.get("apiGroups") or ()) == 1 and len(rule.get("resources") or ()) == 1 and len(names) <= 1
        if not simple or rule.get("nonResourceURLs"):
            others.append(rule)
            continue
        key = (rule["apiGroups"][0], rule["resources"][0], *names)
        known = joined.get(key)
        joined[key] = {**rule, "verbs": [*known["verbs"], *rule["verbs"]]} if known else rule
    return others + list(joined.values())


def describe(rule: PolicyRule) -> str:
    """`{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`, as Go prints it in refusals."""
    fields = (
        ("APIGroups", "apiGroups"),
        ("Resources", "resources"),
        ("NonResourceURLs", "nonResourceURLs"),
        ("ResourceNames", "resourceNames"),
        ("Verbs", "verbs"),
    )
    return "{" + ", ".join(f"{label}:{quoted_list(rule[key])}" for label, key in fields if rule.get(key)) + "}"


def quoted(text: str) -> str:
    """Go's `%q`: the text in double quotes, with `"`, `\\` and control characters escaped."""
    out = []
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif char in "\a\b\f\n\r\t\v":
            out.append("\\" + "abfnrtv"["\a\b\f\n\r\t\v".index(char)])
        elif not char.isprintable():
            code = ord(char)
            out.append(f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
        else:
            out.append(char)
    return '"' + "".join(out) + '"'


def quoted_list(texts: Iterable[str]) -> str:
    """Go's `%q` of a slice: `["a" "b"]`."""
    return "[" + " ".join(map(quoted, texts)) + "]"
