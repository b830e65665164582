"""Admission policies and their bindings. Upstream: pkg/apis/admissionregistration/validation, v1.36.2."""

from __future__ import annotations

import re

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import metadata
from workshop.api.validation.admission import (
    FAILURE,
    MATCH,
    REINVOCATION,
    Scope,
    expression,
    match_conditions,
    refuse,
    request_rule,
)
from workshop.api.validation.field import ErrorList

MUTATING = ("*", "CONNECT", "CREATE", "UPDATE")
REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")


def present(errors: ErrorList, path: str, value: str | None, known: tuple[str, ...]) -> None:
    """A pointer: nothing is a missing value, an empty text an unsupported one."""
    if value is None:
        errors.required(path)
    else:
        errors.among(path, value, known)


def _policy(errors: ErrorList, spec: Obj) -> Scope:
    """What both kinds of policy have; what their other expressions may name."""
    scope = Scope(params=spec.get("paramKind") is not None)
    present(errors, "spec.failurePolicy", spec.get("failurePolicy"), FAILURE)
    if scope.params:
        _param_kind(errors, spec["paramKind"])
    constraints, at = spec.get("matchConstraints"), "spec.matchConstraints"
    if constraints is None:
        errors.required(at)
    else:
        _match_resources(errors, at, constraints)
        errors.needed(constraints, at, "resourceRules")
    match_conditions(errors, "spec.matchConditions", spec.get("matchConditions") or [], scope)
    scope.variables = {} if spec.get("variables") else None
    for index, variable in enumerate(spec.get("variables") or []):
        _variable(errors, f"spec.variables[{index}]", variable, scope)
    return scope


UNSAID = "expression is not specified"
RESERVED = re.compile(
    "true|false|null|in|as|break|const|continue|else|for|function|if|import|let|loop|package|namespace|return|var|void|while"
)


def _variable(errors: ErrorList, at: str, variable: Obj, scope: Scope) -> None:
    name = variable.get("name", "")
    if not name.strip():
        errors.required(f"{at}.name", "name is not specified")
    elif not re.fullmatch("[_a-zA-Z][_a-zA-Z0-9]*", name) or RESERVED.fullmatch(name):
        errors.invalid(f"{at}.name", name, "must be a valid CEL identifier")
    text = variable.get("expression", "")
    expression(errors, f"{at}.expression", text, "", scope, needed=UNSAID)
    if name and text.strip():
        scope.add(name, text)


def _param_kind(errors: ErrorList, found: Obj) -> None:
    at, version, kind = "spec.paramKind", found.get("apiVersion", ""), found.get("kind", "")
    group, _, number = version.rpartition("/")
    if not version:
        errors.required(f"{at}.apiVersion")
    elif version.count("/") > 1:
        errors.invalid(f"{at}.apiVersion", version, f"unexpected GroupVersion string: {version}")
    else:
        if group and (complaints := names.dns1123_subdomain(group)):
            errors.invalid(f"{at}.apiVersion", group, ",".join(complaints))
        if not number:
            errors.invalid(f"{at}.apiVersion", version, "version must be specified")
        elif complaints := names.dns1035_label(number):
            errors.invalid(f"{at}.apiVersion", number, ",".join(complaints))
    if not kind:
        errors.required(f"{at}.kind")
    elif complaints := names.dns1035_label(kind.lower()):
        said = "may have mixed case, but should otherwise match: "
        errors.invalid(f"{at}.kind", kind, said + ",".join(complaints))


def _match_resources(errors: ErrorList, at: str, found: Obj | None) -> None:
    if found is None:
        return
    present(errors, f"{at}.matchPolicy", found.get("matchPolicy"), MATCH)
    for name in ("namespaceSelector", "objectSelector"):
        if found.get(name) is None:
            errors.required(f"{at}.{name}")
        else:
            metadata.selector(errors, f"{at}.{name}", found[name])
    for name in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(found.get(name) or []):
            path, given = f"{at}.{name}[{index}]", rule.get("resourceNames") or []
            for i, each in enumerate(given):
                errors.each(f"{path}.resourceNames[{i}]", each, names.path_segment(each))
                if each in given[:i]:
                    errors.duplicate(f"{path}.resourceNames[{i}]", each)
            request_rule(errors, path, rule)


