"""JSON Web Tokens of others' issuers (OpenID Connect), as an AuthenticationConfiguration trusts them.

The issuer publishes its keys: `URL/.well-known/openid-configuration` names the place. They are fetched when the first
token comes, and again when a token names a key that is not among them.

Upstream: apiserver/plugin/pkg/authenticator/token/oidc/oidc.go, apiserver/pkg/authentication/cel.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from workshop.api import codec
from workshop.apiserver.authentication.jwt import InvalidToken, Key, decode64, unverified_issuer, verify
from workshop.apiserver.interfaces import UserInfo
from workshop.client.transport import HttpTransport, Unreachable
from workshop.clock import Clock

DISCOVERY = "/.well-known/openid-configuration"
PATIENCE, AGAIN = 30.0, 10.0
"""Seconds for an issuer's answer, and between two fetches of its keys."""
MAX_DOCUMENT = 1024 * 1024
Claims = dict[str, Any]
Fetch = Callable[[str], Awaitable[Any]]
_CURVES: dict[str, tuple[str, ec.EllipticCurve]] = {
    "P-256": ("ES256", ec.SECP256R1()), "P-384": ("ES384", ec.SECP384R1()), "P-521": ("ES512", ec.SECP521R1()),
}  # fmt: skip


class Issuer:
    """One entry of `jwt` in the file, which has been checked. `fetch` gets a URL's JSON."""

    def __init__(self, about: Mapping[str, Any], fetch: Fetch | None = None) -> None:
        issuer = about["issuer"]
        self.url: str = issuer["url"]
        self._discovery: str = issuer.get("discoveryURL") or self.url.rstrip("/") + DISCOVERY
        self._audiences: Sequence[str] = issuer["audiences"]
        self._rules: Sequence[Mapping[str, Any]] = about.get("claimValidationRules") or ()
        self._user_rules: Sequence[Mapping[str, Any]] = about.get("userValidationRules") or ()
        self._mappings: Mapping[str, Any] = about.get("claimMappings") or {}
        authority = issuer.get("certificateAuthority") or ""
        self._fetch = fetch or (lambda url: fetched(url, authority))
        self._keys: list[Key] = []
        self._fetched_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def authenticate(self, token: str, clock: Clock) -> UserInfo | None:
        """The user; None for another issuer's token. Raises InvalidToken."""
        if unverified_issuer(token) != self.url:
            return None
        claims = await self._verified(token, clock.now())
        audiences = claims.get("aud")
        if not set([audiences] if isinstance(audiences, str) else audiences or ()) & set(self._audiences):
            text = f"oidc: expected audience in {_quoted(sorted(self._audiences))} got {_quoted(audiences)}"
            raise InvalidToken(f"oidc: verify token: {text}")
        self._times(claims, clock.now())
        return self._user(claims)

    async def _verified(self, token: str, now: float) -> Claims:
        if not self._keys:
            await self._refresh(now)
        try:
            return verify(token, self._keys)
        except InvalidToken:
            if now - self._fetched_at < AGAIN:
                raise
        await self._refresh(now)
        return verify(token, self._keys)

    async def _refresh(self, now: float) -> None:
        async with self._fetching:
            if now - self._fetched_at < AGAIN and self._keys:
                return
            self._fetched_at = now
            try:
                document = await self._fetch(self._discovery)
                told = document.get("issuer")
                if told != self.url:
                    raise ValueError(
                        f'issuer did not match the issuer returned by provider, expected "{self.url}" got "{told}"'
                    )
                published = await self._fetch(document["jwks_uri"])
            except (OSError, ValueError, KeyError, AttributeError) as error:
                raise InvalidToken(f"oidc: authenticator not initialized: {error}") from None
            self._keys = [key for each in published.get("keys") or () if (key := _key(each)) is not None]

    def _times(self, claims: Claims, now: float) -> None:
        expires, begins = claims.get("exp"), claims.get("nbf", 0)
        if not isinstance(expires, int | float) or now > expires:
            raise InvalidToken(f"oidc: verify token: oidc: token is expired (Token Expiry: {expires})")
        if isinstance(begins, int | float) and now + 300 < begins:
            raise InvalidToken("oidc: verify token: oidc: current time is before the nbf (not before) time")

    def _user(self, claims: Claims) -> UserInfo:
        for rule in self._rules:
            self._holds(rule, claims)
        user = UserInfo(self._username(claims), self._uid(claims), tuple(self._groups(claims)), self._extra(claims))
        about = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": dict(user.extra)}
        for rule in self._user_rules:
            if _evaluated(rule["expression"], "user", about) is not True:
                why = rule.get("message") or f"validation expression '{rule['expression']}' failed"
                raise InvalidToken(f"oidc: error evaluating user info validation rule: {why}")
        return user

    def _holds(self, rule: Mapping[str, Any], claims: Claims) -> None:
        if expression := rule.get("expression"):
            if _evaluated(expression, "claims", claims) is not True:
                why = rule.get("message") or f"validation expression '{expression}' failed"
                raise InvalidToken(f"oidc: error evaluating claim validation expression: {why}")
            return
        claim, wanted = rule["claim"], rule.get("requiredValue", "")
        if claim not in claims:
            raise InvalidToken(f"oidc: required claim {claim} not present in ID token")
        if claims[claim] != wanted:
            text = f"value does not match. Got = {claims[claim]}, want = {wanted}"
            raise InvalidToken(f"oidc: required claim {claim} {text}")

    def _username(self, claims: Claims) -> str:
        about = self._mappings["username"]
        if expression := about.get("expression"):
            name = _evaluated(expression, "claims", claims)
            if not isinstance(name, str):
                text = "username claim expression must return a string"
                raise InvalidToken(f"oidc: error evaluating username claim expression: {text}")
            if not name:
                raise InvalidToken("oidc: empty username via CEL expression is not allowed")
            return name
        claim = about["claim"]
        name = claims.get(claim)
        if not isinstance(name, str):
            raise InvalidToken(f'oidc: parse username claims "{claim}": claim not present')
        if claim == "email" and claims.get("email_verified", True) is not True:
            raise InvalidToken("oidc: email not verified")
        return f"{about.get('prefix') or ''}{name}"

    def _uid(self, claims: Claims) -> str:
        about = self._mappings.get("uid") or {}
        if expression := about.get("expression"):
            found = _evaluated(expression, "claims", claims)
        elif claim := about.get("claim"):
            found = claims.get(claim)
        else:
            return ""
        if not isinstance(found, str):
            raise InvalidToken("oidc: error evaluating uid claim expression: uid claim expression must return a string")
        return found

    def _groups(self, claims: Claims) -> list[str]:
        about = self._mappings.get("groups") or {}
        if expression := about.get("expression"):
            return _texts(_evaluated(expression, "claims", claims), "group claim expression")
        if claim := about.get("claim"):
            return [
                f"{about.get('prefix') or ''}{group}" for group in _texts(claims.get(claim), f"groups claim {claim}")
            ]
        return []

    def _extra(self, claims: Claims) -> dict[str, list[str]]:
        made = {}
        for each in self._mappings.get("extra") or ():
            found = _texts(_evaluated(each["valueExpression"], "claims", claims), "extra claim expression")
            if found:
                made[each["key"]] = found
        return made


