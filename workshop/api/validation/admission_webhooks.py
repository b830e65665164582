"""Configurations of webhooks. Upstream: pkg/apis/admissionregistration/validation, v1.36.2."""

from __future__ import annotations

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation import metadata, webhooks
from workshop.api.validation.admission import (
    FAILURE,
    MATCH,
    REINVOCATION,
    Scope,
    match_conditions,
    request_rule,
)
from workshop.api.validation.field import ErrorList

SIDE_EFFECTS = ("None", "NoneOnDryRun")
NO_REVIEWS = f"must specify one of {', '.join(webhooks.REVIEWS)}"


def webhook_configuration(errors: ErrorList, obj: Obj) -> None:
    seen: set[str] = set()
    for index, hook in enumerate(obj.get("webhooks") or []):
        at, name = f"webhooks[{index}]", hook.get("name", "")
        _hook(errors, at, hook)
        versions = hook.get("admissionReviewVersions") or []
        webhooks.review_versions(errors, f"{at}.admissionReviewVersions", versions, NO_REVIEWS)
        if name and name in seen:
            errors.duplicate(f"{at}.name", name)
        seen.add(name)


def _hook(errors: ErrorList, at: str, hook: Obj) -> None:
    _full_name(errors, f"{at}.name", hook.get("name", ""))
    for index, rule in enumerate(hook.get("rules") or []):
        request_rule(errors, f"{at}.rules[{index}]", rule)
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
