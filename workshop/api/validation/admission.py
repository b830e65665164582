"""Admission webhooks, policies and their bindings. Their expressions are compiled here, so a mistake is told at once.

Upstream: pkg/apis/admissionregistration/validation/validation.go.
"""

from __future__ import annotations

import re
from typing import Any

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import metadata, webhooks
from workshop.api.validation.field import ErrorList

OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
SCOPES = ("*", "Cluster", "Namespaced")
FAILURE, MATCH, REINVOCATION = ("Fail", "Ignore"), ("Equivalent", "Exact"), ("IfNeeded", "Never")
SIDE_EFFECTS = ("None", "NoneOnDryRun")
REVIEWS = ("v1", "v1beta1")
REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
ACTIONS = ("Audit", "Deny", "Warn")
MOST_CONDITIONS, MOST_ANNOTATIONS = 64, 20
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")


# --- webhooks --------------------------------------------------------------------------------------------------------


def configuration(errors: ErrorList, obj: Obj) -> None:
    """A Mutating- or ValidatingWebhookConfiguration."""
    mutating, seen = obj["kind"].startswith("Mutating"), set()
    for index, hook in enumerate(obj.get("webhooks") or ()):
        _hook(errors, f"webhooks[{index}]", hook, mutating)
    for index, hook in enumerate(obj.get("webhooks") or ()):
        if (name := hook.get("name")) in seen:
            errors.duplicate(f"webhooks[{index}].name", name)
        seen.add(name)


def _hook(errors: ErrorList, path: str, hook: Obj, mutating: bool) -> None:
    name = hook.get("name") or ""
    if not name:
        errors.required(f"{path}.name")
    elif wrong := names.dns1123_subdomain(name):
        errors.each(f"{path}.name", name, wrong)
    elif name.count(".") < 2:
        errors.invalid(f"{path}.name", name, "should be a domain with at least three segments separated by dots")
    _versions(errors, f"{path}.admissionReviewVersions", hook.get("admissionReviewVersions") or [])
    for index, rule in enumerate(hook.get("rules") or ()):
        _rule(errors, f"{path}.rules[{index}]", rule)
    _known(errors, hook, path, "failurePolicy", FAILURE)
    _known(errors, hook, path, "matchPolicy", MATCH)
    if not hook.get("sideEffects"):
        errors.required(f"{path}.sideEffects", f"must specify one of {', '.join(SIDE_EFFECTS)}")
    else:
        _known(errors, hook, path, "sideEffects", SIDE_EFFECTS)
    timeout = hook.get("timeoutSeconds")
    if timeout is not None and not 1 <= timeout <= 30:
        errors.invalid(f"{path}.timeoutSeconds", timeout, "the timeout value must be between 1 and 30 seconds")
    metadata.selector(errors, f"{path}.namespaceSelector", hook.get("namespaceSelector"))
    metadata.selector(errors, f"{path}.objectSelector", hook.get("objectSelector"))
    webhooks.client_config(errors, f"{path}.clientConfig", hook.get("clientConfig") or {})
    if mutating:
        _known(errors, hook, path, "reinvocationPolicy", REINVOCATION)
    _conditions(errors, f"{path}.matchConditions", hook.get("matchConditions") or [], params=False, hook=True)


def _versions(errors: ErrorList, path: str, versions: list[str]) -> None:
    if not versions:
        errors.required(path, f"must specify one of {', '.join(REVIEWS)}")
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            errors.invalid(f"{path}[{index}]", version, "duplicate version")
        else:
            errors.each(f"{path}[{index}]", version, names.dns1035_label(version))
    if not {*versions} & {*REVIEWS}:
        errors.invalid(path, versions, f"must include at least one of {', '.join(REVIEWS)}")


def _known(errors: ErrorList, obj: Obj, path: str, field: str, known: tuple[str, ...]) -> None:
    if obj.get(field) is not None and obj[field] not in known:
        errors.not_supported(f"{path}.{field}", obj[field], known)


def _rule(errors: ErrorList, path: str, rule: Obj) -> None:
    operations = rule.get("operations") or []
    if not operations:
        errors.required(f"{path}.operations")
    if len(operations) > 1 and "*" in operations:
        errors.invalid(f"{path}.operations", operations, "if '*' is present, must not specify other operations")
    for index, each in enumerate(operations):
        if each not in OPERATIONS:
            errors.not_supported(f"{path}.operations[{index}]", each, OPERATIONS)
    for field, what in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        found = rule.get(field) or []
        if not found:
            errors.required(f"{path}.{field}")
        if len(found) > 1 and "*" in found:
            errors.invalid(f"{path}.{field}", found, f"if '*' is present, must not specify other {what}")
    for index, version in enumerate(rule.get("apiVersions") or ()):
        if not version:
            errors.required(f"{path}.apiVersions[{index}]")
    _resources(errors, f"{path}.resources", rule.get("resources") or [])
    _known(errors, rule, path, "scope", SCOPES)