def validating_policy(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    scope = _policy(errors, spec)
    validations, audits = spec.get("validations") or [], spec.get("auditAnnotations") or []
    if not validations and not audits:
        for name in ("validations", "auditAnnotations"):
            errors.required(f"spec.{name}", "validations or auditAnnotations must contain at least one item")
        return
    for index, validation in enumerate(validations):
        _validation(errors, f"spec.validations[{index}]", validation, scope)
    if len(audits) > 20:
        errors.invalid("spec.auditAnnotations", audits, "must not have more than 20 auditAnnotations")
    for index, audit in enumerate(audits):
        _audit(errors, f"spec.auditAnnotations[{index}]", audit, obj["metadata"].get("name", ""), scope)
        if audit.get("key", "") in [other.get("key", "") for other in audits[:index]]:
            errors.duplicate(f"spec.auditAnnotations[{index}].key", audit.get("key", ""))


def _validation(errors: ErrorList, at: str, found: Obj, scope: Scope) -> None:
    expression(errors, f"{at}.expression", found.get("expression", ""), "bool", scope, needed=UNSAID)
    message, dynamic = found.get("message", ""), found.get("messageExpression", "")
    if dynamic.strip():
        expression(errors, f"{at}.messageExpression", dynamic, "string", scope)
    for name in ("messageExpression", "message"):
        if (text := found.get(name, "")) and not text.strip():
            errors.invalid(f"{at}.{name}", text, "must be non-empty if specified")
    if re.search(r"[\n\r]", message.strip()):
        errors.invalid(f"{at}.message", message, "must not contain line breaks")
    if found.get("reason") is not None:
        errors.among(f"{at}.reason", found["reason"], REASONS)


def _audit(errors: ErrorList, at: str, found: Obj, policy: str, scope: Scope) -> None:
    key, text = found.get("key", ""), found.get("valueExpression", "").strip()
    if policy:
        errors.each(f"{at}.key", f"{policy}/{key}", names.qualified_name(f"{policy}/{key}"))
    else:
        errors.invalid(f"{at}.key", key, "requires metadata.name be non-empty")
    if not text:
        errors.required(f"{at}.valueExpression", "valueExpression is not specified")
    elif len(text) > 5 * 1024:
        errors.required(f"{at}.valueExpression", "must not exceed 5120 bytes in length")
    else:
        _value(errors, f"{at}.valueExpression", found["valueExpression"], scope)


def _value(errors: ErrorList, path: str, text: str, scope: Scope) -> None:
    why = scope.wrong(text, "string")
    if why.startswith("must evaluate") and not why.endswith((" null", " null_type")):
        errors.invalid(path, text, why.replace("to string", "to one of [string null_type]"))
    elif not why.startswith("must evaluate"):
        refuse(errors, path, text, why)


def mutating_policy(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    scope = _policy(errors, spec)
    for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or []:
        for operation in rule.get("operations") or []:
            errors.among("spec.matchConstraints.resourceRules.operations", operation, MUTATING)
    if not spec.get("mutations"):
        errors.required("spec.mutations", "mutations must contain at least one item")
    for index, mutation in enumerate(spec.get("mutations") or []):
        _mutation(errors, f"spec.mutations[{index}]", mutation, scope)
    errors.one_of("spec.reinvocationPolicy", spec.get("reinvocationPolicy"), REINVOCATION)


PATCHES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}


def _mutation(errors: ErrorList, at: str, found: Obj, scope: Scope) -> None:
    kind = found.get("patchType", "")
    errors.one_of(f"{at}.patchType", kind, sorted(PATCHES))
    if kind not in PATCHES:
        return
    for other, field in PATCHES.items():
        given = found.get(field)
        if other != kind and given is not None:
            errors.invalid(f"{at}.{field}", f"{{{field}}}", f"must not be specified when patchType is {kind}")
        elif other == kind and given is None:
            errors.required(f"{at}.{field}", f"must be specified when patchType is {kind}")
        elif other == kind and not (given or {}).get("expression", "").strip():
            errors.required(f"{at}.{field}.expression")
        elif other == kind:
            _change(errors, f"{at}.{field}.expression", (given or {})["expression"], kind == "JSONPatch", scope)


def _change(errors: ErrorList, path: str, text: str, json_patch: bool, scope: Scope) -> None:
    refuse(errors, path, text, scope.wrong_mutation(text, json_patch))


BOTH_WAYS = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API response and "
    "headers serves no purpose)"
)
EXCLUSIVE = "name and selector are mutually exclusive"


def binding(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    name, found = spec.get("policyName", ""), spec.get("validationActions") or []
    if not name:
        errors.required("spec.policyName")
    else:
        errors.each("spec.policyName", name, names.dns1123_subdomain(name))
    _param_ref(errors, spec.get("paramRef"))
    _match_resources(errors, "spec.matchResources", spec.get("matchResources"))
    if obj["kind"] != "ValidatingAdmissionPolicyBinding":
        return
    at = "spec.validationActions"
    for index, action in enumerate(found):
        errors.among(f"{at}[{index}]", action, ("Audit", "Deny", "Warn"))
        if action in found[:index]:
            errors.duplicate(f"{at}[{index}]", action)
    if {"Deny", "Warn"} <= set(found):
        errors.invalid(at, found, BOTH_WAYS)
    if not found:
        errors.required(at, "at least one validation action is required")


def _param_ref(errors: ErrorList, ref: Obj | None) -> None:
    if ref is None:
        return
    at, name, selector = "spec.paramRef", ref.get("name", ""), ref.get("selector")
    if name:
        errors.each(f"{at}.name", name, names.path_segment(name))
        if selector is not None:
            errors.forbidden(f"{at}.name", EXCLUSIVE)
    if selector is not None:
        metadata.selector(errors, f"{at}.selector", selector)
        if name:
            errors.forbidden(f"{at}.selector", EXCLUSIVE)
    if not name and selector is None:
        errors.required(at, "one of name or selector must be specified")
    errors.one_of(f"{at}.parameterNotFoundAction", ref.get("parameterNotFoundAction"), ("Deny", "Allow"))


def policy_status(errors: ErrorList, new: Obj, old: Obj) -> None:
    status = new.get("status") or {}
    for index, warning in enumerate((status.get("typeChecking") or {}).get("expressionWarnings") or []):
        at = f"status.typeChecking.expressionWarnings[{index}]"
        errors.needed(warning, at, "warning")
        if not warning.get("fieldRef", "").strip():
            errors.required(f"{at}.fieldRef")
    metadata.conditions(errors, "status.conditions", status.get("conditions") or [])
