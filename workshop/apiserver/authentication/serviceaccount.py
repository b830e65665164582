"""Service-account tokens: what they claim, and when they are believed.

A bound token lives as long as the objects it names. Its signature and times are checked by arithmetic, but also the
ServiceAccount must still exist with the same uid, and so must the pod, node or secret that it was bound to: a
token dies with its pod.

    {"aud": ["https://kubernetes.default.svc.cluster.local"], "exp": …, "iat": …, "nbf": …, "jti": "3f14…",
     "iss": "https://kubernetes.default.svc.cluster.local", "sub": "system:serviceaccount:default:web",
     "kubernetes.io": {"namespace": "default", "serviceaccount": {"name": "web", "uid": "c797…"},
                       "pod": {"name": "web-0", "uid": "…"}, "node": {"name": "node-1", "uid": "…"}, "warnafter": …}}

A legacy token has no expiry; it stands in a Secret of type `kubernetes.io/service-account-token` and lives as long
as that.

Upstream: `pkg/serviceaccount/claims.go`, `pkg/serviceaccount/legacy.go`, `pkg/serviceaccount/jwt.go`.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from workshop.api.meta import Obj
from workshop.apiserver.authentication.jwt import Claims, InvalidToken, Key, unverified_issuer, verify
from workshop.apiserver.interfaces import UserInfo
from workshop.clock import Clock, parse_rfc3339

#: `await get("pods", "default", "web-0")`: the object now, or None.
Getter = Callable[[str, str, str], Awaitable[Obj | None]]

#: Clocks of two machines may differ by this much (seconds).
LEEWAY = 60.0
#: The lifetime that the projected volume asks for; a pod's token asked for so long lives a year and only warns.
WARN_ONLY_EXPIRATION = 60 * 60 + 7
EXTENDED_EXPIRATION = 24 * 365 * 60 * 60
LEGACY_ISSUER = "kubernetes/serviceaccount"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"

_LEGACY = "kubernetes.io/serviceaccount/"


def username(namespace: str, name: str) -> str:
    """`system:serviceaccount:NAMESPACE:NAME`."""
    return f"system:serviceaccount:{namespace}:{name}"


def split_username(user: str) -> tuple[str, str] | None:
    """Namespace and name of a service account's user name; None for another user."""
    parts = user.split(":")
    if len(parts) != 4 or parts[:2] != ["system", "serviceaccount"] or not all(parts):
        return None
    return parts[2], parts[3]


def groups(namespace: str) -> list[str]:
    """The groups that a service account of this namespace is in."""
    return ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]


def claims(
    account: Obj, audiences: Sequence[str], lifetime: int, now: float, token_id: str, issuer: str,
    pod: Obj | None = None, node: Obj | None = None, secret: Obj | None = None, warn_after: int = 0,
) -> Claims:  # fmt: skip
    """The claims of a new bound token. `lifetime` and `warn_after` in seconds from `now`."""
    meta = account["metadata"]
    private: dict[str, Any] = {"namespace": meta["namespace"], "serviceaccount": _reference(account)}
    for kind, bound in (("pod", pod), ("secret", secret), ("node", node)):
        if bound is not None:
            private[kind] = _reference(bound)
    if warn_after:
        private["warnafter"] = int(now) + warn_after
    return {
        "aud": list(audiences),
        "exp": int(now) + lifetime,
        "iat": int(now),
        "nbf": int(now),
        "iss": issuer,
        "jti": token_id,
        "sub": username(meta["namespace"], meta["name"]),
        "kubernetes.io": private,
    }


def _reference(obj: Obj) -> dict[str, str]:
    reference = {"name": obj["metadata"]["name"], "uid": obj["metadata"].get("uid", "")}
    return {k: v for k, v in reference.items() if v}


class ServiceAccountTokens:
    """Authenticates bearer tokens that `issuers` issued and one of `keys` signed, for `audiences`."""

    def __init__(
        self, issuers: Sequence[str], keys: Sequence[Key], audiences: Sequence[str], get: Getter, clock: Clock
    ) -> None:
        self._issuers = issuers
        self._keys = keys
        self._audiences = audiences
        self._get = get
        self._clock = clock
        self._verified: dict[str, Claims] = {}

    async def authenticate(
        self, token: str, audiences: Sequence[str] | None = None
    ) -> tuple[UserInfo, list[str]] | None:
        """The user and the audiences that hold; None if the token is not of these issuers.

        `audiences` are those asked for, the server's own by default. Raises InvalidToken.
        """
        issuer = unverified_issuer(token)
        if issuer not in self._issuers and issuer != LEGACY_ISSUER:
            return None
        known = self._verified.get(token)
        if known is None:
            known = verify(token, self._keys)
            if len(self._verified) >= 4096:
                self._verified.clear()
            self._verified[token] = known
        now = self._clock.now()
        if issuer == LEGACY_ISSUER:
            valid_audiences = match_audiences(self._audiences, audiences or self._audiences)
            return await self._legacy(token, known), valid_audiences
        valid_audiences = match_audiences(token_audiences(known) or self._audiences, audiences or self._audiences)
        check_times(known, now)
        return await self._bound(known, now), valid_audiences

    async def _bound(self, token: Claims, now: float) -> UserInfo:
        private = token.get("kubernetes.io")
        if not isinstance(private, dict) or not isinstance(private.get("serviceaccount"), dict):
            raise InvalidToken("service account token claims could not be validated due to unexpected validation error")
        namespace, name = str(private.get("namespace", "")), str(private["serviceaccount"].get("name", ""))
        account = await self._get("serviceaccounts", namespace, name)
        check_account(account, private, now)
        pod, node, secret = private.get("pod"), private.get("node"), private.get("secret")
        if secret:
            check_bound("secret", await self._get("secrets", namespace, secret["name"]), secret, now)
        if pod:
            check_bound("pod", await self._get("pods", namespace, pod["name"]), pod, now)
        elif node:
            check_bound("node", await self._get("nodes", "", node["name"]), node, now)
        extra: dict[str, list[str]] = {}
        if token.get("jti"):
            extra["authentication.kubernetes.io/credential-id"] = [f"JTI={token['jti']}"]
        for kind, reference in (("pod", pod), ("node", node)):
            if reference:
                for field in ("name", "uid"):
                    if reference.get(field):
                        extra[f"authentication.kubernetes.io/{kind}-{field}"] = [reference[field]]
        return UserInfo(username(namespace, name), private["serviceaccount"]["uid"], tuple(groups(namespace)), extra)

    async def _legacy(self, token: str, claimed: Claims) -> UserInfo:
        required = {"namespace": "namespace", "secretName": "secret.name", "serviceAccountName": "service-account.name",
                    "serviceAccountUID": "service-account.uid"}  # fmt: skip
        found = {label: claimed.get(_LEGACY + claim) for label, claim in required.items()}
        if not claimed.get("sub"):
            raise InvalidToken("sub claim is missing")
        for label, value in found.items():
            if not value or not isinstance(value, str):
                raise InvalidToken(f"{label} claim is missing")
        namespace, name, uid = (
            str(found["namespace"]),
            str(found["serviceAccountName"]),
            str(found["serviceAccountUID"]),
        )
        if claimed["sub"] != username(namespace, name):
            raise InvalidToken("sub claim is invalid")
        secret = await self._get("secrets", namespace, str(found["secretName"]))
        account = await self._get("serviceaccounts", namespace, name)
        check_legacy(token, secret, account, namespace, name, uid)
        return UserInfo(username(namespace, name), uid, tuple(groups(namespace)), {})


