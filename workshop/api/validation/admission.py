"""What webhooks and admission policies have in common: which requests they mean, and expressions in CEL, compiled here
so that a mistake in one is told at once. Upstream: pkg/apis/admissionregistration/validation, v1.36.2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workshop.api.meta import Obj
from workshop.api.validation import metadata
from workshop.api.validation.field import ErrorList

OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
FAILURE, MATCH, REINVOCATION = ("Fail", "Ignore"), ("Equivalent", "Exact"), ("IfNeeded", "Never")
SCOPES = ("*", "Cluster", "Namespaced")


def request_rule(errors: ErrorList, at: str, rule: Obj) -> None:
    """Operations, groups, versions and resources; a wildcard stands alone."""
    operations = rule.get("operations") or []
    errors.needed(rule, at, "operations")
    if len(operations) > 1 and "*" in operations:
        errors.invalid(f"{at}.operations", operations, "if '*' is present, must not specify other operations")
    for index, operation in enumerate(operations):
        errors.among(f"{at}.operations[{index}]", operation, OPERATIONS)
    for name, what in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        found = rule.get(name) or []
        errors.needed(rule, at, name)
        if len(found) > 1 and "*" in found:
            errors.invalid(f"{at}.{name}", found, f"if '*' is present, must not specify other {what}")
    for index, version in enumerate(rule.get("apiVersions") or []):
        if not version:
            errors.required(f"{at}.apiVersions[{index}]")
    _resources(errors, f"{at}.resources", rule.get("resources") or [])
    if rule.get("scope") is not None:
        errors.among(f"{at}.scope", rule["scope"], SCOPES)


def _resources(errors: ErrorList, path: str, found: list[str]) -> None:
    if not found:
        errors.required(path)
    whole: set[str] = set()
    wild: set[str] = set()
    plain = False
    for index, each in enumerate(found):
        at = f"{path}[{index}]"
        if not each:
            errors.required(at)
            continue
        resource, slash, sub = each.partition("/")
        if not slash:
            plain = each != "*"
            continue
        if resource in whole:
            errors.invalid(at, each, f"if '{resource}/*' is present, must not specify {each}")
        if sub in wild:
            errors.invalid(at, each, f"if '*/{sub}' is present, must not specify {each}")
        if sub == "*":
            whole.add(resource)
        if resource == "*":
            wild.add(sub)
    if len(found) > 1 and "*/*" in found:
        errors.invalid(path, found, "if '*/*' is present, must not specify other resources")
    if "*" in found and plain:
        errors.invalid(path, found, "if '*' is present, must not specify other resources without subresources")


@dataclass
class Scope:
    """What the expressions of a policy (or of a webhook, `hook`) may name: parameters, variables and their types."""

    params: bool = False
    hook: bool = False
    variables: dict[str, Any] | None = None

    def wrong(self, text: str, want: str) -> str:
        from workshop.api.cel import policies  # loaded by who has expressions

        return policies.wrong(text, want, self.params, self.hook, self.variables)

    def wrong_mutation(self, text: str, json_patch: bool) -> str:
        from workshop.api.cel import policies

        return policies.wrong_mutation(text, json_patch, self.params, self.variables)

    def add(self, name: str, text: str) -> None:
        from workshop.api.cel import policies

        known = self.variables or {}
        self.variables = {**known, name: policies.type_of(text, self.params, known)}


def expression(errors: ErrorList, path: str, text: str, want: str, scope: Scope, needed: str = "") -> None:
    if not text.strip():
        errors.required(path, needed)
    else:
        refuse(errors, path, text, scope.wrong(text, want))


def refuse(errors: ErrorList, path: str, text: str, why: str) -> None:
    """`why` is what `Scope` said of an expression, "" for nothing. That no program can be made is an inner error."""
    if why.startswith("program instantiation failed"):
        errors.internal(path, why)
    elif why:
        errors.invalid(path, text, why)


def match_conditions(errors: ErrorList, path: str, found: list[Obj], scope: Scope) -> None:
    if len(found) > 64:
        errors.too_many(path, len(found), 64)
    seen: set[str] = set()
    for index, each in enumerate(found):
        at, name = f"{path}[{index}]", each.get("name", "")
        expression(errors, f"{at}.expression", each.get("expression", ""), "bool", scope)
        if not name:
            errors.required(f"{at}.name")
            continue
        metadata.label_key(errors, f"{at}.name", name)
        if name in seen:
            errors.duplicate(f"{at}.name", name)
        seen.add(name)
