"""Behind the chain: which handler a request goes to."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from workshop.api import errors, names
from workshop.api.custom.kind import CustomKind
from workshop.api.meta import Obj
from workshop.api.patch.request import TYPES
from workshop.api.resources import Registry, Resource
from workshop.clock import Clock

from .aggregator.controller import Aggregator
from .aggregator.proxy import passed_on, remote_of
from .extensions.controller import DefinitionController
from .handlers import forms
from .handlers.discovery import Discovery
from .handlers.health import Health
from .handlers.node_proxy import STREAMS, NodeProxy
from .handlers.resources import Resources
from .handlers.reviews import Reviews
from .handlers.subresources import Subresources
from .handlers.tokens import Tokens
from .server.http import Request, Response, json_response, text_response
from .server.negotiate import accepted, routed
from .storage.interface import StorageError

# group-resource → what every request for it is told (upstream: k8s.io/api/core/v1/lifecycle.go)
DEPRECATED = {
    "componentstatuses": "v1 ComponentStatus is deprecated in v1.19+",
    "endpoints": "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
}


class Dispatch:
    def __init__(
        self,
        served: Registry,
        resources: Resources,
        subresources: Subresources,
        node_proxy: NodeProxy,
        discovery: Discovery,
        health: Health,
        reviews: Reviews,
        tokens: Tokens | None,
        documents: Mapping[str, tuple[bytes, str]],
        definitions: DefinitionController,
        aggregator: Aggregator,
        components: Callable[[], Awaitable[list[Obj]]],
        clock: Clock,
    ) -> None:
        """`reviews` answers the kinds that are only posted; `tokens` is None where nobody signs any; `documents` are
        fixed answers by path."""
        self._served, self._resources, self._subresources = served, resources, subresources
        self._node_proxy, self._discovery, self._health = node_proxy, discovery, health
        self._reviews, self._tokens, self._documents = reviews, tokens, documents
        self._components, self._clock = components, clock
        self._definitions, self._aggregator = definitions, aggregator

    async def __call__(self, request: Request) -> Response:
        info = request.info
        if request.path.startswith("//"):
            return text_response("404 page not found\n", 404)
        if (remote := remote_of(request.path, self._aggregator)) is not None:
            return await passed_on(request, remote)
        if info.is_resource:
            found = self._served.find(info.group, info.version, info.resource)
            if found is None and "." in info.group:
                await self._definitions.caught_up()  # another server may have told the client of it
                found = self._served.find(info.group, info.version, info.resource)
            if found is not None and found.definition is not None:
                found = self._custom(request, found, found.definition)
            if found is None:
                if not self._served.is_built_in(info.group):
                    return text_response("404 page not found\n", 404)
                raise errors.no_such_path()
            return await self._resource(request, found)
        if request.path.startswith(("/apis", "/openapi")):
            with contextlib.suppress(errors.ApiError, StorageError):  # then what we know is told
                await self._definitions.caught_up()
        if request.path.startswith("/openapi/v3/apis/"):
            parts = request.path.split("/")
            remote = self._aggregator.remote.get((parts[4], parts[5])) if len(parts) == 6 else None
            if remote is not None:
                return await passed_on(request, remote)
        answer = self._discovery.handle(request) or await self._health.handle(request)
        if answer is not None:
            return answer
        if request.path in self._documents:
            body, content_type = self._documents[request.path]
            return Response(200, body, content_type)
        if request.path in ("/", "/index.html"):
            paths = {*self._discovery.paths(), *self._health.paths(), *self._documents}
            return json_response({"paths": sorted(paths)})
        first, _, rest = request.path.strip("/").partition("/")
        if (first == "api" and rest) or (first == "apis" and self._discovery.knows(rest.partition("/")[0])):
            raise errors.no_such_path()
        return text_response("404 page not found\n", 404)

    @staticmethod
    def _custom(request: Request, res: Resource, kind: CustomKind) -> Resource | None:
        """A custom resource that can be asked so; None is as if it were not there."""
        info = request.info
        across = info.verb in ("list", "watch", "deletecollection")
        if bool(info.namespace) != res.namespaced and not (res.namespaced and across):
            return None
        if kind.deprecation:
            request.warnings.append(kind.deprecation)
        if info.verb == "create" and kind.terminating:
            error = errors.method_not_supported(res, info.verb)
            error.status["message"] = "create not allowed while custom resource definition is terminating"
            raise error
        if info.subresource and res.subresource(info.subresource) is None:
            raise errors.not_found(res, info.name)
        return res

    async def _resource(self, request: Request, res: Resource) -> Response:
        sub = request.info.subresource
        if request.info.namespace and not res.namespaced and res.plural != "namespaces":
            raise errors.no_such_path()
        if request.method == "HEAD" and sub != "proxy":
            raise errors.not_allowed()
        _check_path(request, res)
        if res.group_resource in DEPRECATED and _has_route(request, res):
            request.warnings.append(DEPRECATED[res.group_resource])
            told = (
                f'group="{res.group}",removed_release="",resource="{res.plural}",subresource="",version="{res.version}"'
            )
            self._health.metrics.set("apiserver_requested_deprecated_apis", 1, told)
        if not res.persisted:
            return await self._answered(request, res)
        if not sub:
            return await self._resources.handle(request, res)
        if sub == "proxy" or (res.plural == "pods" and sub in ("log", *STREAMS)):
            if res.subresource(sub) is None:
                raise errors.no_such_path()
            return await self._node_proxy.handle(request, res)
        if res.plural == "serviceaccounts" and sub == "token" and self._tokens is not None:
            return await self._tokens.create(request, res)
        return await self._subresources.handle(request, res)

    async def _answered(self, request: Request, res: Resource) -> Response:
        """Kinds that are posted and answered, never stored: reviews, bindings; and the old component statuses."""
        info = request.info
        if res.namespaced and not info.namespace:
            raise errors.no_such_path()
        if info.verb not in res.verbs:
            there = not info.name and (bool(info.namespace) == res.namespaced)
            raise errors.not_allowed() if there or res.plural == "componentstatuses" else errors.no_such_path()
        if res.plural == "bindings":
            return await self._subresources.bindings.create(request)
        if res.plural == "componentstatuses":
            return await self._component_statuses(request, res)
        return await self._reviews.create(request, res)

    async def _component_statuses(self, request: Request, res: Resource) -> Response:
        form, now = accepted(request.header("accept")), self._clock.now()
        items = await self._components()
        if request.info.verb == "get":
            found = next((c for c in items if c["metadata"]["name"] == request.info.name), None)
            if found is None:
                raise errors.failure(
                    404, "NotFound", f'componentstatus "{request.info.name}" not found',
                    {"name": request.info.name, "kind": "componentstatus"},
                )  # fmt: skip
            return forms.one(request, res, found, form, now)
        listed: dict[str, Any] = {"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": items}
        if form.form == "Table":
            listed = forms.table(request, res, items, now, "")
        return json_response(listed)


def _has_route(request: Request, res: Resource) -> bool:
    """Whether a handler is reached at all: before that nobody warns."""
    info = request.info
    named = info.verb in ("get", "update", "patch", "delete")
    if info.subresource or info.verb not in res.verbs or (named is not bool(info.name) and info.verb != "watch"):
        return False
    patch = info.verb != "patch" or request.header("content-type").partition(";")[0].strip() in TYPES
    return patch and routed(request.header("accept"))


def _check_path(request: Request, res: Resource) -> None:
    """Names that are none; objects of a namespace are listed across all, and nothing else. Raises ApiError."""
    info = request.info
    if info.verb in ("list", "watch"):
        return
    if res.persisted and res.namespaced and not info.namespace:
        raise errors.not_allowed() if info.verb in ("create", "deletecollection") else errors.no_such_path()
    if info.name and (wrong := names.path_segment(info.name)):
        raise errors.bad_request(f"Name parameter invalid: {errors.quote(info.name)}: {wrong[0]}")
