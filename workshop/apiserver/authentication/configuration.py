"""`--authentication-config`: who else may vouch for a user (issuers of JSON Web Tokens), and where nobody needs to.

    apiVersion: apiserver.config.k8s.io/v1
    kind: AuthenticationConfiguration
    anonymous:
      enabled: true
      conditions: [{path: /livez}, {path: /readyz}, {path: /healthz}]
    jwt:
    - issuer: {url: https://id.example.com, audiences: [workshop]}
      claimMappings: {username: {claim: sub, prefix: "example:"}}

Upstream: apiserver/pkg/apis/apiserver/{v1/types,validation/validation}.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from workshop.api import codec
from workshop.api.validation.field import ErrorList
from workshop.apiserver.authentication.oidc import Issuer

VERSIONS = ("apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1")
_MAIL = re.compile(r"\bclaims\.email\b")
UNVERIFIED = (
    "claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression "
    "or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression"
)
AT_LEAST_ONE = "at least one {} is required"


@dataclass(frozen=True)
class Anonymous:
    """Who shows no credentials is `system:anonymous`: everywhere, or at some paths."""

    enabled: bool = True
    paths: Sequence[str] = ()

    def fits(self, path: str) -> bool:
        return self.enabled and (not self.paths or path in self.paths)


@dataclass(frozen=True)
class Configuration:
    """`anonymous` is None where the file leaves that to the flag."""

    anonymous: Anonymous | None
    issuers: Sequence[Issuer]


def load(text: bytes, own_issuers: Iterable[str] = ()) -> Configuration:
    """The configuration of a file. `own_issuers` are those of service account tokens. Raises ValueError."""
    read = codec.load_yaml(text)
    if not isinstance(read, dict) or read.get("kind") != "AuthenticationConfiguration":
        version = read.get("apiVersion", "") if isinstance(read, dict) else ""
        raise ValueError(f'no kind "{_kind(read)}" is registered for version "{version}"')
    if read.get("apiVersion") not in VERSIONS:
        raise ValueError(
            f'no kind "AuthenticationConfiguration" is registered for version "{read.get("apiVersion", "")}"'
        )
    unknown = sorted(set(read) - {"apiVersion", "kind", "jwt", "anonymous"})
    if unknown:
        raise ValueError(f'strict decoding error: unknown field "{unknown[0]}"')
    errors = ErrorList()
    anonymous = _anonymous(errors, read.get("anonymous"))
    urls: set[str] = set()
    issuers = []
    for index, each in enumerate(read.get("jwt") or ()):
        _issuer(errors, f"jwt[{index}]", each, set(own_issuers), urls)
        issuers.append(each)
    if errors:
        told = [f"{each['field']}: {each['message']}" for each in errors.causes()]
        why = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
        raise ValueError(f"invalid authentication configuration: {why}")
    return Configuration(anonymous, [Issuer(each) for each in issuers])


def _kind(read: Any) -> str:
    return str(read.get("kind", "")) if isinstance(read, dict) else type(read).__name__


def _anonymous(errors: ErrorList, given: Any) -> Anonymous | None:
    if given is None:
        return None
    enabled, conditions = bool(given.get("enabled")), given.get("conditions") or []
    if conditions and not enabled:
        why = "enabled should be set to true when conditions are defined"
        errors.invalid("anonymous.conditions", [{"Path": each.get("path", "")} for each in conditions], why)
    return Anonymous(enabled, tuple(each.get("path", "") for each in conditions))


def _issuer(errors: ErrorList, at: str, given: Any, own: set[str], urls: set[str]) -> None:
    issuer = given.get("issuer") or {}
    url = issuer.get("url") or ""
    if url in urls:
        errors.duplicate(f"{at}.issuer.url", url)
    urls.add(url)
    _url(errors, f"{at}.issuer.url", url)
    if url in own:
        text = f"URL must not overlap with disallowed issuers: [{' '.join(sorted(own))}]"
        errors.invalid(f"{at}.issuer.url", url, text)
    if discovery := issuer.get("discoveryURL"):
        _url(errors, f"{at}.issuer.discoveryURL", discovery)
        if discovery.rstrip("/") == url.rstrip("/"):
            errors.invalid(f"{at}.issuer.discoveryURL", discovery, "discoveryURL must be different from URL")
    _audiences(errors, f"{at}.issuer", issuer)
    for index, rule in enumerate(given.get("claimValidationRules") or ()):
        _rule(errors, f"{at}.claimValidationRules[{index}]", rule)
    _mappings(errors, f"{at}.claimMappings", given.get("claimMappings") or {})
    _verified(errors, at, given)
    for index, rule in enumerate(given.get("userValidationRules") or ()):
        _expression(errors, f"{at}.userValidationRules[{index}].expression", rule.get("expression"), "user", "bool")


def _url(errors: ErrorList, at: str, url: str) -> None:
    if not url:
        errors.required(at, "")
        return
    parts = urlsplit(url)
    if parts.scheme != "https":
        errors.invalid(at, url, "URL scheme must be https")
    if parts.username is not None:
        errors.invalid(at, url, "URL must not contain a username or password")
    if parts.query:
        errors.invalid(at, url, "URL must not contain a query")
    if parts.fragment:
        errors.invalid(at, url, "URL must not contain a fragment")


def _audiences(errors: ErrorList, at: str, issuer: Any) -> None:
    audiences, policy = issuer.get("audiences") or [], issuer.get("audienceMatchPolicy") or ""
    if not audiences:
        errors.required(f"{at}.audiences", AT_LEAST_ONE.format(f"{at}.audiences"))
    for index, audience in enumerate(audiences):
        if not audience:
            errors.required(f"{at}.audiences[{index}]", "")
        elif audience in audiences[:index]:
            errors.duplicate(f"{at}.audiences[{index}]", audience)
    if len(audiences) > 1 and policy != "MatchAny":
        text = "audienceMatchPolicy must be MatchAny for multiple audiences"
        errors.invalid(f"{at}.audienceMatchPolicy", policy, text)
    elif policy not in ("", "MatchAny"):
        text = "audienceMatchPolicy must be empty or MatchAny for single audience"
        errors.invalid(f"{at}.audienceMatchPolicy", policy, text)


def _rule(errors: ErrorList, at: str, rule: Any) -> None:
    if rule.get("claim") and rule.get("expression"):
        errors.invalid(at, rule["claim"], "claim and expression can't both be set")
    elif not rule.get("claim") and not rule.get("expression"):
        errors.required(at, "claim or expression is required")
    elif rule.get("expression"):
        if rule.get("requiredValue"):
            errors.invalid(f"{at}.requiredValue", rule["requiredValue"], "may not be specified when expression is set")
        _expression(errors, f"{at}.expression", rule["expression"], "claims", "bool")
    elif rule.get("message"):
        errors.invalid(f"{at}.message", rule["message"], "may not be specified when claim is set")


def _mappings(errors: ErrorList, at: str, mappings: Any) -> None:
    _mapping(errors, f"{at}.username", mappings.get("username") or {}, needed=True, prefixed=True)
    _mapping(errors, f"{at}.groups", mappings.get("groups") or {}, prefixed=True)
    _mapping(errors, f"{at}.uid", mappings.get("uid") or {})
    keys: set[str] = set()
    for index, extra in enumerate(mappings.get("extra") or ()):
        key, place = extra.get("key") or "", f"{at}.extra[{index}]"
        if not key:
            errors.required(f"{place}.key", "")
        elif not all(key.partition("/")):
            errors.invalid(f"{place}.key", key, 'must be a domain-prefixed path (such as "acme.io/foo")')
        if key != key.lower():
            errors.invalid(f"{place}.key", key, "must be lowercase")
        domain = key.partition("/")[0]
        if any(domain == own or domain.endswith(f".{own}") for own in ("k8s.io", "kubernetes.io")):
            text = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use"
            errors.invalid(f"{place}.key", key, text)
        if key in keys:
            errors.duplicate(f"{place}.key", key)
        keys.add(key)
        _expression(errors, f"{place}.valueExpression", extra.get("valueExpression"), "claims", "")


def _verified(errors: ErrorList, at: str, given: Any) -> None:
    """Who is known by his mail address must have shown that it is his."""
    mappings = given.get("claimMappings") or {}
    name = (mappings.get("username") or {}).get("expression") or ""
    others = [each.get("valueExpression") or "" for each in mappings.get("extra") or ()]
    others += [each.get("expression") or "" for each in given.get("claimValidationRules") or ()]
    if _MAIL.search(name) and not any("claims.email_verified" in text for text in (name, *others)):
        errors.invalid(f"{at}.claimMappings.username.expression", name, UNVERIFIED)


def _mapping(errors: ErrorList, at: str, given: Any, needed: bool = False, prefixed: bool = False) -> None:
    claim, expression = given.get("claim"), given.get("expression")
    if claim and expression:
        errors.invalid(at, "", "claim and expression can't both be set")
    elif needed and not claim and not expression:
        errors.required(at, "claim or expression is required")
    elif expression:
        if given.get("prefix") is not None:
            errors.invalid(f"{at}.prefix", given["prefix"], "may not be specified when expression is set")
        _expression(errors, f"{at}.expression", expression, "claims", "")
    elif claim and prefixed and given.get("prefix") is None:
        text = "prefix is required when claim is set. It can be set to an empty string to disable prefixing"
        errors.required(f"{at}.prefix", text)


def _expression(errors: ErrorList, at: str, text: str | None, about: str, want: str) -> None:
    from workshop.api.cel.environment import CompileError, NoProgram  # loaded by who has expressions
    from workshop.api.cel.policies import of_tokens

    if not text:
        errors.required(at, "")
        return
    try:
        of_tokens(about).compile(text, want)
    except NoProgram as error:
        errors.internal(at, str(error))
    except CompileError as error:
        told = str(error)
        errors.invalid(
            at, text, f"must evaluate to {want}" if told.startswith("must") else f"compilation failed: {told}"
        )
