"""Certificates, headers and the order of authenticators."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.virtual_clock import StillClock
from workshop.api.errors import ApiError
from workshop.apiserver.authentication.chain import Authentication, FrontProxy, bearer_token
from workshop.apiserver.authentication.configuration import Anonymous
from workshop.apiserver.authentication.x509 import ClientCertificates, InvalidCertificate
from workshop.apiserver.interfaces import UserInfo

NOW = 1_800_000_000.0


class Authority:
    def __init__(self, name: str = "ca") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._build(self.name, self.key, [])

    def _build(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, uses: list[x509.ObjectIdentifier], days: float = 365
    ) -> x509.Certificate:
        start = datetime.fromtimestamp(NOW, UTC) - timedelta(days=1)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key.public_key())
        builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start + timedelta(days=days))
        if uses:
            builder = builder.add_extension(x509.ExtendedKeyUsage(uses), False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(
        self, name: str, *groups: str, use: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH, days: float = 30
    ) -> bytes:
        parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, g) for g in groups]
        subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else parts)
        certificate = self._build(subject, ec.generate_private_key(ec.SECP256R1()), [use], days)
        return certificate.public_bytes(serialization.Encoding.DER)


CA = Authority()
CLOCK = StillClock()


def chain(**more: object) -> Authentication:
    return Authentication(certificates=ClientCertificates([CA.certificate], CLOCK), **more)  # type: ignore[arg-type]


async def test_name_and_groups_of_a_certificate() -> None:
    user = await chain().authenticate(CA.issue("jane", "developers", "testers"), [])
    assert (user.name, user.groups) == ("jane", ("developers", "testers", "system:authenticated"))
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")


@pytest.mark.parametrize(
    ("certificate", "why"),
    [
        (Authority().issue("jane"), "signed by unknown authority"),  # the same name, another key
        (CA.issue("jane", days=0.5), "expired"),
        (CA.issue("jane", use=ExtendedKeyUsageOID.SERVER_AUTH), "incompatible key usage"),
        (CA.issue("", "developers"), "no common name"),
        (b"nonsense", "malformed"),
    ],
)
async def test_certificates_that_prove_nothing(certificate: bytes, why: str) -> None:
    with pytest.raises(InvalidCertificate, match=why):
        ClientCertificates([CA.certificate], CLOCK).authenticate(certificate)
    with pytest.raises(ApiError) as e:
        await chain().authenticate(certificate, [])
    assert (e.value.code, e.value.message) == (401, "Unauthorized")


async def test_a_remembered_certificate_still_expires() -> None:
    clock = StillClock()
    certificates = ClientCertificates([CA.certificate], clock)
    certificate = CA.issue("jane")
    certificates.authenticate(certificate)
    clock.time = NOW + 40 * 86400
    with pytest.raises(InvalidCertificate, match="expired"):
        certificates.authenticate(certificate)


async def test_nobody_is_anonymous() -> None:
    assert await chain().authenticate(None, []) == UserInfo("system:anonymous", "", ("system:unauthenticated",), {})
    with pytest.raises(ApiError):
        await chain(anonymous=Anonymous(False)).authenticate(None, [])


async def test_wrong_token_is_not_anonymous() -> None:
    users = {"secret": UserInfo("joe", "1", ("x",), {})}
    known = await chain(token_file=users).authenticate(None, [("authorization", "Bearer secret")])
    assert known == UserInfo("joe", "1", ("x", "system:authenticated"), {})
    with pytest.raises(ApiError) as e:
        await chain(token_file=users).authenticate(None, [("authorization", "Bearer guess")])
    assert e.value.code == 401


def test_bearer_token() -> None:
    assert bearer_token([("authorization", "bearer abc")]) == "abc"
    assert bearer_token([("authorization", "Basic abc")]) is None
    assert bearer_token([("authorization", "Bearer ")]) is None
    assert bearer_token([("authorization", "Bearer abc trailing")]) == "abc"
    hidden = "base64url.bearer.authorization.k8s.io.YWJj"
    assert bearer_token([("sec-websocket-protocol", f"v5.channel.k8s.io, {hidden}")]) == "abc"
    assert bearer_token([("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io.%")]) is None


async def test_front_proxy_names_the_user_only_with_its_certificate() -> None:
    proxy_ca = Authority("front-proxy-ca")
    proxy = FrontProxy(ClientCertificates([proxy_ca.certificate], CLOCK), ("front-proxy-client",))
    headers = [
        ("x-remote-user", "jane"),
        ("x-remote-group", "a"),
        ("x-remote-group", "b"),
        ("x-remote-extra-scopes", "s"),
    ]
    user = await chain(front_proxy=proxy).authenticate(proxy_ca.issue("front-proxy-client"), headers)
    assert user == UserInfo("jane", "", ("a", "b", "system:authenticated"), {"scopes": ["s"]})
    with pytest.raises(ApiError):
        await chain(front_proxy=proxy).authenticate(proxy_ca.issue("somebody"), headers)
    # an ordinary client with such headers stays who he is
    assert (await chain(front_proxy=proxy).authenticate(CA.issue("joe"), headers)).name == "joe"
