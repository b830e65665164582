"""CertificateSigningRequests. Upstream: pkg/apis/certificates/validation, v1.36.2."""

from __future__ import annotations

import base64
import re

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from workshop.api.errors import quote
from workshop.api.meta import Obj
from workshop.api.validation import signers
from workshop.api.validation.diff import diff
from workshop.api.validation.field import ErrorList

USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment",
    "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel",
    "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime",
    "server auth", "signing", "timestamping",
)  # fmt: skip
LEGACY = "kubernetes.io/legacy-unknown"
ONE_WAY = ("Approved", "Denied", "Failed")
PEM = re.compile(
    rb"-----BEGIN ([^\n]*?)-----[ \t]*\r?\n((?:[^\n]*: [^\n]*\n)*)(.*?)-----END \1-----[ \t]*(?:\r?\n|$)", re.DOTALL
)


def signing_request(errors: ErrorList, obj: Obj, old: Obj | None = None) -> None:
    spec, was = obj["spec"], (old or {}).get("spec") or {}
    request = spec.get("request") or ""
    if why := _not_a_request(base64.b64decode(request)):
        errors.invalid("spec.request", request or None, why)
    usages, signer, had = spec.get("usages") or [], spec.get("signerName", ""), was.get("usages") or []
    if not usages:
        errors.required("spec.usages")
    for index, usage in enumerate(usages):
        if all(other in USAGES for other in had):
            errors.among(f"spec.usages[{index}]", usage, USAGES)
    for index, usage in enumerate(usages):
        if usage in usages[:index] and len(set(had)) == len(had):
            errors.duplicate(f"spec.usages[{index}]", usage)
    if signer == LEGACY and was.get("signerName") != LEGACY:
        errors.invalid("spec.signerName", signer, "the legacy signerName is not allowed via this API version")
    else:
        signers.signer_name(errors, "spec.signerName", signer)
    if (seconds := spec.get("expirationSeconds")) is not None and seconds < 600:
        said = "may not specify a duration less than 600 seconds (10 minutes)"
        errors.invalid("spec.expirationSeconds", seconds, said)
    _conditions(errors, obj, old)
    certificate = (obj.get("status") or {}).get("certificate") or ""
    kept = old is not None and ((old.get("status") or {}).get("certificate") or "") == certificate
    if certificate and not kept and (why := _not_certificates(base64.b64decode(certificate))):
        errors.invalid("status.certificate", "<certificate data>", why)


def _not_a_request(raw: bytes) -> str:
    found = PEM.search(raw)
    if found is None or found[1] != b"CERTIFICATE REQUEST":
        return "PEM block type must be CERTIFICATE REQUEST"
    try:
        request = x509.load_der_x509_csr(base64.b64decode(found[3]))
        return "" if request.is_signature_valid else "x509: verification failure"
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        return f"asn1: structure error: {error}"


def _not_certificates(raw: bytes) -> str:
    blocks = list(PEM.finditer(raw))
    for block in blocks:
        if block[1] != b"CERTIFICATE":
            return f"only CERTIFICATE PEM blocks are allowed, found {quote(block[1].decode())}"
        if block[2]:
            return "no PEM block headers are permitted"
        try:
            x509.load_der_x509_certificate(base64.b64decode(block[3]))
        except ValueError:
            return "x509: malformed certificate"
    return "" if blocks else "must contain at least one CERTIFICATE PEM block"


def _types(obj: Obj | None) -> list[str]:
    return [c.get("type", "") for c in ((obj or {}).get("status") or {}).get("conditions") or []]


def _conditions(errors: ErrorList, obj: Obj, old: Obj | None) -> None:
    """What was wrong in the old object may stay wrong."""
    had, seen = _types(old), set[str]()
    for index, each in enumerate((obj.get("status") or {}).get("conditions") or []):
        at, kind = f"status.conditions[{index}]", each.get("type", "")
        if not kind and "" not in had:
            errors.required(f"{at}.type")
        errors.one_of(
            f"{at}.status", each.get("status"), ("True",) if kind in ONE_WAY else ("False", "True", "Unknown")
        )
        opposite = {"Approved": "Denied", "Denied": "Approved"}.get(kind)
        if opposite in seen and not {"Approved", "Denied"} <= set(had):
            errors.invalid("status.conditions", kind, "Approved and Denied conditions are mutually exclusive")
        if kind in seen and len(set(had)) == len(had):
            errors.duplicate(f"{at}.type", kind)
        seen.add(kind)


def update(errors: ErrorList, new: Obj, old: Obj, door: str = "") -> None:
    """Conditions of approval are set at their own door, the certificate at the status."""
    signing_request(errors, new, old)
    after, before = ({kind: _of(obj, kind) for kind in ONE_WAY} for obj in (new, old))
    at = "status.conditions"
    for kind in ONE_WAY:
        if len(after[kind]) < len(before[kind]):
            errors.forbidden(at, f"updates may not remove a condition of type {quote(kind)}")
    for kind in ONE_WAY[:2] if door != "approval" else ():
        if len(after[kind]) > len(before[kind]):
            errors.forbidden(at, f"updates may not add a condition of type {quote(kind)}")
        elif len(after[kind]) == len(before[kind]) and after[kind] != before[kind]:
            said = f"updates may not modify a condition of type {quote(kind)}"
            errors.forbidden(at, f"{said}\n{diff(before[kind], after[kind])}")
    mine, theirs = ((obj.get("status") or {}).get("certificate") or "" for obj in (new, old))
    if mine != theirs:
        if door != "status":
            errors.forbidden("status.certificate", "updates may not set certificate content")
        elif theirs:
            errors.forbidden("status.certificate", "updates may not modify existing certificate content")


def _of(obj: Obj, kind: str) -> list[Obj]:
    return [c for c in (obj.get("status") or {}).get("conditions") or [] if c.get("type") == kind]
