"""`--auto-tls` and `--peer-auto-tls`: a certificate that vouches for itself. It hides what is said, and proves nothing
of who says it. Upstream: `client/pkg/transport/listener.go` (`SelfCert`)."""

from __future__ import annotations

import datetime
import ipaddress
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from workshop.etcd.config import Fatal, Tls, address

log = logging.getLogger("etcd")


def self_signed(given: Tls, folder: Path, urls: Iterable[str], years: int, now: float) -> Tls:
    """The certificate and key in `folder`, made anew where they are missing; `given` where that names some. `now` is
    in seconds since 1970. Raises Fatal."""
    if given.cert_file or given.trusted_ca_file:
        log.warning("ignoring auto TLS since certs given")
        return given
    if years < 1:
        raise Fatal("selfSignedCertValidity is invalid,it should be greater than 0")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    if not (certificate.exists() and key.exists()):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        hosts = sorted({address(url)[0] for url in urls})
        for path, data in zip((key, certificate), _make(hosts, years, now), strict=True):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)
    return Tls(str(certificate), str(key), self_signed=True)


def _make(hosts: list[str], years: int, now: float) -> tuple[bytes, bytes]:
    """(key, certificate) as PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP521R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "etcd")])
    begin = datetime.datetime.fromtimestamp(now, datetime.UTC)
    usage = x509.KeyUsage(True, False, True, False, False, False, True, False, False)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=365 * years))
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .add_extension(usage, True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(key, hashes.SHA512())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    return secret, made.public_bytes(pem)


def _general_name(host: str):  # type: ignore[no-untyped-def]  # x509.GeneralName, which is imported where it is needed
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