def _resources(errors: ErrorList, path: str, resources: list[str]) -> None:
    if not resources:
        errors.required(path)
    with_every_sub: set[str] = set()
    every_resource_with: set[str] = set()
    for index, each in enumerate(resources):
        at = f"{path}[{index}]"
        if not each:
            errors.required(at)
            continue
        if each == "*/*" and len(resources) > 1:
            errors.invalid(path, resources, "if '*/*' is present, must not specify other resources")
        name, slash, sub = each.partition("/")
        if not slash:
            continue
        if name in with_every_sub:
            errors.invalid(at, each, f"if '{name}/*' is present, must not specify {each}")
        if sub in every_resource_with:
            errors.invalid(at, each, f"if '*/{sub}' is present, must not specify {each}")
        if sub == "*":
            with_every_sub.add(name)
        if name == "*":
            every_resource_with.add(sub)
    if len(resources) > 1 and "*" in resources and all("/" not in each for each in resources):
        text = "if '*' is present, must not specify other resources without subresources"
        errors.invalid(path, resources, text)


def _conditions(errors: ErrorList, path: str, conditions: list[Obj], params: bool, hook: bool = False) -> None:
    if len(conditions) > MOST_CONDITIONS:
        errors.too_many(path, len(conditions), MOST_CONDITIONS)
    seen: set[str] = set()
    for index, each in enumerate(conditions):
        at, name = f"{path}[{index}]", each.get("name") or ""
        _expression(errors, f"{at}.expression", each.get("expression") or "", "bool", params, hook)
        if not name:
            errors.required(f"{at}.name")
        else:
            errors.each(f"{at}.name", name, names.qualified_name(name))
            if name in seen:
                errors.duplicate(f"{at}.name", name)
            seen.add(name)


def _expression(
    errors: ErrorList, path: str, text: str, want: str, params: bool, hook: bool = False, needed: str = ""
) -> None:
    if not text.strip():
        errors.required(path, needed)
        return
    from workshop.api.cel import policies  # loaded by who has expressions

    if why := policies.wrong(text, want, params, hook):
        errors.invalid(path, text, why)


# --- policies --------------------------------------------------------------------------------------------------------


def policy(errors: ErrorList, obj: Obj) -> None:
    """A ValidatingAdmissionPolicy."""
    spec = obj["spec"]
    params = _common(errors, spec)
    validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
    if not validations and not annotations:
        for field in ("validations", "auditAnnotations"):
            errors.required(f"spec.{field}", "validations or auditAnnotations must contain at least one item")
    for index, each in enumerate(validations):
        _validation(errors, f"spec.validations[{index}]", each, params)
    _annotations(errors, annotations, obj["metadata"].get("name") or "", params)


def mutating_policy(errors: ErrorList, obj: Obj) -> None:
    spec = obj["spec"]
    params = _common(errors, spec)
    mutations = spec.get("mutations") or []
    if not mutations:
        errors.required("spec.mutations", "mutations must contain at least one item")
    for index, each in enumerate(mutations):
        _mutation(errors, f"spec.mutations[{index}]", each, params)
    if not spec.get("reinvocationPolicy"):
        errors.required("spec.reinvocationPolicy")
    else:
        _known(errors, spec, "spec", "reinvocationPolicy", REINVOCATION)


def _common(errors: ErrorList, spec: Obj) -> bool:
    """What both sorts of policies have; whether there are parameters."""
    _known(errors, spec, "spec", "failurePolicy", FAILURE)
    params = spec.get("paramKind")
    if params is not None:
        version = params.get("apiVersion") or ""
        if not version:
            errors.required("spec.paramKind.apiVersion")
        elif version.count("/") > 1:
            errors.invalid("spec.paramKind.apiVersion", version, f"unexpected GroupVersion string: {version}")
        if not params.get("kind"):
            errors.required("spec.paramKind.kind")
    constraints = spec.get("matchConstraints")
    if constraints is None:
        errors.required("spec.matchConstraints")
    else:
        _match_resources(errors, "spec.matchConstraints", constraints)
        if not constraints.get("resourceRules"):
            errors.required("spec.matchConstraints.resourceRules")
    _conditions(errors, "spec.matchConditions", spec.get("matchConditions") or [], params is not None)
    for index, each in enumerate(spec.get("variables") or ()):
        at = f"spec.variables[{index}]"
        if not each.get("name"):
            errors.required(f"{at}.name")
        elif not _IDENTIFIER.fullmatch(each["name"]):
            errors.invalid(f"{at}.name", each["name"], "must be a valid CEL identifier")
        else:
            text = "expression is not specified"
            _expression(errors, f"{at}.expression", each.get("expression") or "", "", params is not None, needed=text)
    return params is not None


def _match_resources(errors: ErrorList, path: str, found: Obj) -> None:
    _known(errors, found, path, "matchPolicy", MATCH)
    metadata.selector(errors, f"{path}.namespaceSelector", found.get("namespaceSelector"))
    metadata.selector(errors, f"{path}.objectSelector", found.get("objectSelector"))
    for field in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(found.get(field) or ()):
            _rule(errors, f"{path}.{field}[{index}]", rule)


