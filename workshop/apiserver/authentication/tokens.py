"""Bearer tokens without a signature: those of `--token-auth-file`, and bootstrap tokens kept in Secrets.

A line of the token file is `token,user,uid[,"group1,group2"]`. A bootstrap token `abcdef.0123456789abcdef` is looked
up as Secret `kube-system/bootstrap-token-abcdef`; whoever shows it is `system:bootstrap:abcdef`, enough to ask for
a kubelet's certificate.

Upstream: `staging/src/k8s.io/apiserver/pkg/authentication/token/tokenfile`,
`plugin/pkg/auth/authenticator/token/bootstrap/bootstrap.go`.
"""

from __future__ import annotations

import base64
import binascii
import csv
import hmac
import re
from collections.abc import Iterable

from workshop.api.meta import Obj
from workshop.apiserver.authentication.serviceaccount import Getter
from workshop.apiserver.interfaces import UserInfo
from workshop.clock import Clock, parse_rfc3339

BOOTSTRAP_GROUP = "system:bootstrappers"
_BOOTSTRAP_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_BOOTSTRAP_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


def parse_token_file(lines: Iterable[str]) -> dict[str, UserInfo]:
    """Users by token. Raises ValueError for a line with fewer than three columns."""
    users: dict[str, UserInfo] = {}
    for number, row in enumerate(csv.reader(lines, skipinitialspace=True), 1):
        if not row or row[0].startswith("#"):
            continue
        if len(row) < 3:
            raise ValueError(f"token file must have at least 3 columns (token, user name, user uid), found {len(row)}")
        token, name, uid = row[0], row[1], row[2]
        if not token:
            raise ValueError(f"empty token has been found in token file, record {number}")
        groups = tuple(g.strip() for g in row[3].split(",") if g.strip()) if len(row) > 3 else ()
        users[token] = UserInfo(name, uid, groups, {})
    return users


class BootstrapTokens:
    """Authenticates the tokens of Secrets of type `bootstrap.kubernetes.io/token` in kube-system."""

    def __init__(self, get: Getter, clock: Clock) -> None:
        self._get = get
        self._clock = clock

    async def authenticate(self, token: str) -> UserInfo | None:
        """The user, or None: whatever is wrong with such a token, it is merely unknown."""
        match = _BOOTSTRAP_TOKEN.fullmatch(token)
        if match is None:
            return None
        secret = await self._get("secrets", "kube-system", f"bootstrap-token-{match[1]}")
        return bootstrap_user(secret, match[1], match[2], self._clock.now()) if secret else None


def bootstrap_user(secret: Obj, token_id: str, token_secret: str, now: float) -> UserInfo | None:
    """The user that `secret` admits with this token now."""
    if secret["metadata"].get("deletionTimestamp") or secret.get("type") != "bootstrap.kubernetes.io/token":
        return None
    data = {key: _text(value) for key, value in (secret.get("data") or {}).items()}
    if not hmac.compare_digest(data.get("token-secret", "").encode(), token_secret.encode()):
        return None
    if data.get("token-id") != token_id or data.get("usage-bootstrap-authentication") != "true":
        return None
    if data.get("expiration") and _expired(data["expiration"], now):
        return None
    extra = [group for group in data.get("auth-extra-groups", "").split(",") if group]
    if not all(_BOOTSTRAP_GROUP.fullmatch(group) for group in extra):
        return None
    return UserInfo(f"system:bootstrap:{token_id}", "", tuple(sorted({BOOTSTRAP_GROUP, *extra})), {})


def _expired(when: str, now: float) -> bool:
    try:
        return parse_rfc3339(when) <= now
    except ValueError:
        return True  # an unreadable time counts as past


def _text(value: str) -> str:
    try:
        return base64.b64decode(value).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
