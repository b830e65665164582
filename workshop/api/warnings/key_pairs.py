"""Whether a private key is a certificate's, in the words of Go's crypto/tls (X509KeyPair)."""

from __future__ import annotations

import base64
import re

PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s.*?-----END \1-----", re.DOTALL)


def complaint(certificate: str, key: str) -> str:
    """Both in base64, as a Secret has them; "" where they fit."""
    chain, secret = base64.b64decode(certificate), base64.b64decode(key)
    return _certificate(chain) or _key(secret) or _fit(chain, secret)


def _blocks(text: bytes) -> list[str]:
    return [found[1].decode() for found in PEM.finditer(text)]


def _certificate(text: bytes) -> str:
    found = _blocks(text)
    if "CERTIFICATE" in found:
        return ""
    if not found:
        return "tls: failed to find any PEM data in certificate input"
    if len(found) == 1 and found[0].endswith("PRIVATE KEY"):
        said = "tls: failed to find certificate PEM data in certificate input, but did find a private key"
        return f"{said}; PEM inputs may have been switched"
    said = 'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of the following'
    return f"{said} types: [{' '.join(found)}]"


def _key(text: bytes) -> str:
    found = _blocks(text)
    if any(each == "PRIVATE KEY" or each.endswith(" PRIVATE KEY") for each in found):
        return ""
    if not found:
        return "tls: failed to find any PEM data in key input"
    if found == ["CERTIFICATE"]:
        return "tls: found a certificate rather than a key in the PEM for the private key"
    said = (
        'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM blocks of the'
    )
    return f"{said} following types: [{' '.join(found)}]"


def _fit(chain: bytes, secret: bytes) -> str:
    from cryptography import x509  # only a server that is sent such a Secret needs it
    from cryptography.hazmat.primitives import serialization

    try:
        public = x509.load_pem_x509_certificates(chain)[0].public_key()
    except ValueError:
        return "x509: malformed certificate"
    try:
        private = serialization.load_pem_private_key(secret, None)
    except (ValueError, TypeError):
        return "tls: failed to parse private key"
    own = private.public_key()
    if type(own) is not type(public):
        return "tls: private key type does not match public key type"
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return "" if own.public_bytes(*form) == public.public_bytes(*form) else "tls: private key does not match public key"
