"""What values are encrypted by: a provider of an EncryptionConfiguration makes bytes of a value and its key, and back.

Upstream: `apiserver/pkg/storage/value/encrypt`.
"""

from __future__ import annotations

import os
from typing import Any, Protocol

MARK = b"k8s:enc:"
"""What every encrypted value begins with."""


class Unreadable(Exception):
    """A stored value that no provider can decrypt."""

    @property
    def stand_in(self) -> bytes:
        """What is handed on in its place: no reader of the store sees what was encrypted, each sees why."""
        return _REASON + str(self).encode()


_REASON = MARK + b"unreadable:"


def why_unreadable(value: bytes) -> str:
    """Why a value that begins with MARK was not decrypted: what an `Unreadable` said, or nobody was there to do it."""
    told = value.startswith(_REASON)
    return value[len(_REASON) :].decode() if told else "identity transformer tried to read encrypted data"


class Provider(Protocol):
    prefix: bytes

    def seal(self, plain: bytes, key: bytes) -> bytes:
        """`plain` as it is stored under the etcd key `key`, without the prefix."""
        ...

    def open(self, sealed: bytes, key: bytes) -> bytes:
        """The other way round. Raises Unreadable."""
        ...


class Identity:
    """No encryption: reads plain values, and nothing that is encrypted."""

    prefix = b""

    def seal(self, plain: bytes, key: bytes) -> bytes:
        return plain

    def open(self, sealed: bytes, key: bytes) -> bytes:
        if sealed.startswith(MARK):
            raise Unreadable("identity transformer tried to read encrypted data")
        return sealed


class AesGcm:
    """Authenticated, and bound to its etcd key: a value that is copied to another key does not open there."""

    def __init__(self, name: str, secret: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self.prefix = b"k8s:enc:aesgcm:v1:%b:" % name.encode()
        self._cipher = AESGCM(secret)

    def seal(self, plain: bytes, key: bytes) -> bytes:
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, plain, key)

    def open(self, sealed: bytes, key: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        if len(sealed) < 12:
            raise Unreadable("the stored data was shorter than the required size")
        try:
            return self._cipher.decrypt(sealed[:12], sealed[12:], key)
        except InvalidTag:
            raise Unreadable("cipher: message authentication failed") from None


class AesCbc:
    """With PKCS#7 padding and nothing that notices a change: weak, and kept because old clusters have it."""

    def __init__(self, name: str, secret: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.algorithms import AES

        self.prefix = b"k8s:enc:aescbc:v1:%b:" % name.encode()
        self._algorithm = AES(secret)

    def _cipher(self, vector: bytes) -> Any:
        from cryptography.hazmat.primitives.ciphers import Cipher
        from cryptography.hazmat.primitives.ciphers.modes import CBC

        return Cipher(self._algorithm, CBC(vector))

    def seal(self, plain: bytes, key: bytes) -> bytes:
        vector, missing = os.urandom(16), 16 - len(plain) % 16
        encryptor = self._cipher(vector).encryptor()
        return vector + bytes(encryptor.update(plain + bytes([missing]) * missing) + encryptor.finalize())

    def open(self, sealed: bytes, key: bytes) -> bytes:
        if len(sealed) < 32 or len(sealed) % 16:
            raise Unreadable("the stored data is not a multiple of the block size")
        decryptor = self._cipher(sealed[:16]).decryptor()
        padded = bytes(decryptor.update(sealed[16:]) + decryptor.finalize())
        size = padded[-1]
        if not 0 < size <= 16 or padded[-size:] != bytes([size]) * size:
            raise Unreadable("invalid padding on input")
        return padded[:-size]


class SecretBox:
    """XSalsa20 and Poly1305, by PyNaCl."""

    def __init__(self, name: str, secret: bytes) -> None:
        try:
            from nacl.secret import SecretBox as Box
        except ImportError:
            raise ValueError("the secretbox provider needs the package pynacl: pip install pynacl") from None
        self.prefix = b"k8s:enc:secretbox:v1:%b:" % name.encode()
        self._box: Any = Box(secret)

    def seal(self, plain: bytes, key: bytes) -> bytes:
        return bytes(self._box.encrypt(plain))

    def open(self, sealed: bytes, key: bytes) -> bytes:
        from nacl.exceptions import CryptoError

        try:
            return bytes(self._box.decrypt(sealed))
        except (CryptoError, ValueError):
            raise Unreadable("output array was not large enough for encryption") from None
