"""Client certificates: the common name is the user, the organisations are his groups.

The TLS layer asks for a certificate and hands it over unjudged; here it must be signed by one of the client
authorities, be within its time and be meant for clients. One that is not ends in 401 Unauthorized, as a wrong
password would, not in a broken handshake.

Upstream: `staging/src/k8s.io/apiserver/pkg/authentication/request/x509/x509.go`.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from workshop.apiserver.interfaces import UserInfo
from workshop.clock import Clock

CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
_UID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")
_CLIENT_USES = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)


class InvalidCertificate(Exception):
    """The certificate proves nothing; the message says why."""


class ClientCertificates:
    """Checks certificates against `authorities`; remembers those that it has checked."""

    def __init__(self, authorities: Sequence[x509.Certificate], clock: Clock) -> None:
        self._authorities = authorities
        self._clock = clock
        self._seen: dict[bytes, tuple[float, float, UserInfo]] = {}

    def authenticate(self, der: bytes) -> UserInfo:
        """The user of a certificate in DER form. Raises InvalidCertificate."""
        now = self._clock.now()
        known = self._seen.get(der)
        if known is None:
            known = self._inspect(der)
            if len(self._seen) >= 4096:
                self._seen.clear()
            self._seen[der] = known
        begins, ends, user = known
        if not begins <= now <= ends:
            raise InvalidCertificate("x509: certificate has expired or is not yet valid")
        return user

    def _inspect(self, der: bytes) -> tuple[float, float, UserInfo]:
        try:
            certificate = x509.load_der_x509_certificate(der)
        except ValueError as e:
            raise InvalidCertificate(f"x509: malformed certificate: {e}") from None
        authority = next((a for a in self._authorities if _signed_by(certificate, a)), None)
        if authority is None:
            raise InvalidCertificate("x509: certificate signed by unknown authority")
        if not _for_clients(certificate):
            raise InvalidCertificate("x509: certificate specifies an incompatible key usage")
        begins = max(c.not_valid_before_utc.timestamp() for c in (certificate, authority))
        ends = min(c.not_valid_after_utc.timestamp() for c in (certificate, authority))
        return begins, ends, user_of(certificate, der)


def _signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _for_clients(certificate: x509.Certificate) -> bool:
    """No extended key usage at all means any use."""
    try:
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return any(use in _CLIENT_USES for use in uses)


def user_of(certificate: x509.Certificate, der: bytes) -> UserInfo:
    """Name, groups and credential id that a certificate states. Raises InvalidCertificate without a name."""
    name = _attributes(certificate, NameOID.COMMON_NAME)
    if not name or not name[0]:
        raise InvalidCertificate("x509: certificate has no common name")
    uid = _attributes(certificate, _UID)
    extra = {CREDENTIAL_ID: [f"X509SHA256={sha256(der).hexdigest()}"]}
    groups = tuple(_attributes(certificate, NameOID.ORGANIZATION_NAME))
    return UserInfo(name[-1], uid[0] if len(uid) == 1 else "", groups, extra)


def common_name(certificate: x509.Certificate | x509.CertificateSigningRequest) -> str:
    """The subject's common name, "" without one."""
    return (_attributes(certificate, NameOID.COMMON_NAME) or [""])[-1]


def _attributes(
    certificate: x509.Certificate | x509.CertificateSigningRequest, oid: x509.ObjectIdentifier
) -> list[str]:
    return [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(oid)]
