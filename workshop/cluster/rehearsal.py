"""What every component does first, done once in the zygote: its memory is then shared by all of them.

A library sets itself up at its first use. OpenSSL's algorithms alone take 2.5 MB, and eight components would each
have a copy. Nothing of this stays open: no loop, no socket, no file.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

FLIGHTS = 6
"""A handshake of TLS 1.3 with client certificates takes three messages each way."""


def rehearse() -> None:
    """A loop that turns once, and a TLS connection with itself."""
    asyncio.run(asyncio.sleep(0))
    pem = _self_signed()
    number = os.memfd_create("rehearsal", os.MFD_CLOEXEC)
    try:
        os.write(number, pem)
        _handshake(f"/proc/self/fd/{number}")
    finally:
        os.close(number)


def _self_signed() -> bytes:
    """A certificate as `pki` makes them, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rehearsal")])
    born = datetime(2020, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, born, born + timedelta(days=36500))
    alternative = x509.SubjectAlternativeName([x509.DNSName("rehearsal")])
    signed = builder.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + signed.public_bytes(serialization.Encoding.PEM)


def _handshake(pem: str) -> None:
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context in (server, client):
        context.load_cert_chain(pem)
        context.load_verify_locations(pem)
    server.verify_mode = ssl.CERT_OPTIONAL
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller = client.wrap_bio(back, there, server_hostname="rehearsal")
    callee = server.wrap_bio(there, back, server_side=True)
    waiting = [caller, callee]
    for _ in range(FLIGHTS):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                continue
    caller.write(b"ping")
    callee.read()
    callee.write(b"pong")
    caller.read()