def token_audiences(claimed: Claims) -> list[str]:
    """The `aud` claim, which may be one string or a list."""
    audience = claimed.get("aud") or []
    return [audience] if isinstance(audience, str) else [a for a in audience if isinstance(a, str)]


def match_audiences(held: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The audiences in both. Raises InvalidToken when there is none."""
    both = [audience for audience in held if audience in wanted]
    if not both and wanted:

        def go(texts: Sequence[str]) -> str:
            return "[" + " ".join(f'"{t}"' for t in texts) + "]"

        raise InvalidToken(f"token audiences {go(held)} is invalid for the target audiences {go(wanted)}")
    return both


def check_times(claimed: Claims, now: float) -> None:
    """Raises InvalidToken for a token that has expired or is not valid yet, beyond the leeway."""
    if "nbf" in claimed and now + LEEWAY < _number(claimed["nbf"]):
        raise InvalidToken("service account token is not valid yet")
    if "exp" in claimed and now - LEEWAY > _number(claimed["exp"]):
        raise InvalidToken("service account token has expired")
    if "iat" in claimed and now + LEEWAY < _number(claimed["iat"]):
        raise InvalidToken("service account token is issued in the future")


def _number(value: object) -> float:
    if isinstance(value, int | float):
        return float(value)
    raise InvalidToken("service account token claims could not be validated due to unexpected validation error")


def check_account(account: Obj | None, private: dict[str, Any], now: float) -> None:
    """Raises InvalidToken unless `account` is the one that the claims name, and lives."""
    namespace, reference = private.get("namespace", ""), private["serviceaccount"]
    if account is None:
        raise InvalidToken(f'serviceaccount "{reference.get("name", "")}" not found')
    uid = account["metadata"].get("uid", "")
    if uid != reference.get("uid", ""):
        raise InvalidToken(f"service account UID ({uid}) does not match claim ({reference.get('uid', '')})")
    if _deleted(account, now):
        raise InvalidToken(f"service account {namespace}/{reference['name']} has been deleted")


def check_bound(kind: str, obj: Obj | None, reference: dict[str, str], now: float) -> None:
    """Raises InvalidToken unless the object that the token is bound to is the same one, and lives."""
    if obj is None or _deleted(obj, now):
        raise InvalidToken("service account token has been invalidated")
    uid = obj["metadata"].get("uid", "")
    if uid != reference.get("uid", ""):
        label = "Secret" if kind == "secret" else kind
        raise InvalidToken(
            f"{label} UID ({uid}) does not match service account {kind} ref claim ({reference.get('uid', '')})"
        )


def _deleted(obj: Obj, now: float) -> bool:
    """Deleted, and longer ago than two clocks may differ."""
    when = obj["metadata"].get("deletionTimestamp")
    return bool(when) and parse_rfc3339(when) < now - LEEWAY


def check_legacy(token: str, secret: Obj | None, account: Obj | None, namespace: str, name: str, uid: str) -> None:
    """Raises InvalidToken unless the Secret still holds this very token for a living account."""
    if secret is None or secret["metadata"].get("deletionTimestamp"):
        raise InvalidToken("Token has been invalidated")
    stored = base64.b64decode((secret.get("data") or {}).get("token", ""))
    if not hmac.compare_digest(stored, token.encode()):
        raise InvalidToken("Token does not match server's copy")
    if account is None:
        raise InvalidToken(f'serviceaccount "{name}" not found')
    if account["metadata"].get("deletionTimestamp"):
        raise InvalidToken(f"ServiceAccount {namespace}/{name} has been deleted")
    if account["metadata"].get("uid", "") != uid:
        raise InvalidToken(f"ServiceAccount UID ({account['metadata'].get('uid', '')}) does not match claim ({uid})")
    if (secret["metadata"].get("labels") or {}).get(INVALID_SINCE):
        raise InvalidToken(f"the token in secret {namespace}/{secret['metadata']['name']} has been marked invalid")
