"""What flags ask of TLS beside certificates: versions, cipher suites, revoked certificates.

Upstream: `component-base/cli/flag/ciphersuites_flag.go`; etcd `pkg/tlsutil`.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

#: As Kubernetes' flags and etcd's name them.
VERSIONS = {
    "VersionTLS12": ssl.TLSVersion.TLSv1_2,
    "VersionTLS13": ssl.TLSVersion.TLSv1_3,
    "TLS1.2": ssl.TLSVersion.TLSv1_2,
    "TLS1.3": ssl.TLSVersion.TLSv1_3,
}
#: Those of TLS 1.3 cannot be chosen among, neither by Go nor by Python; to name them is no mistake.
_ALWAYS = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}


@dataclass(frozen=True)
class TlsOptions:
    """Names as flags give them, "" or nothing for the defaults; `revoked` is a file of revoked certificates."""

    minimum: str = ""
    maximum: str = ""
    ciphers: Sequence[str] = ()
    revoked: str = ""

    def apply(self, context: ssl.SSLContext) -> None:
        """Raises ValueError for names that nobody knows, OSError for a file that cannot be read."""
        context.minimum_version = _version(self.minimum) or ssl.TLSVersion.TLSv1_2
        if maximum := _version(self.maximum):
            context.maximum_version = maximum
        chosen = [openssl_name(name) for name in self.ciphers if name not in _ALWAYS]
        if chosen:
            try:
                context.set_ciphers(":".join(chosen))
            except ssl.SSLError:
                raise ValueError(f"Cipher suite {','.join(self.ciphers)} not supported or doesn't exist") from None
        if self.revoked:
            _load_revoked(context, Path(self.revoked))
            context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF


def _version(name: str) -> ssl.TLSVersion | None:
    if name and name not in VERSIONS:
        raise ValueError(f'unknown tls version "{name}"')
    return VERSIONS.get(name)


def openssl_name(name: str) -> str:
    """OpenSSL's name of a cipher suite of TLS 1.2. Raises ValueError.

    >>> openssl_name("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"), openssl_name("TLS_RSA_WITH_AES_256_CBC_SHA")
    ('ECDHE-RSA-AES128-GCM-SHA256', 'AES256-SHA')
    """
    found = re.fullmatch(r"TLS_((?:ECDHE_)?(?:RSA|ECDSA))_WITH_([A-Z0-9_]+?)(?:_(SHA\d*))?", name)
    if not found:
        raise ValueError(f"Cipher suite {name} not supported or doesn't exist")
    exchange, cipher, digest = found[1].replace("_", "-"), found[2], found[3] or ""
    if cipher == "CHACHA20_POLY1305":
        digest = ""
    cipher = cipher.replace("_CBC", "").replace("3DES_EDE", "DES-CBC3")
    cipher = re.sub(r"AES_(\d+)", r"AES\1", cipher).replace("_", "-")
    return "-".join(part for part in ("" if exchange == "RSA" else exchange, cipher, digest) if part)


def _load_revoked(context: ssl.SSLContext, path: Path) -> None:
    """OpenSSL reads PEM from files; a list of revoked certificates may also be written in DER."""
    text = path.read_bytes()
    if text.lstrip().startswith(b"-----BEGIN"):
        context.load_verify_locations(path)
        return
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_der_x509_crl

    with NamedTemporaryFile() as file:
        file.write(load_der_x509_crl(text).public_bytes(Encoding.PEM))
        file.flush()
        context.load_verify_locations(file.name)


def server_names(certificate: Path) -> list[str]:
    """The names that a certificate is for, in lower case; a star stands for one label, as `fnmatch` takes it nearly.

    Raises OSError, ValueError."""
    from cryptography import x509

    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    try:
        alternative = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [name.lower() for name in alternative.get_values_for_type(x509.DNSName)]
