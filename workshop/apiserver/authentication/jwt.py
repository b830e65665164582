"""JSON Web Tokens as the API server signs and checks them: ES256/384/512 and RS256, keys found by their id. Pure.

A token is three base64url parts, `header.payload.signature`:

    {"alg":"ES256","kid":"Gfzs…"} . {"iss":"https://kubernetes.default.svc…","sub":"system:serviceaccount:…"} . r ‖ s

The key id is the SHA-256 of the public key's DER form, so that signer and verifier agree without a list.

Upstream: `pkg/serviceaccount/jwt.go`, `pkg/serviceaccount/openidmetadata.go`; RFC 7515, 7518.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

Claims = dict[str, Any]
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

#: Curve → algorithm, JWK curve name, bytes of a coordinate, hash.
_CURVES: dict[str, tuple[str, str, int, hashes.HashAlgorithm]] = {
    "secp256r1": ("ES256", "P-256", 32, hashes.SHA256()),
    "secp384r1": ("ES384", "P-384", 48, hashes.SHA384()),
    "secp521r1": ("ES512", "P-521", 66, hashes.SHA512()),
}


class InvalidToken(Exception):
    """The token is one of ours, but must not be believed."""


@dataclass(frozen=True)
class Key:
    """A public key with its id and algorithm."""

    id: str
    algorithm: str
    public: PublicKey

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` (JWS form: r ‖ s for ECDSA) is this key's for `signed`."""
        try:
            if isinstance(self.public, rsa.RSAPublicKey):
                self.public.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
                return True
            _, _, size, digest = _CURVES[self.public.curve.name]
            if len(signature) != 2 * size:
                return False
            r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
            self.public.verify(encode_dss_signature(r, s), signed, ec.ECDSA(digest))
        except InvalidSignature:
            return False
        return True

    def jwk(self) -> dict[str, str]:
        """The key as `/openid/v1/jwks` publishes it."""
        if isinstance(self.public, rsa.RSAPublicKey):
            numbers = self.public.public_numbers()
            n, e = _int64(numbers.n), _int64(numbers.e)
            return {"use": "sig", "kty": "RSA", "kid": self.id, "alg": self.algorithm, "n": n, "e": e}
        point = self.public.public_numbers()
        _, curve, size, _ = _CURVES[self.public.curve.name]
        x, y = encode64(point.x.to_bytes(size, "big")), encode64(point.y.to_bytes(size, "big"))
        return {"use": "sig", "kty": "EC", "kid": self.id, "crv": curve, "alg": self.algorithm, "x": x, "y": y}


def key_of(public: PublicKey) -> Key:
    """Raises ValueError for a curve that JWS does not know."""
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if isinstance(public, rsa.RSAPublicKey):
        algorithm = "RS256"
    elif public.curve.name in _CURVES:
        algorithm = _CURVES[public.curve.name][0]
    else:
        raise ValueError(f"unknown ecdsa curve {public.curve.name}, must be 256, 384, or 521")
    return Key(encode64(sha256(der).digest()), algorithm, public)


class Signer:
    """Signs claims with one private key."""

    def __init__(self, private: PrivateKey) -> None:
        self._private = private
        self.key = key_of(private.public_key())

    def sign(self, claims: Claims) -> str:
        """The token in compact form."""
        header = {"alg": self.key.algorithm, "kid": self.key.id}
        signed = f"{_part(header)}.{_part(claims)}".encode()
        if isinstance(self._private, rsa.RSAPrivateKey):
            signature = self._private.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        else:
            _, _, size, digest = _CURVES[self._private.curve.name]
            r, s = decode_dss_signature(self._private.sign(signed, ec.ECDSA(digest)))
            signature = r.to_bytes(size, "big") + s.to_bytes(size, "big")
        return f"{signed.decode()}.{encode64(signature)}"


def unverified_issuer(token: str) -> str | None:
    """The `iss` claim, only to see whose token this is; None if it is no JSON Web Token."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    claims = _json(parts[1])
    issuer = claims.get("iss") if claims is not None else None
    return issuer if isinstance(issuer, str) else None


def verify(token: str, keys: Sequence[Key]) -> Claims:
    """The claims of a token that one of `keys` signed. Says nothing about its times. Raises InvalidToken."""
    parts = token.split(".")
    header, claims = (_json(parts[0]), _json(parts[1])) if len(parts) == 3 else (None, None)
    if header is None or claims is None:
        raise InvalidToken("not a JSON Web Token")
    kid = header.get("kid")
    candidates = [key for key in keys if kid in (None, "", key.id)]
    if not candidates:
        raise InvalidToken("invalid signature, no keys found")
    try:
        signature = decode64(parts[2])
    except ValueError:
        raise InvalidToken("not a JSON Web Token") from None
    signed = f"{parts[0]}.{parts[1]}".encode()
    # the key says which algorithm is right; a header that claims another one ("none") is refused
    if not any(key.algorithm == header.get("alg") and key.verifies(signed, signature) for key in candidates):
        raise InvalidToken("go-jose/go-jose: error in cryptographic primitive")
    return claims


def encode64(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode64(text: str) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _part(value: dict[str, Any]) -> str:
    return encode64(json.dumps(value, separators=(",", ":"), sort_keys=True).encode())


def _json(part: str) -> dict[str, Any] | None:
    try:
        value = json.loads(decode64(part))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _int64(number: int) -> str:
    return encode64(number.to_bytes((number.bit_length() + 7) // 8, "big"))
