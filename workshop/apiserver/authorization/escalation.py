"""Nobody hands out rights that he does not hold: the check on writes of roles and bindings. Pure.

Whoever writes a Role must hold every right in it already, or the verb `escalate` on it; whoever writes a binding
must hold every right of the role it names, or the verb `bind` on that role.

Upstream: `pkg/registry/rbac/escalation_check.go`, `pkg/registry/rbac/*/policybased/storage.go`.
"""

from __future__ import annotations

from dataclasses import replace

from workshop.api import errors
from workshop.api.meta import Obj
from workshop.apiserver.authorization import rules as policy
from workshop.apiserver.authorization.rbac import RbacIndex, aggregate
from workshop.apiserver.authorization.rules import PolicyRule, quoted, quoted_list
from workshop.apiserver.interfaces import Attributes, Authorizer, Decision, UserInfo

GROUP = "rbac.authorization.k8s.io"
ROLES = ("roles", "clusterroles")
BINDINGS = ("rolebindings", "clusterrolebindings")


async def check_write(index: RbacIndex, authorizer: Authorizer, request: Attributes, new: Obj, old: Obj | None) -> None:
    """Raise Forbidden if `request.user` may not write `new` (over `old`). Other resources pass."""
    if request.api_group != GROUP or request.subresource or "system:masters" in request.user.groups:
        return
    if old is not None and _only_garbage_collection(new, old):
        return
    if request.resource in ROLES:
        await _check_role(index, authorizer, request, new, old)
    elif request.resource in BINDINGS:
        await _check_binding(index, authorizer, request, new)


async def _check_role(index: RbacIndex, authorizer: Authorizer, request: Attributes, new: Obj, old: Obj | None) -> None:
    if await _allowed(authorizer, replace(request, verb="escalate", api_version="*", path="")):
        return
    _confirm(index, request, new, new.get("rules") or [])
    if _aggregates(new) or (old is not None and _aggregates(old)):
        held, _ = index.rules_for(request.user, request.namespace)
        if policy.uncovered(held, policy.FULL_AUTHORITY):
            raise _forbidden(request, new, "must have cluster-admin privileges to use the aggregationRule")


async def _check_binding(index: RbacIndex, authorizer: Authorizer, request: Attributes, new: Obj) -> None:
    ref = new.get("roleRef") or {}
    kind, name = ref.get("kind", ""), ref.get("name", "")
    if kind not in ("Role", "ClusterRole"):
        return  # validation refuses it
    bind = replace(
        request,
        verb="bind",
        api_version="*",
        resource="roles" if kind == "Role" else "clusterroles",
        name=name,
        path="",
    )
    if await _allowed(authorizer, bind):
        return
    found = index.role_rules(kind, request.namespace, name)
    if found is None:
        # upstream names the resource of the request, not the one that is missing
        raise errors.not_found(f"{request.resource}.{GROUP}", name)
    _confirm(index, request, new, [rule.source for rule in found])


async def _allowed(authorizer: Authorizer, attributes: Attributes) -> bool:
    decision, _ = await authorizer.authorize(attributes)
    return decision is Decision.ALLOW


def _confirm(index: RbacIndex, request: Attributes, new: Obj, wanted: list[PolicyRule]) -> None:
    held, missing = index.rules_for(request.user, request.namespace)
    message = escalation_message(request.user, held, missing, wanted)
    if message:
        raise _forbidden(request, new, message)


def escalation_message(
    user: UserInfo, held: list[PolicyRule], missing_roles: list[str], wanted: list[PolicyRule]
) -> str:
    """Upstream's refusal, or "" when `held` covers `wanted`."""
    lacking = policy.uncovered(held, wanted)
    if not lacking:
        return ""
    lines = "\n".join(sorted({policy.describe(rule) for rule in policy.compact(lacking)}))
    text = (
        f"user {quoted(user.name)} (groups={quoted_list(user.groups)}) is attempting to grant "
        f"RBAC permissions not currently held:\n{lines}"
    )
    return f"{text}; resolution errors: [{aggregate(missing_roles)}]" if missing_roles else text


def _forbidden(request: Attributes, obj: Obj, message: str) -> errors.ApiError:
    return errors.forbidden(f"{request.resource}.{GROUP}", obj["metadata"].get("name", ""), message)


def _aggregates(role: Obj) -> bool:
    return bool((role.get("aggregationRule") or {}).get("clusterRoleSelectors"))


def _only_garbage_collection(new: Obj, old: Obj) -> bool:
    """The update changes only what the garbage collector needs to change: owner references and finalizers."""

    def rest(obj: Obj) -> Obj:
        ignored = ("ownerReferences", "finalizers", "managedFields")
        return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k not in ignored}}

    return rest(new) == rest(old)
