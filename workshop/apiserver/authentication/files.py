"""Certificates and keys, read from the PEM files that flags name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from workshop.apiserver.authentication.jwt import PrivateKey, PublicKey


def load_certificates(path: str) -> list[x509.Certificate]:
    """The certificates of a PEM file. Raises OSError, ValueError."""
    return x509.load_pem_x509_certificates(Path(path).read_bytes())


def load_private_key(path: str) -> PrivateKey:
    """The private key of a PEM file. Raises OSError, ValueError."""
    key = serialization.load_pem_private_key(Path(path).read_bytes(), None)
    if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        return key
    raise ValueError(f"{path}: neither an RSA nor an EC private key")


def load_public_keys(path: str) -> list[PublicKey]:
    """The keys of a PEM file that may hold public keys, certificates or private keys. Raises OSError, ValueError."""
    found: list[PublicKey] = []
    for block in _pem_blocks(Path(path).read_bytes()):
        if b"PRIVATE KEY" in block:
            key: Any = serialization.load_pem_private_key(block, None).public_key()
        elif b"CERTIFICATE" in block:
            key = x509.load_pem_x509_certificate(block).public_key()
        elif b"PUBLIC KEY" in block:
            key = serialization.load_pem_public_key(block)
        else:
            continue  # the parameters of a curve
        if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            raise ValueError(f"{path}: neither an RSA nor an EC key")
        found.append(key)
    if not found:
        raise ValueError(f"{path}: data does not contain any valid RSA or ECDSA public keys")
    return found


def _pem_blocks(data: bytes) -> list[bytes]:
    blocks, lines = [], []
    for line in data.splitlines():
        lines.append(line)
        if line.startswith(b"-----END"):
            blocks.append(b"\n".join(lines) + b"\n")
            lines = []
    return blocks