def _texts(found: Any, what: str) -> list[str]:
    """A text, several, or none."""
    if found is None or found == "":
        return []
    if isinstance(found, str):
        return [found]
    if isinstance(found, list) and all(isinstance(each, str) for each in found):
        return [each for each in found if each]
    raise InvalidToken(f"oidc: error evaluating {what}: expression must return a string or a list of strings")


def _quoted(found: Any) -> str:
    many = [found] if isinstance(found, str) else found or []
    return "[" + " ".join(f'"{each}"' for each in many) + "]"


def _evaluated(text: str, name: str, value: Any) -> Any:
    from workshop.api.cel.policies import of_tokens  # loaded by who has expressions
    from workshop.api.cel.values import EvaluationError

    try:
        return of_tokens(name).compile(text).run({name: value})
    except EvaluationError as error:
        raise InvalidToken(f"oidc: error evaluating expression '{text}': {error}") from None


def _key(jwk: Mapping[str, Any]) -> Key | None:
    """A published key; None for one of another kind or use."""
    try:
        if jwk.get("use", "sig") != "sig":
            return None
        if jwk.get("kty") == "RSA" and jwk.get("alg", "RS256") == "RS256":
            numbers = rsa.RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"]))
            return Key(jwk.get("kid", ""), "RS256", numbers.public_key())
        if jwk.get("kty") == "EC" and jwk.get("crv") in _CURVES:
            algorithm, curve = _CURVES[jwk["crv"]]
            point = ec.EllipticCurvePublicNumbers(_number(jwk["x"]), _number(jwk["y"]), curve)
            return Key(jwk.get("kid", ""), algorithm, point.public_key())
    except (KeyError, ValueError):
        return None
    return None


def _number(text: str) -> int:
    return int.from_bytes(decode64(text), "big")


async def fetched(url: str, authority: str) -> Any:
    """The JSON behind a URL, over TLS with an authority's certificates (PEM, "" for the system's). Raises OSError,
    ValueError."""
    parts = urlsplit(url)
    tls = ssl.create_default_context(cadata=authority or None)
    transport = HttpTransport(f"https://{parts.netloc}", tls)
    try:
        async with asyncio.timeout(PATIENCE):
            answer = await transport.send("GET", parts.path or "/", {"Accept": "application/json"}, None)
            body = await answer.read()
    except TimeoutError:
        raise Unreachable(f'Get "{url}": context deadline exceeded') from None
    finally:
        await transport.close()
    if answer.status != 200 or len(body) > MAX_DOCUMENT:
        raise ValueError(f"{answer.status}: {body[:200].decode(errors='replace')}")
    return codec.loads(body)
