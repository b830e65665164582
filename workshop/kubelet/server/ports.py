"""The kubelet's two ports: HTTPS for the API server and its users, plain HTTP for health."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from workshop import serving
from workshop.kubelet.server.answers import respond
from workshop.kubelet.server.serving import Server
from workshop.serving import Receive, Scope, Send

if TYPE_CHECKING:
    from workshop.kubelet.run import Kubelet


async def health(scope: Scope, receive: Receive, send: Send) -> None:
    """The port that a supervisor asks, without TLS."""
    if scope["type"] == "http":
        found = scope["path"] in ("/healthz", "/healthz/ping")
        await respond(send, 200 if found else 404, b"ok" if found else b"404 page not found\n")


def own_certificate(config_dir: str, node: str, address: str) -> tuple[str, str]:
    """A self-signed certificate, as upstream makes one when it is given none: (certificate file, key file)."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    folder = os.path.join(config_dir, "pki")
    certificate_file, key_file = os.path.join(folder, "kubelet.crt"), os.path.join(folder, "kubelet.key")
    if os.path.exists(certificate_file) and os.path.exists(key_file):
        return certificate_file, key_file
    os.makedirs(folder, mode=0o700, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{node}@kubelet")])
    begin = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    alternative: list[x509.GeneralName] = [x509.DNSName(node), x509.IPAddress(ipaddress.ip_address(address))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    fd = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(private)
    with open(certificate_file, "wb") as file:
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
    return certificate_file, key_file


@asynccontextmanager
async def served(kubelet: Kubelet) -> AsyncIterator[None]:
    """Serve while the block runs."""
    config = kubelet.config
    certificate, key = config.tls_cert_file, config.tls_private_key_file
    if not certificate or not key:
        certificate, key = own_certificate(config.root_dir, config.node_name, config.node_ip)
    tls = serving.server_tls(certificate, key, config.client_ca_file or None)
    async with AsyncExitStack() as stack:
        secure = serving.listen(config.address, config.port)
        await stack.enter_async_context(serving.serve(Server(kubelet), [secure], tls))
        if config.healthz_port:
            plain = serving.listen(config.healthz_bind_address, config.healthz_port)
            await stack.enter_async_context(serving.serve(health, [plain]))
        yield
