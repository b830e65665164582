"""The chain of authorizers that `--authorization-mode` names, and the sentence of a refusal.

Each authorizer allows, denies or has no opinion; the first opinion counts, and without any the request is refused.
`system:masters` stands before all of them.

Upstream: `staging/src/k8s.io/apiserver/pkg/authorization/union`, `.../authorizerfactory/builtin.go`,
`.../endpoints/handlers/responsewriters/errors.go`.
"""

from __future__ import annotations

from collections.abc import Sequence

from workshop.api import errors
from workshop.apiserver.authorization.rules import quoted
from workshop.apiserver.interfaces import Attributes, Authorizer, Decision

MASTERS = "system:masters"


class SystemMasters:
    """Members of `system:masters` may do everything, also before any role exists."""

    async def authorize(self, a: Attributes) -> tuple[Decision, str]:
        return (Decision.ALLOW, "") if MASTERS in a.user.groups else (Decision.NO_OPINION, "")


class AlwaysAllow:
    """Everybody may do everything. For experiments."""

    async def authorize(self, a: Attributes) -> tuple[Decision, str]:
        return Decision.ALLOW, ""


class AlwaysDeny:
    """Nobody may do anything."""

    async def authorize(self, a: Attributes) -> tuple[Decision, str]:
        return Decision.NO_OPINION, "Everything is forbidden."


class Union:
    """The first of `members` that has an opinion decides; without one the reasons are told, a line each."""

    def __init__(self, members: Sequence[Authorizer]) -> None:
        self.members = members

    async def authorize(self, a: Attributes) -> tuple[Decision, str]:
        reasons: list[str] = []
        for member in self.members:
            decision, reason = await member.authorize(a)
            if decision is not Decision.NO_OPINION:
                return decision, reason
            if reason:
                reasons.append(reason)
        return Decision.NO_OPINION, "\n".join(reasons)


_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def forbidden(a: Attributes, reason: str) -> errors.ApiError:
    """The 403 of a refused request, in upstream's words."""
    message = refusal(a).translate(_HTML)
    resource = f"{a.resource}.{a.api_group}" if a.api_group else a.resource
    return errors.forbidden(resource, a.name, f"{message}: {reason}" if reason else message)


def refusal(a: Attributes) -> str:
    """`User "jane" cannot list resource "pods" in API group "" in the namespace "default"`."""
    head = f"User {quoted(a.user.name)} cannot {a.verb}"
    if not a.resource_request:
        return f"{head} path {quoted(a.path)}"
    resource = f"{a.resource}/{a.subresource}" if a.subresource else a.resource
    where = f"in the namespace {quoted(a.namespace)}" if a.namespace else "at the cluster scope"
    return f"{head} resource {quoted(resource)} in API group {quoted(a.api_group)} {where}"
