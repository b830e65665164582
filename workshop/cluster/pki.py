"""Certificates: who may call themselves what. Upstream: `cmd/kubeadm/app/phases/certs/certlist.go`.

`requests(plan)` (pure) lists the certificates; `issue(plan, folder)` makes those that are missing, so that it can be
called again after an interruption. Elliptic keys (P-256): all of a cluster's certificates take a few milliseconds.
A certificate's CN is the user's name to Kubernetes, its O the groups: `CN=system:node:node-1, O=system:nodes`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from workshop.clock import SYSTEM
from workshop.cluster.layout import ClusterError, explain, write_private
from workshop.cluster.plan import Plan

AUTHORITIES = {"ca": "kubernetes", "etcd/ca": "etcd-ca", "front-proxy-ca": "kubernetes-front-proxy-ca"}
LIFETIME_DAYS = 365


@dataclass(frozen=True)
class Request:
    """One certificate: `file` names the pair FILE.crt and FILE.key below pki/."""

    file: str
    common_name: str
    organizations: tuple[str, ...] = ()
    authority: str = "ca"
    server: bool = False
    client: bool = False
    names: tuple[str, ...] = ()
    """Subject alternative names: DNS names and IP addresses."""


def requests(plan: Plan) -> list[Request]:
    """The certificates of a cluster."""
    at = plan.addresses
    here = ("localhost", "127.0.0.1", *at.control_planes, at.front, at.outside)
    kubernetes = tuple(f"kubernetes{tail}" for tail in ("", ".default", ".default.svc", ".default.svc.cluster.local"))
    wanted = [
        Request("apiserver", "kube-apiserver", server=True, names=(*kubernetes, at.kubernetes_service, *here)),
        Request("apiserver-kubelet-client", "kube-apiserver-kubelet-client", ("system:masters",), client=True),
        Request("apiserver-etcd-client", "kube-apiserver-etcd-client", authority="etcd/ca", client=True),
        Request("front-proxy-client", "front-proxy-client", authority="front-proxy-ca", client=True),
        Request("etcd/server", "etcd-0", authority="etcd/ca", server=True, client=True, names=here),
        Request("etcd/peer", "etcd-0", authority="etcd/ca", server=True, client=True, names=here),
        Request("etcd/healthcheck-client", "kube-etcd-healthcheck-client", authority="etcd/ca", client=True),
        Request("admin", "kubernetes-admin", ("system:masters",), client=True),
        Request("controller-manager", "system:kube-controller-manager", server=True, client=True, names=here),
        Request("scheduler", "system:kube-scheduler", server=True, client=True, names=here),
        Request("proxy", "system:kube-proxy", ("system:node-proxier",), client=True),
    ]
    for node in plan.nodes:
        user, addresses = f"system:node:{node.name}", (node.name, node.address)
        wanted.append(Request(f"kubelet-{node.name}", user, ("system:nodes",), server=True, names=addresses))
        wanted.append(Request(f"kubelet-client-{node.name}", user, ("system:nodes",), client=True))
    return wanted


def issue(plan: Plan, folder: Path) -> None:
    """Make what is missing below `folder`, and anew what is damaged, too old, or not of this authority or these names.

    Raises ClusterError.
    """
    try:
        _issue_all(plan, folder)
    except OSError as error:
        raise ClusterError(explain(error, folder)) from error


def _issue_all(plan: Plan, folder: Path) -> None:
    now = datetime.fromtimestamp(SYSTEM.now(), UTC)
    signers = {file: _authority(folder / file, name, now) for file, name in AUTHORITIES.items()}
    for request in requests(plan):
        certificate, key = folder / f"{request.file}.crt", folder / f"{request.file}.key"
        authority, signer = signers[request.authority]
        if (found := _pair(certificate, key)) is None or not _fits(found[0], authority, request, now):
            _issue(request, authority, signer, certificate, key, now)
    if not _is_pair(folder / "sa.key", folder / "sa.pub"):
        pair = ec.generate_private_key(ec.SECP256R1())
        public = pair.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        write_private(folder / "sa.key", _pem(pair))
        write_private(folder / "sa.pub", public)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _name(common_name: str, organizations: Iterable[str] = ()) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(names: Iterable[str]) -> x509.SubjectAlternativeName:
    general: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):
        try:
            general.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            general.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(general)


Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _pair(certificate_file: Path, key_file: Path) -> Pair | None:
    """A certificate and its key as they are on disk; None for what is missing, damaged, or does not belong together."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None
    return certificate, key


def _is_pair(key_file: Path, public_file: Path) -> bool:
    try:
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        return bool(key.public_key() == serialization.load_pem_public_key(public_file.read_bytes()))
    except (FileNotFoundError, ValueError):
        return False


def _holds(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether it is valid now, and for a while: a machine's clock may have been set back, too."""
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc - timedelta(days=30)


def _fits(certificate: x509.Certificate, authority: x509.Certificate, request: Request, now: datetime) -> bool:
    if not _holds(certificate, now):
        return False
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError):
        return False
    if not request.names:
        return True
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names == _alternative(request.names)


def _authority(base: Path, common_name: str, now: datetime) -> Pair:
    certificate_file, key_file = base.with_name(base.name + ".crt"), base.with_name(base.name + ".key")
    if (found := _pair(certificate_file, key_file)) is not None and _holds(found[0], now):
        return found
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(common_name)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=10 * LIFETIME_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(key_file, _pem(key))
    write_private(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))
    return certificate, key


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not sign_certificates,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _issue(
    request: Request,
    authority: x509.Certificate,
    signer: ec.EllipticCurvePrivateKey,
    certificate_file: Path,
    key_file: Path,
    now: datetime,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH] * request.server + [ExtendedKeyUsageOID.CLIENT_AUTH] * request.client
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(request.common_name, request.organizations))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=LIFETIME_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
    )
    if request.names:
        builder = builder.add_extension(_alternative(request.names), critical=False)
    certificate = builder.sign(signer, hashes.SHA256())
    write_private(key_file, _pem(key))
    write_private(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))
