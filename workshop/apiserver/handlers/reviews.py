"""Kinds that are posted and answered, never stored: TokenReview, SubjectAccessReview and their relatives.

Upstream: apiserver/pkg/endpoints/handlers/create.go, pkg/registry/{authentication,authorization}.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from workshop.api import errors
from workshop.api.meta import Obj
from workshop.api.patch import managed_fields, typed
from workshop.api.resources import Resource
from workshop.api.validation.small_kinds import WIPED
from workshop.apiserver.interfaces import UserInfo
from workshop.apiserver.registry.options import write_options
from workshop.apiserver.server.http import Request, Response
from workshop.apiserver.server.negotiate import accepted
from workshop.clock import Clock

from . import forms, posted

Review = Callable[[Obj, UserInfo, str], Awaitable[Obj]]
"""From what was posted, by whom, in which namespace, to the answer."""


@dataclass(frozen=True)
class Reviews:
    by_plural: Mapping[str, Review]
    clock: Clock

    async def create(self, request: Request, res: Resource) -> Response:
        """Raises ApiError 400, 404, 405 and 422."""
        review = self.by_plural.get(res.plural)
        if review is None:
            raise errors.method_not_supported(res, request.info.verb)
        form, options, namespace = accepted(request.header("accept"), table=False), write_options(request), ""
        obj = await posted.read(request, res.api_version, res.kind, options)
        metadata = {name: value for name, value in (obj.get("metadata") or {}).items() if name not in WIPED}
        if res.namespaced:
            namespace = request.info.namespace
            posted.same_namespace(obj, namespace)
            metadata["namespace"] = namespace
        else:
            metadata.pop("namespace", None)
        obj, now = {**obj, "metadata": metadata}, self.clock.now()
        entries = managed_fields.track_update(None, obj, options.manager, typed.types_of(res), now)
        answer = await review(managed_fields.with_entries(obj, entries), request.user, namespace)
        return forms.one(request, res, {"metadata": {}, **answer}, form, now, 201)
