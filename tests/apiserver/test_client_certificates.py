"""TLS asks for a client's certificate and leaves the judgement to the app: foreign and expired ones get an answer."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.certificates import self_signed
from workshop.serving import Receive, Scope, Send, listen, serve, server_tls


async def whoami(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers the fingerprint of the certificate that the client showed."""
    shown = scope["extensions"]["tls"]["client_cert"]
    body = hashlib.sha256(shown).hexdigest().encode() if shown else b"nobody"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def ask(port: int, trust: str, identity: tuple[str, str] | None) -> bytes:
    context = ssl.create_default_context(cafile=trust)
    if identity:
        context.load_cert_chain(*identity)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return (await reader.read()).rpartition(b"\r\n\r\n")[2]
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("days", [30, -1])
async def test_any_certificate_reaches_the_app(tmp_path: Path, days: int) -> None:
    server, ca = self_signed(tmp_path, "server", 30), self_signed(tmp_path, "ca", 30)
    client = self_signed(tmp_path, "client", days)  # signed by nobody that the server knows
    tls = server_tls(*server, ca[0], any_client=True)
    sock = listen("127.0.0.1", 0)
    async with serve(whoami, [sock], tls):
        port = sock.getsockname()[1]
        shown = x509.load_pem_x509_certificate(Path(client[0]).read_bytes())
        assert await ask(port, server[0], client) == shown.fingerprint(hashes.SHA256()).hex().encode()
        assert await ask(port, server[0], None) == b"nobody"


async def test_without_it_a_foreign_certificate_ends_the_handshake(tmp_path: Path) -> None:
    server, ca = self_signed(tmp_path, "server", 30), self_signed(tmp_path, "ca", 30)
    client = self_signed(tmp_path, "client", 30)
    sock = listen("127.0.0.1", 0)
    async with serve(whoami, [sock], server_tls(*server, ca[0])):
        try:
            answer = await ask(sock.getsockname()[1], server[0], client)
        except (ssl.SSLError, ConnectionError):
            answer = b""  # the alert may come after the client's half of the handshake
        assert answer == b""
