"""Tokens that prove themselves: JSON Web Tokens, signed by whoever has the key, believed by whoever can check it.

    BASE64({"alg":"ES256","typ":"JWT"}).BASE64({"exp":1700000300,"revision":7,"username":"alice"}).BASE64(signature)

A member remembers none, so a token outlives a restart and counts at every member; for that it cannot be taken back. It
holds the revision of users and roles under which it was made: with any change of them it is outdated.

    --auth-token=jwt,pub-key=FILE,priv-key=FILE,sign-method=ES256,ttl=10m

Source: RFC 7519, RFC 7518 section 3; upstream: `server/auth/jwt.go`, `options.go`.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from workshop.component import parse_duration
from workshop.etcd import errors
from workshop.etcd.auth.tokens import TTL
from workshop.etcd.config import Fatal

METHODS = frozenset({f"{kind}{bits}" for kind in ("HS", "RS", "PS", "ES") for bits in (256, 384, 512)} | {"EdDSA"})
OPTIONS = frozenset({"sign-method", "pub-key", "priv-key", "ttl"})
#: Method -> the curve of its key and the size of half a signature in bytes.
CURVES = {"ES256": ("secp256r1", 32), "ES384": ("secp384r1", 48), "ES512": ("secp521r1", 66)}


class Key(Protocol):
    """Signs and checks. `sign` is None where there is only a public key."""

    sign: Callable[[bytes], bytes] | None

    def holds(self, signature: bytes, text: bytes) -> bool: ...


class JwtTokens:
    """`wall` tells the time in seconds since 1970."""

    def __init__(self, method: str, key: Key, ttl: float, wall: Callable[[], float]) -> None:
        self.method, self._key, self._ttl, self._wall = method, key, ttl, wall

    def assign(self, prefix: str, index: int, user: str, revision: int, now: float) -> str:
        """A token for `user`. Raises VerifyOnly where there is no key to sign with."""
        if self._key.sign is None:
            raise errors.VerifyOnly
        claims = {"exp": int(self._wall() + self._ttl), "revision": revision, "username": user}
        text = b".".join((_encoded({"alg": self.method, "typ": "JWT"}), _encoded(claims)))
        return b".".join((text, _base64(self._key.sign(text)))).decode()

    def find(self, token: str, revision: int, now: float) -> tuple[str, int] | None:
        """(user, revision under which it was made) of a token that holds."""
        text, _, signature = token.encode().rpartition(b".")
        try:
            head, claims = map(_decoded, text.split(b"."))
            if head["alg"] != self.method or not self._key.holds(_from_base64(signature), text):
                return None
            user, made = claims["username"], claims["revision"]
            if self._wall() >= claims.get("exp", float("inf")) or self._wall() < claims.get("nbf", 0):
                return None
        except (ValueError, KeyError, TypeError):
            return None
        return (user, int(made)) if isinstance(user, str) and isinstance(made, (int, float)) else None

    def forget(self, user: str) -> None:
        """Nothing is remembered."""

    def clear(self) -> None:
        """Nothing is remembered."""


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _from_base64(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _encoded(part: Mapping[str, Any]) -> bytes:
    return _base64(json.dumps(part, separators=(",", ":")).encode())


def _decoded(text: bytes) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(_from_base64(text)))


def tokens_from(options: Mapping[str, str], wall: Callable[[], float]) -> JwtTokens:
    """What the flag asks for. Raises Fatal in upstream's words."""
    try:
        ttl = parse_duration(options["ttl"]) if options.get("ttl") else TTL
        public, private = (
            Path(options[name]).read_bytes() if options.get(name) else b"" for name in ("pub-key", "priv-key")
        )
    except (OSError, ValueError) as error:
        raise Fatal(f"auth: invalid auth options: {error}") from error
    method = options.get("sign-method", "")
    if method not in METHODS:
        raise Fatal("auth: invalid auth options: auth: invalid auth signature method")
    if not private and (method.startswith("HS") or not public):
        raise Fatal("auth: missing key data")
    return JwtTokens(
        method, Shared(method, private) if method.startswith("HS") else Pair(method, public, private), ttl, wall
    )


class Shared:
    """HMAC: who can check a token can make one."""

    def __init__(self, method: str, secret: bytes) -> None:
        self._digest, self._secret = f"sha{method[2:]}", secret
        self.sign: Callable[[bytes], bytes] | None = self._sign

    def _sign(self, text: bytes) -> bytes:
        return hmac.digest(self._secret, text, self._digest)

    def holds(self, signature: bytes, text: bytes) -> bool:
        return hmac.compare_digest(signature, self._sign(text))


class Pair:
    """A private and a public key, as PEM; the private one may be missing. Raises Fatal."""

    _private: Any
    _public: Any

    def __init__(self, method: str, public: bytes, private: bytes) -> None:
        from cryptography.hazmat.primitives import serialization

        try:
            self._private = serialization.load_pem_private_key(private, None) if private else None
            self._public = _public_key(public) if public else self._private.public_key()
        except (ValueError, TypeError) as error:
            raise Fatal(f"auth: {error}") from error
        if self._private is not None and self._private.public_key() != self._public:
            raise Fatal("auth: public and private keys don't match")
        if not _fits(method, self._public):
            raise Fatal(f"auth: key is invalid for {method}")
        self._method = method
        self.sign: Callable[[bytes], bytes] | None = self._sign if self._private is not None else None

    def _how(self, making: bool) -> tuple[Any, ...]:
        """The arguments of cryptography's `sign` and `verify` behind the text."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, padding

        if self._method == "EdDSA":
            return ()
        digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[self._method[2:]]
        if self._method.startswith("ES"):
            return (ec.ECDSA(digest),)
        if self._method.startswith("RS"):
            return (padding.PKCS1v15(), digest)
        salt = padding.PSS.MAX_LENGTH if making else padding.PSS.AUTO
        return (padding.PSS(padding.MGF1(digest), salt), digest)

    def _sign(self, text: bytes) -> bytes:
        signature: bytes = self._private.sign(text, *self._how(True))
        if self._method in CURVES:  # two numbers one after the other, not ASN.1
            from cryptography.hazmat.primitives.asymmetric import utils

            size = CURVES[self._method][1]
            return b"".join(number.to_bytes(size, "big") for number in utils.decode_dss_signature(signature))
        return signature

    def holds(self, signature: bytes, text: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import utils

        if self._method in CURVES:
            size = CURVES[self._method][1]
            if len(signature) != 2 * size:
                return False
            halves = (int.from_bytes(half, "big") for half in (signature[:size], signature[size:]))
            signature = utils.encode_dss_signature(*halves)
        try:
            self._public.verify(signature, text, *self._how(False))
        except InvalidSignature:
            return False
        return True


def _public_key(pem: bytes) -> Any:
    """Of a public key or a certificate. Raises ValueError."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    if b"BEGIN CERTIFICATE" in pem:
        return x509.load_pem_x509_certificate(pem).public_key()
    return serialization.load_pem_public_key(pem)


def _fits(method: str, key: Any) -> bool:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if method == "EdDSA":
        return isinstance(key, ed25519.Ed25519PublicKey)
    if method in CURVES:
        return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == CURVES[method][0]
    return isinstance(key, rsa.RSAPublicKey)
