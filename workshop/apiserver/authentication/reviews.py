"""Who is this? asked as an API: TokenReview for a token, SelfSubjectReview for oneself (`kubectl auth whoami`).

Upstream: `pkg/registry/authentication`.
"""

from __future__ import annotations

from workshop.api import errors
from workshop.api.meta import Obj
from workshop.apiserver.authentication.chain import Authentication, with_authenticated
from workshop.apiserver.authentication.jwt import InvalidToken
from workshop.apiserver.interfaces import UserInfo, user_info
from workshop.clock import Clock, rfc3339


class IdentityReviews:
    """Answers for both kinds."""

    def __init__(self, authentication: Authentication, clock: Clock) -> None:
        self._authentication = authentication
        self._clock = clock

    async def token_review(self, obj: Obj, user: UserInfo, namespace: str = "") -> Obj:
        """Whose token is this, and for which of the audiences is it good? Raises ApiError (400)."""
        spec, told = obj.get("spec") or {}, obj.get("status") or {}
        told = {"user": {}, **{name: value for name, value in told.items() if name not in ("authenticated", "error")}}
        if not spec.get("token"):
            raise errors.bad_request("token is required for TokenReview in authentication")
        audiences = spec.get("audiences") or list(self._authentication.audiences)
        try:
            found = await self._authentication.authenticate_token(spec["token"], audiences)
        except InvalidToken as e:
            return {**obj, "status": {**told, "error": f"[invalid bearer token, {e}]"}}
        if found is None:
            return {**obj, "status": {**told, "error": "invalid bearer token"}}
        owner, held = found
        status: Obj = {"authenticated": True, "user": user_info(with_authenticated(owner))}
        if held:
            status["audiences"] = held
        return {**obj, "status": status}

    async def self_subject_review(self, obj: Obj, user: UserInfo, namespace: str = "") -> Obj:
        """Who am I? Nothing of what was posted comes back."""
        head = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
        made = {"metadata": {"creationTimestamp": rfc3339(self._clock.now())}}
        return {**head, **made, "status": {"userInfo": user_info(user)}}
