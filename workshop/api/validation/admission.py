"""Webhook configurations, admission policies and their bindings. Upstream: pkg/apis/admissionregistration/validation,
v1.36.2. Expressions are compiled here, so a mistake in one is told at once."""

from __future__ import annotations

import re
from dataclasses import dataclass

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import metadata, webhooks
from workshop.api.validation.field import ErrorList

OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
MUTATING = ("*", "CONNECT", "CREATE", "UPDATE")
FAILURE, MATCH, REINVOCATION = ("Fail", "Ignore"), ("Equivalent", "Exact"), ("IfNeeded", "Never")
SIDE_EFFECTS, SCOPES = ("None", "NoneOnDryRun"), ("*", "Cluster", "Namespaced")
REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
REVIEWS = ("v1", "v1beta1")


def present(errors: ErrorList, path: str, value: str | None, known: tuple[str, ...]) -> None:
    """A pointer: nothing is a missing value, an empty text an unsupported one."""
    if value is None:
        errors.required(path)
    else:
        errors.among(path, value, known)


def _rule(errors: ErrorList, at: str, rule: Obj) -> None:
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


def webhook_configuration(errors: ErrorList, obj: Obj) -> None:
    seen: set[str] = set()
    for index, hook in enumerate(obj.get("webhooks") or []):
        at, name = f"webhooks[{index}]", hook.get("name", "")
        _hook(errors, at, hook)
        _review_versions(errors, f"{at}.admissionReviewVersions", hook.get("admissionReviewVersions") or [])
        if name and name in seen:
            errors.duplicate(f"{at}.name", name)
        seen.add(name)


def _hook(errors: ErrorList, at: str, hook: Obj) -> None:
    _full_name(errors, f"{at}.name", hook.get("name", ""))
    for index, rule in enumerate(hook.get("rules") or []):
        _rule(errors, f"{at}.rules[{index}]", rule)
    for name, known in (("failurePolicy", FAILURE), ("matchPolicy", MATCH), ("reinvocationPolicy", REINVOCATION)):
        if hook.get(name) is not None:
            errors.among(f"{at}.{name}", hook[name], known)
    if hook.get("sideEffects") is None:
        errors.required(f"{at}.sideEffects", f"must specify one of {', '.join(SIDE_EFFECTS)}")
    else:
        errors.among(f"{at}.sideEffects", hook["sideEffects"], SIDE_EFFECTS)
    if (seconds := hook.get("timeoutSeconds")) is not None and not 1 <= seconds <= 30:
        errors.invalid(f"{at}.timeoutSeconds", seconds, "the timeout value must be between 1 and 30 seconds")
    for name in ("namespaceSelector", "objectSelector"):
        metadata.selector(errors, f"{at}.{name}", hook.get(name))
    config = hook.get("clientConfig") or {}
    if (service := config.get("service")) is not None:  # upstream takes one for the other here
        swapped = {"name": service.get("namespace", ""), "namespace": service.get("name", "")}
        config = {**config, "service": {**service, **swapped}}
    webhooks.client_config(errors, f"{at}.clientConfig", config)
    match_conditions(errors, f"{at}.matchConditions", hook.get("matchConditions") or [], Scope(hook=True))


def _full_name(errors: ErrorList, path: str, name: str) -> None:
    if not name:
        errors.required(path)
    elif complaints := names.dns1123_subdomain(name):
        errors.invalid(path, name, ",".join(complaints))
    elif name.count(".") < 2:
        errors.invalid(path, name, "should be a domain with at least three segments separated by dots")


def _review_versions(errors: ErrorList, path: str, found: list[str]) -> None:
    if not found:
        errors.required(path, f"must specify one of {', '.join(REVIEWS)}")
        return
    for index, version in enumerate(found):
        if version in found[:index]:
            errors.invalid(f"{path}[{index}]", version, "duplicate version")
        else:
            errors.each(f"{path}[{index}]", version, names.dns1035_label(version))
    if not set(found) & set(REVIEWS):
        errors.invalid(path, found, f"must include at least one of {', '.join(REVIEWS)}")


@dataclass
class Scope:
    """What the expressions of a policy (or of a webhook, `hook`) may name: parameters, variables and their types."""

    params: bool = False
    hook: bool = False
    variables: dict[str, str] | None = None

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


def _expression(errors: ErrorList, path: str, text: str, want: str, scope: Scope, needed: str = "") -> None:
    if not text.strip():
        errors.required(path, needed)
    elif why := scope.wrong(text, want):
        errors.invalid(path, text, why)


def match_conditions(errors: ErrorList, path: str, found: list[Obj], scope: Scope) -> None:
    if len(found) > 64:
        errors.too_many(path, len(found), 64)
    seen: set[str] = set()
    for index, each in enumerate(found):
        at, name = f"{path}[{index}]", each.get("name", "")
        _expression(errors, f"{at}.expression", each.get("expression", ""), "bool", scope)
        if not name:
            errors.required(f"{at}.name")
            continue
        metadata.label_key(errors, f"{at}.name", name)
        if name in seen:
            errors.duplicate(f"{at}.name", name)
        seen.add(name)


# --- policies -------------------------------------------------------------------------------------------------------


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
    _expression(errors, f"{at}.expression", text, "", scope, needed=UNSAID)
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
            _rule(errors, path, rule)


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
    _expression(errors, f"{at}.expression", found.get("expression", ""), "bool", scope, needed=UNSAID)
    message, dynamic = found.get("message", ""), found.get("messageExpression", "")
    if dynamic.strip():
        _expression(errors, f"{at}.messageExpression", dynamic, "string", scope)
    for name in ("messageExpression", "message"):
        if (text := found.get(name, "")) and not text.strip():
            errors.invalid(f"{at}.{name}", text, "must be non-empty if specified")
    if re.search(r"[\n\r]", message.strip()):
        errors.invalid(f"{at}.message", message, "must not contain line breaks")
    if found.get("reason") is not None:
        errors.among(f"{at}.reason", found["reason"], REASONS)


def _audit(errors: ErrorList, at: str, found: Obj, policy: str, scope: Scope) -> None:
    key, expression = found.get("key", ""), found.get("valueExpression", "").strip()
    if policy:
        errors.each(f"{at}.key", f"{policy}/{key}", names.qualified_name(f"{policy}/{key}"))
    else:
        errors.invalid(f"{at}.key", key, "requires metadata.name be non-empty")
    if not expression:
        errors.required(f"{at}.valueExpression", "valueExpression is not specified")
    elif len(expression) > 5 * 1024:
        errors.required(f"{at}.valueExpression", "must not exceed 5120 bytes in length")
    else:
        _value(errors, f"{at}.valueExpression", found["valueExpression"], scope)


def _value(errors: ErrorList, path: str, text: str, scope: Scope) -> None:
    why = scope.wrong(text, "string")
    if why.startswith("must evaluate") and not why.endswith((" null", " null_type")):
        why = why.replace("to string", "to one of [string null_type]")
        errors.invalid(path, text, why)
    elif why and not why.startswith("must evaluate"):
        errors.invalid(path, text, why)


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
    if why := scope.wrong_mutation(text, json_patch):
        errors.invalid(path, text, why)


# --- bindings -------------------------------------------------------------------------------------------------------

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
