"""`--authorization-config`: the authorizers in order, webhooks among them.

    apiVersion: apiserver.config.k8s.io/v1
    kind: AuthorizationConfiguration
    authorizers:
    - {type: Node, name: node}
    - type: Webhook
      name: opa
      webhook:
        timeout: 3s
        authorizedTTL: 5m
        unauthorizedTTL: 30s
        subjectAccessReviewVersion: v1
        matchConditionSubjectAccessReviewVersion: v1
        failurePolicy: Deny
        connectionInfo: {type: KubeConfigFile, kubeConfigFile: /etc/opa.conf}
        matchConditions: [{expression: "request.user != 'admin'"}]
    - {type: RBAC, name: rbac}

Upstream: apiserver/pkg/apis/apiserver/{v1/types,validation/validation}.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workshop.api import codec, names
from workshop.api.cel.types import duration
from workshop.api.validation.field import ErrorList
from workshop.apiserver.authorization.conditions import environment

VERSIONS = ("apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1")
TYPES = ("AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook")
OFTEN = ("Webhook",)
LONGEST_TIMEOUT = 30.0
DECISIONS = ("NoOpinion", "Deny")


@dataclass(frozen=True)
class Webhook:
    """Seconds. `denies`: what is decided where the webhook gives no answer."""

    name: str
    kubeconfig: str
    timeout: float
    authorized_ttl: float
    unauthorized_ttl: float
    denies: bool
    version: str = "v1"
    conditions: Sequence[str] = ()
    caches: tuple[bool, bool] = (True, True)
    """Whether allowed and other answers are kept."""


@dataclass(frozen=True)
class Mode:
    """One authorizer of the file."""

    type: str
    webhook: Webhook | None = None


def load(text: bytes) -> list[Mode]:
    """The authorizers of a file. Raises ValueError."""
    read = codec.load_yaml(text)
    kind = read.get("kind", "") if isinstance(read, dict) else type(read).__name__
    if kind != "AuthorizationConfiguration":
        raise ValueError(f"expected AuthorizationConfiguration, got {kind}")
    if read.get("apiVersion") not in VERSIONS:
        version = read.get("apiVersion", "")
        raise ValueError(f'no kind "AuthorizationConfiguration" is registered for version "{version}"')
    errors = ErrorList()
    given = read.get("authorizers") or []
    if not given:
        errors.required("authorizers", "at least one authorization mode must be defined")
    seen_types: set[str] = set()
    seen_names: set[str] = set()
    for index, each in enumerate(given):
        _authorizer(errors, f"authorizers[{index}]", each, seen_types, seen_names)
    if errors:
        told = [f"{each['field']}: {each['message']}" for each in errors.causes()]
        raise ValueError(told[0] if len(told) == 1 else f"[{', '.join(told)}]")
    return [Mode(each["type"], _webhook(each) if each["type"] == "Webhook" else None) for each in given]


def _authorizer(errors: ErrorList, at: str, given: Mapping[str, Any], types: set[str], seen: set[str]) -> None:
    type, name = given.get("type") or "", given.get("name") or ""
    if not type:
        errors.required(f"{at}.type", "")
        return
    if type not in TYPES:
        errors.not_supported(f"{at}.type", type, TYPES)
        return
    if type in types and type not in OFTEN:
        errors.duplicate(f"{at}.type", type)
        return
    types.add(type)
    if not name:
        errors.required(f"{at}.name", "")
    elif name in seen:
        errors.duplicate(f"{at}.name", name)
    elif wrong := names.dns1123_subdomain(name):
        errors.invalid(f"{at}.name", name, f"authorizer name is invalid: {', '.join(wrong)}")
    seen.add(name)
    webhook = given.get("webhook")
    if type != "Webhook":
        if webhook is not None:
            errors.invalid(f"{at}.webhook", "non-null", "may only be specified when type=Webhook")
    elif webhook is None:
        errors.required(f"{at}.webhook", "required when type=Webhook")
    else:
        _check(errors, at, webhook)


def _check(errors: ErrorList, at: str, given: Mapping[str, Any]) -> None:
    for field in ("timeout", "authorizedTTL", "unauthorizedTTL"):
        why = "must be > 0s and <= 30s" if field == "timeout" else "must be > 0s"
        _seconds(errors, f"{at}.{field}", _lasting(given, field), why)
    version = given.get("subjectAccessReviewVersion")
    if not version:
        errors.required(f"{at}.subjectAccessReviewVersion", "")
    elif version not in ("v1", "v1beta1"):
        errors.not_supported(f"{at}.subjectAccessReviewVersion", version, ("v1", "v1beta1"))
    conditions, asked = given.get("matchConditions") or [], given.get("matchConditionSubjectAccessReviewVersion")
    if conditions and not asked:
        errors.required(f"{at}.matchConditionSubjectAccessReviewVersion", "required if match conditions are specified")
    elif asked not in (None, "", "v1"):
        errors.not_supported(f"{at}.matchConditionSubjectAccessReviewVersion", asked, ("v1",))
    policy = given.get("failurePolicy")
    if not policy:
        errors.required(f"{at}.failurePolicy", "")
    elif policy not in DECISIONS:
        errors.not_supported(f"{at}.failurePolicy", policy, DECISIONS)
    _connection(errors, f"{at}.connectionInfo", given.get("connectionInfo") or {})
    seen: set[str] = set()
    for index, each in enumerate(conditions):
        _condition(errors, f"{at}.matchConditions[{index}].expression", each.get("expression") or "", seen)


TTLS = {"authorizedTTL": "5m0s", "unauthorizedTTL": "30s"}


def _lasting(given: Mapping[str, Any], field: str) -> Any:
    """A time of the file; how long answers are kept has a default."""
    found = given.get(field)
    return TTLS.get(field) if not found or found == "0s" else found


def _seconds(errors: ErrorList, at: str, given: Any, why: str) -> None:
    if not given:
        errors.required(at, "")
        return
    try:
        seconds = duration(str(given)).total_seconds()
    except ValueError:
        seconds = 0.0
    if seconds <= 0 or (at.endswith(".timeout") and seconds > LONGEST_TIMEOUT):
        errors.invalid(at, str(given), why)


def _connection(errors: ErrorList, at: str, given: Mapping[str, Any]) -> None:
    type, path = given.get("type"), given.get("kubeConfigFile") or ""
    if not type:
        errors.required(f"{at}.type", "")
    elif type != "KubeConfigFile":
        errors.not_supported(f"{at}.type", type, ("KubeConfigFile",))
    elif not path:
        errors.required(f"{at}.kubeConfigFile", "")
    elif not Path(path).is_absolute():
        errors.invalid(f"{at}.kubeConfigFile", path, "must be an absolute path")
    elif not Path(path).is_file():
        why = (
            "must be a regular file"
            if Path(path).exists()
            else f"error loading file: stat {path}: no such file or directory"
        )
        errors.invalid(f"{at}.kubeConfigFile", path, why)


def _condition(errors: ErrorList, at: str, text: str, seen: set[str]) -> None:
    from workshop.api.cel.environment import CompileError  # loaded by who has expressions

    if not text:
        errors.required(at, "")
        return
    if text in seen:
        errors.duplicate(at, text)
        return
    seen.add(text)
    try:
        environment().compile(text, "bool")
    except CompileError as error:
        told = str(error)
        lead = "" if told.startswith("must evaluate") else "compilation failed: "
        errors.invalid(at, text, lead + told)


def _webhook(given: Mapping[str, Any]) -> Webhook:
    about = given["webhook"]

    def seconds(field: str) -> float:
        return duration(str(_lasting(about, field))).total_seconds()

    return Webhook(
        name=given["name"],
        kubeconfig=about["connectionInfo"]["kubeConfigFile"],
        timeout=seconds("timeout"),
        authorized_ttl=seconds("authorizedTTL"),
        unauthorized_ttl=seconds("unauthorizedTTL"),
        denies=about["failurePolicy"] == "Deny",
        version=about["subjectAccessReviewVersion"],
        conditions=tuple(each["expression"] for each in about.get("matchConditions") or ()),
        caches=(about.get("cacheAuthorizedRequests", True), about.get("cacheUnauthorizedRequests", True)),
    )
