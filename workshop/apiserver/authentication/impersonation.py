"""Acting as somebody else: `kubectl --as jane --as-group developers`.

Who may, is asked in modes, the narrow ones first; the first that allows it counts:

    associated-node  a pod's service account, as the node that its pod runs on
    arbitrary-node   as a node                         `impersonate:arbitrary-node` on `nodes NAME`
    serviceaccount   as a service account              `impersonate:serviceaccount` on it
    user-info        as anybody else                   `impersonate:user-info` on user, groups, uid and extra values
    (legacy)         as anybody, whatever is asked     `impersonate` on each of them

The first four are constrained: the request itself is judged too, under the verb `impersonate-on:MODE:VERB`. So a role
can say "as this node, but only to list pods". Only the user's name may be asked for in the first three.

Upstream: `staging/src/k8s.io/apiserver/pkg/endpoints/filters/impersonation`, KEP-5284.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote

from workshop.api import errors, names
from workshop.apiserver.authentication.chain import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, Headers
from workshop.apiserver.authentication.serviceaccount import groups as account_groups
from workshop.apiserver.authentication.serviceaccount import split_username
from workshop.apiserver.authorization.modes import MASTERS, forbidden
from workshop.apiserver.interfaces import Attributes, Authorizer, Decision, UserInfo

_USER, _GROUP, _UID, _EXTRA = "impersonate-user", "impersonate-group", "impersonate-uid", "impersonate-extra-"
_AUTHENTICATION = "authentication.k8s.io"
_NODE, _NODES = "system:node:", "system:nodes"
_NODE_NAME = "authentication.kubernetes.io/node-name"
_MANY = 4
"""So many groups or extra values are asked for by one question for `*` first."""
_REMEMBERED = 10_000


def wanted(headers: Headers) -> UserInfo | None:
    """Whom the headers ask to act as, in their words; None if they ask nothing. Pure. Raises ApiError (400)."""
    asked = [(name, value) for name, value in headers if name.startswith("impersonate-")]
    name = next((value for header, value in asked if header == _USER), "")
    uid = next((value for header, value in asked if header == _UID), "")
    groups = [value for header, value in asked if header == _GROUP]
    extra: dict[str, list[str]] = {}
    for header, value in asked:
        if header.startswith(_EXTRA):
            extra.setdefault(unquote(header.removeprefix(_EXTRA)), []).append(value)
    if not name and (groups or extra or uid):
        raise errors.bad_request(f"requested {_as_go_shows(uid, groups, extra)} without impersonating a user name")
    return UserInfo(name, uid, tuple(groups), extra) if name else None


def _as_go_shows(uid: str, groups: Sequence[str], extra: dict[str, list[str]]) -> str:
    def strings(values: Sequence[str]) -> str:
        return "{" + ", ".join(map(errors.quote, values)) + "}"

    shown = f"[]string{strings(groups)}" if groups else "[]string(nil)"
    pairs = ", ".join(f"{errors.quote(key)}:[]string{strings(values)}" for key, values in sorted(extra.items()))
    more = f"map[string][]string{{{pairs}}}" if extra else "map[string][]string(nil)"
    return f'&user.DefaultInfo{{Name:"", UID:{errors.quote(uid)}, Groups:{shown}, Extra:{more}}}'


def node_of(username: str) -> str:
    """The node that a user name stands for; "" for another user."""
    name = username.removeprefix(_NODE)
    return name if name != username and not names.dns1123_subdomain(name) else ""


def _only_name(user: UserInfo) -> bool:
    return not (user.uid or user.groups or user.extra)


def _is_associated_node(user: UserInfo, caller: UserInfo) -> bool:
    its_node = list(caller.extra.get(_NODE_NAME, ()))
    return _is_node(user, caller) and split_username(caller.name) is not None and its_node == [node_of(user.name)]


def _is_node(user: UserInfo, caller: UserInfo) -> bool:
    return _only_name(user) and bool(node_of(user.name))


def _is_account(user: UserInfo, caller: UserInfo) -> bool:
    return _only_name(user) and split_username(user.name) is not None


def _is_somebody_else(user: UserInfo, caller: UserInfo) -> bool:
    return not node_of(user.name) and split_username(user.name) is None


@dataclass(frozen=True)
class Mode:
    """`fits(wanted user, caller)`: is it a mode for this? `constraint`: the verb, "" of the legacy mode."""

    constraint: str
    fits: Callable[[UserInfo, UserInfo], bool]

    @property
    def verb(self) -> str:
        return self.constraint or "impersonate"

    def on(self, request: Attributes) -> Attributes | None:
        """What the caller must be allowed of the request itself."""
        if not self.constraint:
            return None
        verb = f"impersonate-on:{self.constraint.removeprefix('impersonate:')}:{request.verb}"
        return self.seen(replace(request, verb=verb))

    def seen(self, attributes: Attributes) -> Attributes:
        """As the authorizer sees the caller: of an associated node all pods of an account are alike."""
        if self.constraint != "impersonate:associated-node":
            return attributes
        caller = attributes.user
        keys = {"authentication.kubernetes.io/associated-node-keys": sorted(caller.extra)}
        name = "*" if attributes.verb == self.constraint else attributes.name
        return replace(attributes, user=replace(caller, extra=keys), name=name)

    def checks(self, user: UserInfo, caller: UserInfo) -> Iterator[Sequence[Attributes]]:
        """What the caller must be allowed to act as `user`: of each of these the first that is allowed suffices.

        Raises ApiError (403) for what nobody may in a constrained mode."""
        group = _AUTHENTICATION if self.constraint else ""

        def may(resource: str, name: str, namespace: str = "", subresource: str = "", group: str = group) -> Attributes:
            return self.seen(
                Attributes(
                    user=caller, verb=self.verb, api_group=group, api_version="v1", resource=resource,
                    subresource=subresource, namespace=namespace, name=name,
                )
            )  # fmt: skip

        account, node = split_username(user.name), node_of(user.name)
        if account:
            yield [may("serviceaccounts", account[1], account[0])]
        else:
            yield [may("nodes", node) if self.constraint and node else may("users", user.name)]
        if user.uid:
            yield [may("uids", user.uid, group=_AUTHENTICATION)]
        if self.constraint:
            if "" in user.groups:
                raise forbidden(may("groups", ""), "impersonating the empty string group is not allowed")
            if MASTERS in user.groups:
                raise forbidden(may("groups", MASTERS), "impersonating the system:masters group is not allowed")
        all_groups = [may("groups", "*")] if self.constraint and len(user.groups) >= _MANY else []
        for each in user.groups:
            yield [*all_groups, may("groups", each)]
        if self.constraint and (problem := _wrong_extra(user)):
            raise forbidden(may("userextras", "", group=_AUTHENTICATION), problem)
        values = [(key, value) for key, values in user.extra.items() for value in values]
        all_extra = may("userextras", "*", subresource="*", group=_AUTHENTICATION)
        for key, value in values:
            one = may("userextras", value, subresource=key, group=_AUTHENTICATION)
            yield [all_extra, one] if self.constraint and len(values) >= _MANY else [one]

    def user(self, user: UserInfo) -> UserInfo:
        """The user that the request counts as: with the groups that such a user has."""
        groups = list(user.groups)
        account = split_username(user.name)
        if account and not groups:
            groups = account_groups(account[0])
        elif self.constraint and node_of(user.name):
            groups = [_NODES]
        usual = UNAUTHENTICATED if user.name == ANONYMOUS else AUTHENTICATED
        if usual not in groups and UNAUTHENTICATED not in groups:
            groups.append(usual)
        return replace(user, groups=tuple(groups))


MODES = (
    Mode("impersonate:associated-node", _is_associated_node),
    Mode("impersonate:arbitrary-node", _is_node),
    Mode("impersonate:serviceaccount", _is_account),
    Mode("impersonate:user-info", _is_somebody_else),
    Mode("", lambda user, caller: True),
)


def _wrong_extra(user: UserInfo) -> str:
    for key, values in user.extra.items():
        if not key:
            return "impersonating the empty string key in extra is not allowed"
        if problem := _no_domain_prefixed_path(key):
            return f"impersonating an invalid key in extra is not allowed: extra.key: Invalid value: {problem}"
        if key != key.lower():
            return f"impersonating a non-lowercase key in extra is not allowed: {errors.quote(key)}"
        if "" in values:
            return "impersonating the empty string value in extra is not allowed"
    return ""


def _no_domain_prefixed_path(key: str) -> str:
    host, _, path = key.partition("/")
    if not host or not path:
        return f'{errors.quote(key)}: must be a domain-prefixed path (such as "acme.io/foo")'
    problems = names.dns1123_subdomain(host)
    return f"{errors.quote(host)}: {problems[0]}" if problems else ""


class Impersonation:
    """Asks `authorizer`. Which mode a caller used last is tried first, so that it costs one question at most."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self._last: dict[str, Mode] = {}

    async def of(self, request: Attributes, headers: Headers) -> tuple[UserInfo, str]:
        """The user that a request counts as, the caller himself or whom he may act as, and the constraint under which
        he does. Raises ApiError (400, 403)."""
        caller = request.user
        user = wanted(headers)
        if user is None:
            return caller, ""
        refused: errors.ApiError | None = None
        last = self._last.get(caller.name)
        for mode in sorted(MODES, key=lambda mode: mode is not last):
            if not mode.fits(user, caller):
                continue
            try:
                await self._check(mode, user, request)
            except errors.ApiError as error:
                refused = refused or error
                continue
            self._remember(caller.name, mode)
            return mode.user(user), mode.constraint
        assert refused is not None, "the legacy mode fits everybody"
        raise refused

    async def _check(self, mode: Mode, user: UserInfo, request: Attributes) -> None:
        if (on := mode.on(request)) is not None:
            await self._require([on])
        for alternatives in mode.checks(user, request.user):
            await self._require(alternatives)

    async def _require(self, alternatives: Sequence[Attributes]) -> None:
        """Raises ApiError (403) that tells of the last one."""
        for attributes in alternatives:
            decision, reason = await self._authorizer.authorize(attributes)
            if decision is Decision.ALLOW:
                return
        raise forbidden(attributes, reason)

    def _remember(self, caller: str, mode: Mode) -> None:
        self._last.pop(caller, None)
        self._last[caller] = mode
        if len(self._last) > _REMEMBERED:
            del self._last[next(iter(self._last))]
