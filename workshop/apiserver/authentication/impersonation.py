"""Acting as somebody else: `kubectl --as jane --as-group developers`.

Each thing that is asked for (user, service account, every group, extra value, uid) needs the verb `impersonate` on it.

Upstream: `staging/src/k8s.io/apiserver/pkg/endpoints/filters/impersonation/impersonation.go`.
"""

from __future__ import annotations

from urllib.parse import unquote

from workshop.api import errors
from workshop.apiserver.authentication.chain import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, Headers
from workshop.apiserver.authentication.serviceaccount import groups as account_groups
from workshop.apiserver.authentication.serviceaccount import split_username
from workshop.apiserver.authorization.modes import forbidden
from workshop.apiserver.interfaces import Attributes, Authorizer, Decision, UserInfo

_USER, _GROUP, _UID, _EXTRA = (
    "impersonate-user",
    "impersonate-group",
    "impersonate-uid",
    "impersonate-extra-",
)
_AUTHENTICATION = "authentication.k8s.io"


def wanted(user: UserInfo, headers: Headers) -> tuple[UserInfo, list[Attributes]] | None:
    """Whom the headers ask to act as, and what `user` must be allowed for that; None if they ask nothing. Pure.

    Raises ApiError (400) when groups or the like are asked for without a user.
    """
    asked = [(name, value) for name, value in headers if name.startswith("impersonate-")]
    name = next((value for header, value in asked if header == _USER), "")
    groups = [value for header, value in asked if header == _GROUP]
    uid = next((value for header, value in asked if header == _UID), "")
    extra: dict[str, list[str]] = {}
    for header, value in asked:
        if header.startswith(_EXTRA):
            extra.setdefault(unquote(header.removeprefix(_EXTRA)), []).append(value)
    if not name:
        if groups or extra or uid:
            things = [f"{{Group  {g}    }}" for g in groups]
            things += [f"{{UserExtra  {v}  {_AUTHENTICATION}/v1  {k}}}" for k, values in extra.items() for v in values]
            things += [f"{{UID  {uid}  {_AUTHENTICATION}/v1  }}"] if uid else []
            raise errors.bad_request(f"requested [{' '.join(things)}] without impersonating a user")
        return None

    def may(resource: str, name: str, namespace: str = "", group: str = "", subresource: str = "") -> Attributes:
        return Attributes(
            user=user, verb="impersonate", api_group=group, api_version="v1", resource=resource,
            subresource=subresource, namespace=namespace, name=name,
        )  # fmt: skip

    account = split_username(name)
    checks = [may("serviceaccounts", account[1], account[0])] if account else [may("users", name)]
    checks += [may("groups", group) for group in groups]
    checks += [may("userextras", v, group=_AUTHENTICATION, subresource=k) for k, vs in extra.items() for v in vs]
    checks += [may("uids", uid, group=_AUTHENTICATION)] if uid else []
    if account and not groups:
        groups = account_groups(account[0])
    return UserInfo(name, uid, tuple(_with_default_group(name, groups)), extra), checks


def _with_default_group(name: str, groups: list[str]) -> list[str]:
    if name == ANONYMOUS:
        return groups if UNAUTHENTICATED in groups else [*groups, UNAUTHENTICATED]
    return groups if AUTHENTICATED in groups or UNAUTHENTICATED in groups else [*groups, AUTHENTICATED]


async def impersonate(user: UserInfo, headers: Headers, authorizer: Authorizer) -> UserInfo:
    """The user that the request counts as: `user` himself, or whom he may act as. Raises ApiError (400, 403)."""
    request = wanted(user, headers)
    if request is None:
        return user
    other, checks = request
    for check in checks:
        decision, reason = await authorizer.authorize(check)
        if decision is not Decision.ALLOW:
            raise forbidden(check, reason)
    return other
