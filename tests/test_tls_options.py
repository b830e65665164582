"""Versions, cipher suites and revoked certificates, by handshakes in memory."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from workshop.apiserver.options import parser
from workshop.apiserver.run import tls_of as shown_by
from workshop.serving.tls_options import TlsOptions, openssl_name

NOW = datetime.now(UTC)


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Issues certificates into a folder, with serial numbers from 1 on."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.issued = folder, 0
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.file = self.issue("ca", is_authority=True)

    def issue(self, who: str, is_authority: bool = False) -> Path:
        key = self.key if is_authority else ec.generate_private_key(ec.SECP256R1())
        self.issued += 1
        made = (
            x509.CertificateBuilder().subject_name(name(who)).issuer_name(name("ca")).public_key(key.public_key())
            .serial_number(self.issued).not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=1))
            .add_extension(x509.BasicConstraints(is_authority, None), True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(who)]), False)
            .sign(self.key, hashes.SHA256())
        )  # fmt: skip
        path = self.folder / f"{who}.pem"
        pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
        path.write_bytes(made.public_bytes(pem) + secret)
        return path

    def revoke(self, *serials: int, encoding: serialization.Encoding) -> Path:
        made = x509.CertificateRevocationListBuilder().issuer_name(name("ca"))
        made = made.last_update(NOW - timedelta(days=1)).next_update(NOW + timedelta(days=1))
        for serial in serials:
            one = (
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - timedelta(hours=1)).build()
            )
            made = made.add_revoked_certificate(one)
        path = self.folder / "revoked"
        path.write_bytes(made.sign(self.key, hashes.SHA256()).public_bytes(encoding))
        return path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path)
    for who in ("server", "client"):
        made.issue(who)
    return made


def context(authority: Authority, who: str, options: TlsOptions) -> ssl.SSLContext:
    purpose = ssl.PROTOCOL_TLS_SERVER if who == "server" else ssl.PROTOCOL_TLS_CLIENT
    made = ssl.SSLContext(purpose)
    made.load_cert_chain(authority.folder / f"{who}.pem")
    made.load_verify_locations(authority.file)
    made.verify_mode = ssl.CERT_REQUIRED
    options.apply(made)
    return made


def handshake(authority: Authority, of_server: TlsOptions, of_client: TlsOptions) -> tuple[str | None, str]:
    """(version, cipher suite). Raises SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context(authority, "client", of_client).wrap_bio(to_client, to_server, server_hostname="server")
    server = context(authority, "server", of_server).wrap_bio(to_server, to_client, server_side=True)
    finish(client, server)
    cipher = server.cipher()
    assert cipher is not None
    return server.version(), cipher[0]


def finish(*ends: ssl.SSLObject) -> None:
    left = list(ends)
    for _ in range(10):
        for end in list(left):
            try:
                end.do_handshake()
                left.remove(end)
            except ssl.SSLWantReadError:
                continue
    assert not left


def test_versions_and_suites(authority: Authority) -> None:
    assert handshake(authority, TlsOptions(), TlsOptions())[0] == "TLSv1.3"
    old = TlsOptions(maximum="TLS1.2", ciphers=["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"])
    assert handshake(authority, TlsOptions(), old) == ("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256")
    with pytest.raises(ssl.SSLError):
        handshake(authority, TlsOptions("VersionTLS13"), old)
    for wrong in (
        TlsOptions("TLS9"),
        TlsOptions(ciphers=["TLS_NULL"]),
        TlsOptions(ciphers=["TLS_RSA_WITH_ROT_13_SHA"]),
    ):
        with pytest.raises(ValueError, match=r"unknown tls version|not supported or doesn't exist"):
            wrong.apply(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER])
def test_revoked_certificates(authority: Authority, encoding: serialization.Encoding) -> None:
    other = authority.revoke(2, encoding=encoding)  # the server's, which a server does not judge
    assert handshake(authority, TlsOptions(revoked=str(other)), TlsOptions())[0] == "TLSv1.3"
    revoked = authority.revoke(3, encoding=encoding)
    with pytest.raises(ssl.SSLError, match="revoked"):
        handshake(authority, TlsOptions(revoked=str(revoked)), TlsOptions())


def test_names_of_suites() -> None:
    assert [openssl_name(name) for name in (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
        "TLS_RSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    )] == ["ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES256-SHA", "AES128-GCM-SHA256", "DES-CBC3-SHA"]  # fmt: skip


@pytest.mark.parametrize(("asked", "shown"), [("server", "server"), ("other", "other"), ("else.where", "server")])
def test_a_certificate_for_each_name(authority: Authority, asked: str, shown: str) -> None:
    """kube-apiserver's `--tls-sni-cert-key`: the names of a certificate are its own, where none are given."""
    usual, other = str(authority.folder / "server.pem"), str(authority.issue("other"))
    given = [f"--tls-cert-file={usual}", f"--tls-private-key-file={usual}", f"--tls-sni-cert-key={other},{other}"]
    server_side = shown_by(parser().parse_args(given))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = context(authority, "client", TlsOptions())
    client_side.check_hostname = False
    client = client_side.wrap_bio(to_client, to_server, server_hostname=asked)
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    finish(client, server)
    certificate = client.getpeercert(binary_form=True)
    assert certificate is not None
    assert x509.load_der_x509_certificate(certificate).subject == name(shown)
