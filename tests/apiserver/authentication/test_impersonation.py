"""Acting as somebody else, in the constrained modes and in the old one."""

from __future__ import annotations

import pytest

from workshop.api.errors import ApiError
from workshop.apiserver.authentication.impersonation import Impersonation
from workshop.apiserver.interfaces import Attributes, Decision, UserInfo

BOSS = UserInfo("boss")
AGENT = UserInfo(
    "system:serviceaccount:kube-system:agent", extra={"authentication.kubernetes.io/node-name": ["n1"], "a.b/c": ["d"]}
)


class Allow:
    """Allows what is listed as `verb resource[/subresource]/name`."""

    def __init__(self, *things: str) -> None:
        self.things = things
        self.asked: list[Attributes] = []

    async def authorize(self, a: Attributes) -> tuple[Decision, str]:
        self.asked.append(a)
        resource = f"{a.resource}/{a.subresource}" if a.subresource else a.resource
        allowed = f"{a.verb} {resource}/{a.name}" in self.things
        return (Decision.ALLOW if allowed else Decision.NO_OPINION), ""


def listing(user: UserInfo) -> Attributes:
    return Attributes(user, "list", api_version="v1", resource="pods", namespace="default")


def headers(user: str, *groups: str, uid: str = "", **extra: str) -> list[tuple[str, str]]:
    lines = [("impersonate-user", user), *(("impersonate-group", group) for group in groups)]
    lines += [("impersonate-uid", uid)] if uid else []
    return lines + [(f"impersonate-extra-{key}", value) for key, value in extra.items()]


async def act(who: UserInfo, lines: list[tuple[str, str]], *allowed: str) -> tuple[UserInfo, str]:
    return await Impersonation(Allow(*allowed)).of(listing(who), lines)


async def refusal(who: UserInfo, lines: list[tuple[str, str]], *allowed: str) -> str:
    with pytest.raises(ApiError) as refused:
        await act(who, lines, *allowed)
    assert refused.value.code == 403
    return refused.value.message


async def test_the_old_mode_is_for_whatever_is_asked() -> None:
    lines = headers("jane", "developers", uid="42", **{"scopes%2fx": "view"})
    allowed = [f"impersonate {it}" for it in ("users/jane", "groups/developers", "uids/42", "userextras/scopes/x/view")]
    jane = UserInfo("jane", "42", ("developers", "system:authenticated"), {"scopes/x": ["view"]})
    assert await act(BOSS, lines, *allowed) == (jane, "")
    account = headers("system:serviceaccount:ci:bot")
    bot, _ = await act(BOSS, account, "impersonate serviceaccounts/bot")
    assert bot.groups == ("system:serviceaccounts", "system:serviceaccounts:ci", "system:authenticated")
    with pytest.raises(
        ApiError, match=r'UID:"", Groups:..string\{"x"\}, Extra:map.* without impersonating a user name'
    ):
        await act(BOSS, [("impersonate-group", "x")])
    assert (await act(BOSS, [("accept", "*/*")]))[0] is BOSS


async def test_a_constrained_mode_judges_the_request_too() -> None:
    lines = headers("jane", "developers")
    allowed = ["impersonate:user-info users/jane", "impersonate:user-info groups/developers"]
    on = "impersonate-on:user-info:list pods/"
    jane = UserInfo("jane", "", ("developers", "system:authenticated"))
    assert await act(BOSS, lines, on, *allowed) == (jane, "impersonate:user-info")
    # the refusal is that of the first mode that fits
    assert await refusal(BOSS, lines, *allowed) == (
        'pods is forbidden: User "boss" cannot impersonate-on:user-info:list resource "pods" in API group "" in the '
        'namespace "default"'
    )
    assert await refusal(BOSS, lines, on, allowed[0]) == (
        'groups.authentication.k8s.io "developers" is forbidden: User "boss" cannot impersonate:user-info resource '
        '"groups" in API group "authentication.k8s.io" at the cluster scope'
    )


async def test_what_nobody_may_in_a_constrained_mode() -> None:
    allowed = ["impersonate-on:user-info:list pods/", "impersonate:user-info users/jane"]
    masters = await refusal(BOSS, headers("jane", "system:masters"), *allowed)
    assert masters.endswith("impersonating the system:masters group is not allowed")
    for key, problem in {
        "scopes": 'Invalid value: "scopes": must be a domain-prefixed path',
        "-.b%2fc": 'Invalid value: "-.b": a lowercase RFC 1123 subdomain must consist',
        "a.b%2fC": "impersonating a non-lowercase key in extra is not allowed",
    }.items():
        assert problem in await refusal(BOSS, headers("jane", **{key: "x"}), *allowed)
    many = headers("jane", "a", "b", "c", "d")  # one word for all of them
    user, _ = await act(BOSS, many, *allowed, "impersonate:user-info groups/*")
    assert user.groups[:4] == ("a", "b", "c", "d")


async def test_nodes_and_accounts_have_modes_of_their_own() -> None:
    node = headers("system:node:n1")
    nodes = ("system:nodes", "system:authenticated")
    arbitrary = ["impersonate-on:arbitrary-node:list pods/", "impersonate:arbitrary-node nodes/n1"]
    assert await act(BOSS, node, *arbitrary) == (
        UserInfo("system:node:n1", "", nodes),
        "impersonate:arbitrary-node",
    )
    # a pod's account may act as the pod's node, by a right that names no node
    own = ["impersonate-on:associated-node:list pods/", "impersonate:associated-node nodes/*"]
    allow = Allow(*own)
    assert (await Impersonation(allow).of(listing(AGENT), node))[1] == "impersonate:associated-node"
    keys = ["a.b/c", "authentication.kubernetes.io/node-name"]
    assert {tuple(a.user.extra["authentication.kubernetes.io/associated-node-keys"]) for a in allow.asked} == {
        tuple(keys)
    }
    await refusal(AGENT, headers("system:node:n2"), *own)
    account = headers("system:serviceaccount:ci:bot")
    allowed = ["impersonate-on:serviceaccount:list pods/", "impersonate:serviceaccount serviceaccounts/bot"]
    assert (await act(BOSS, account, *allowed))[1] == "impersonate:serviceaccount"
    await refusal(BOSS, headers("system:serviceaccount:ci:bot", "g"), *allowed)  # only the name may be asked for


async def test_who_uses_the_old_mode_pays_nothing_for_the_new_ones() -> None:
    allow = Allow("impersonate users/jane")
    impersonation = Impersonation(allow)
    for questions in (2, 1):
        allow.asked.clear()
        assert (await impersonation.of(listing(BOSS), headers("jane")))[1] == ""
        assert len(allow.asked) == questions
