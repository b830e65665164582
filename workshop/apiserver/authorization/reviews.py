"""May he? asked as an API: SubjectAccessReview and its three relatives (`kubectl auth can-i`, `--list`).

Nothing is stored: the object that was posted comes back with its `status`.

Upstream: `pkg/registry/authorization`, `pkg/apis/authorization/validation/validation.go`.
"""

from __future__ import annotations

from workshop.api import errors
from workshop.api.meta import Obj
from workshop.api.validation import small_kinds
from workshop.api.validation.field import ErrorList
from workshop.apiserver.authorization import selectors
from workshop.apiserver.authorization.node import node_name
from workshop.apiserver.authorization.rbac import RbacIndex, aggregate
from workshop.apiserver.interfaces import Attributes, Authorizer, Decision, UserInfo

_KIND = ".authorization.k8s.io"  # as upstream says it of an object that has no kind inside the server


class AccessReviews:
    """Answers for all four kinds. `nodes`: whether the Node authorizer, which cannot list its rules, takes part."""

    def __init__(self, authorizer: Authorizer, rbac: RbacIndex | None, nodes: bool = False) -> None:
        self._authorizer = authorizer
        self._rbac = rbac
        self._nodes = nodes

    async def subject_access_review(self, obj: Obj, user: UserInfo, namespace: str = "") -> Obj:
        """May the named user? Raises ApiError (422)."""
        spec = obj.get("spec") or {}
        _check("SubjectAccessReview", obj)
        return {**obj, "status": await self._answer(spec, named_user(spec))}

    async def local_subject_access_review(self, obj: Obj, user: UserInfo, namespace: str = "") -> Obj:
        """The same for one namespace, that of the address."""
        spec = obj.get("spec") or {}
        _check("LocalSubjectAccessReview", obj)
        return {**obj, "status": await self._answer(spec, named_user(spec))}

    async def self_subject_access_review(self, obj: Obj, user: UserInfo, namespace: str = "") -> Obj:
        """May I?"""
        spec = obj.get("spec") or {}
        _check("SelfSubjectAccessReview", obj)
        return {**obj, "status": await self._answer(spec, user)}

    async def self_subject_rules_review(self, obj: Obj, user: UserInfo, namespace: str = "") -> Obj:
        """All that I may in a namespace, as far as it can be listed. Raises ApiError (400)."""
        where = (obj.get("spec") or {}).get("namespace", "")
        if not where:
            raise errors.bad_request("no namespace on request")
        rules, missing = self._rbac.rules_for(user, where) if self._rbac else ([], [])
        problems = [aggregate(missing)] if missing else []
        is_node = self._nodes and node_name(user) is not None
        if is_node:
            problems.insert(0, "node authorizer does not support user rule resolution")
        status: Obj = {
            "resourceRules": [
                _fields(rule, "verbs", "apiGroups", "resources", "resourceNames")
                for rule in rules
                if rule.get("resources")
            ],
            "nonResourceRules": [
                _fields(rule, "verbs", "nonResourceURLs") for rule in rules if rule.get("nonResourceURLs")
            ],
            "incomplete": is_node or bool(missing),
        }
        if problems:
            status["evaluationError"] = aggregate(problems)
        head = {"kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1"}
        return {**head, "metadata": {}, "spec": {}, "status": status}

    async def _answer(self, spec: Obj, user: UserInfo) -> Obj:
        decision, reason = await self._authorizer.authorize(attributes_of(spec, user))
        status: Obj = {"allowed": decision is Decision.ALLOW}
        if decision is Decision.DENY:
            status["denied"] = True
        if reason:
            status["reason"] = reason
        if ignored := selectors.ignored(spec.get("resourceAttributes") or {}):
            status["evaluationError"] = ignored
        return status


def _fields(rule: Obj, *names: str) -> Obj:
    return {name: rule[name] for name in names if rule.get(name)}


def named_user(spec: Obj) -> UserInfo:
    """The user that a review's `spec` describes."""
    return UserInfo(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), spec.get("extra") or {})


def attributes_of(spec: Obj, user: UserInfo) -> Attributes:
    """What a review's `spec` asks for `user`."""
    path = spec.get("nonResourceAttributes")
    if path is not None:
        return Attributes(user, path.get("verb", ""), resource_request=False, path=path.get("path", ""))
    wanted = spec.get("resourceAttributes") or {}
    return Attributes(
        user,
        wanted.get("verb", ""),
        api_group=wanted.get("group", ""),
        api_version=wanted.get("version", "") or "*",
        resource=wanted.get("resource", ""),
        subresource=wanted.get("subresource", ""),
        namespace=wanted.get("namespace", ""),
        name=wanted.get("name", ""),
        field_selector=selectors.of_fields(wanted.get("fieldSelector") or {})[0],
        label_selector=selectors.of_labels(wanted.get("labelSelector") or {})[0],
    )


def _check(kind: str, obj: Obj) -> None:
    """Raises ApiError 422 for a review that asks for nothing, for two things, or has metadata."""
    told = {k: v for k, v in (obj.get("metadata") or {}).items() if k != "creationTimestamp"}
    problems = ErrorList()
    small_kinds.access_review(problems, {**obj, "kind": kind, "metadata": told})
    if problems:
        raise errors.invalid(_KIND, "", problems.causes())
