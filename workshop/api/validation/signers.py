"""Names of signers and trust bundles. Upstream: pkg/apis/core/validation/names.go, v1.36.2."""

from __future__ import annotations

import re

from workshop.api import names
from workshop.api.errors import quote
from workshop.api.validation.field import ErrorList

DOMAIN, LABEL = 253, 63


def is_kubernetes(signer: str) -> bool:
    host = signer.partition("/")[0]
    return host == "kubernetes.io" or host.endswith(".kubernetes.io")


def signer_name(errors: ErrorList, path: str, signer: str) -> None:
    if not signer:
        errors.required(path)
        return
    segments = signer.split("/")
    if len(segments) != 2:
        said = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        errors.invalid(path, signer, said)
        return
    domain, rest = segments
    if len(domain) > DOMAIN:
        errors.too_long(path, DOMAIN)
    labels = domain.split(".")
    for label in labels:
        if found := names.dns1123_label(label):
            errors.each(path, domain, (f"validating label {quote(label)}: {said}" for said in found))
            break
    if len(labels) < 2:
        errors.invalid(path, domain, "should be a domain with at least two segments separated by dots")
    for label in rest.split("."):
        if found := names.dns1123_subdomain(label):
            errors.each(path, rest, (f"validating label {quote(label)}: {said}" for said in found))
            break
    if len(signer) > (most := DOMAIN + DOMAIN + LABEL + 2):
        errors.too_long(path, most)


def bundle_name(name: str) -> list[str]:
    """A bundle of a signer is called after it: `example.com:foo:name`."""
    signer, colon, rest = name.rpartition(":")
    if not colon:
        return names.dns1123_subdomain(name)
    return names.dns1123_subdomain(rest) if signer else []


def prefixed_key(errors: ErrorList, path: str, key: str) -> None:
    """`example.com/key`: a domain has to be there. Upstream: validation.IsDomainPrefixedKey."""
    if not key:
        errors.required(path)
        return
    complaints = names.qualified_name(key)
    errors.each(path, key, complaints)
    if not complaints and key.count("/") != 1:
        errors.invalid(path, key, 'must be a domain-prefixed key (such as "acme.io/foo")')


HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"


def prefixed_path(errors: ErrorList, path: str, value: str) -> None:
    """`example.com/any/path`. Upstream: validation.IsDomainPrefixedPath."""
    host, _, rest = value.partition("/")
    if not value:
        errors.required(path)
    elif not host or not rest:
        errors.invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')
    else:
        errors.each(path, host, names.dns1123_subdomain(host))
        if not re.fullmatch(HTTP_PATH, rest):
            errors.invalid(path, rest, names.regex_sentence("Invalid path", HTTP_PATH))