def _validation(errors: ErrorList, path: str, found: Obj, params: bool) -> None:
    text, message, dynamic = (found.get(name) or "" for name in ("expression", "message", "messageExpression"))
    _expression(errors, f"{path}.expression", text, "bool", params, needed="expression is not specified")
    if dynamic:
        needed = "must be non-empty if specified"
        _expression(errors, f"{path}.messageExpression", dynamic, "string", params, needed=needed)
    if message and not message.strip():
        errors.invalid(f"{path}.message", message, "must be non-empty if specified")
    elif "\n" in message.strip():
        errors.invalid(f"{path}.message", message, "must not contain line breaks")
    elif "\n" in text.strip() and not message.strip():
        errors.required(f"{path}.message", "message must be specified if expression contains line breaks")
    if found.get("reason"):
        _known(errors, found, path, "reason", REASONS)


def _annotations(errors: ErrorList, annotations: list[Obj], policy: str, params: bool) -> None:
    if len(annotations) > MOST_ANNOTATIONS:
        text = f"must not have more than {MOST_ANNOTATIONS} auditAnnotations"
        errors.invalid("spec.auditAnnotations", annotations, text)
    seen: set[str] = set()
    for index, each in enumerate(annotations):
        at, key, text = f"spec.auditAnnotations[{index}]", each.get("key") or "", each.get("valueExpression") or ""
        if not key:
            errors.required(f"{at}.key")
        else:
            whole = f"{policy}/{key}"
            errors.each(f"{at}.key", whole, names.qualified_name(whole))
        if not text.strip():
            errors.required(f"{at}.valueExpression", "valueExpression is not specified")
        else:
            _value(errors, f"{at}.valueExpression", text, params)
        if key in seen:
            errors.duplicate(f"{at}.key", key)
        seen.add(key)


def _value(errors: ErrorList, path: str, text: str, params: bool) -> None:
    from workshop.api.cel import policies  # loaded by who has expressions

    why = policies.wrong(text, "string", params)
    if why.startswith("must evaluate") and not why.endswith((" null", " null_type")):
        why = why.replace("to string", "to one of [string null_type]")
        errors.invalid(path, text, why)
    elif why and not why.startswith("must evaluate"):
        errors.invalid(path, text, why)


def _mutation(errors: ErrorList, path: str, found: Obj, params: bool) -> None:
    fields = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
    kind = found.get("patchType") or ""
    if not kind:
        errors.required(f"{path}.patchType")
        return
    if kind not in fields:
        errors.not_supported(f"{path}.patchType", kind, fields)
        return
    for other, field in fields.items():
        if other != kind and found.get(field) is not None:
            errors.invalid(f"{path}.{field}", found[field], f"must not be set when patchType is {kind}")
    field = fields[kind]
    text = (found.get(field) or {}).get("expression") or ""
    if found.get(field) is None:
        errors.required(f"{path}.{field}", f"must be specified when patchType is {kind}")
    elif not text.strip():
        errors.required(f"{path}.{field}.expression", "expression is not specified")
    else:
        from workshop.api.cel import policies  # loaded by who has expressions

        if why := policies.wrong_mutation(text, kind == "JSONPatch", params):
            errors.invalid(f"{path}.{field}.expression", text, why)


# --- bindings --------------------------------------------------------------------------------------------------------


def binding(errors: ErrorList, obj: Obj) -> None:
    """Of either sort."""
    spec = obj["spec"]
    if not spec.get("policyName"):
        errors.required("spec.policyName")
    else:
        errors.each("spec.policyName", spec["policyName"], names.dns1123_subdomain(spec["policyName"]))
    if (ref := spec.get("paramRef")) is not None:
        _ref(errors, "spec.paramRef", ref)
    if (found := spec.get("matchResources")) is not None:
        _match_resources(errors, "spec.matchResources", found)
    if obj["kind"].startswith("Validating"):
        _actions(errors, "spec.validationActions", spec.get("validationActions") or [])


def _ref(errors: ErrorList, path: str, ref: Obj) -> None:
    name, selector = ref.get("name") or "", ref.get("selector")
    if name:
        errors.each(f"{path}.name", name, names.path_segment(name))
    if name and selector is not None:
        for field in ("name", "selector"):
            errors.forbidden(f"{path}.{field}", "name and selector are mutually exclusive")
    elif not name and selector is None:
        errors.required(path, "one of name or selector must be specified")
    elif selector is not None:
        metadata.selector(errors, f"{path}.selector", selector)
    action: Any = ref.get("parameterNotFoundAction")
    if not action:
        errors.required(f"{path}.parameterNotFoundAction")
    elif action not in ("Deny", "Allow"):
        errors.not_supported(f"{path}.parameterNotFoundAction", action, ("Deny", "Allow"))


def _actions(errors: ErrorList, path: str, actions: list[str]) -> None:
    if not actions:
        errors.required(path, "at least one validation action is required")
        return
    for index, each in enumerate(actions):
        if each not in ACTIONS:
            errors.not_supported(f"{path}[{index}]", each, ACTIONS)
        if each in actions[:index]:
            errors.duplicate(f"{path}[{index}]", each)
    if {"Deny", "Warn"} <= {*actions}:
        text = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API "
            "response and headers serves no purpose)"
        )
        errors.invalid(path, actions, text)
