"""The chain that every request passes, as one list in upstream's order. Each link takes a handler and is a handler.

    request info  (server/info.py, filled in by server/app.py)
    (in time)     a deadline for what does not last by its nature   504
    authentication     who?                      401
    (wait for the indexes of a server that has just begun)
    audit              write down who asks what
    impersonation      as whom?                  403
    flow control       is there a seat?          429
    authorization      may he?                   403
    dispatch           discovery, health, or a resource's verb

What happens to a body behind the dispatch (decoding, defaulting, admission, validation) stands in registry/writer.py.

Upstream: apiserver/pkg/server/config.go, DefaultBuildHandlerChain.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import reduce

from workshop import trace
from workshop.api import errors
from workshop.api.errors import ApiError
from workshop.apiserver.audit.link import Audit
from workshop.apiserver.authentication.impersonation import Impersonation
from workshop.apiserver.authorization.modes import forbidden
from workshop.apiserver.interfaces import Attributes, Authenticator, Authorizer, Decision
from workshop.clock import Clock

from .handlers.metrics import Metrics
from .server.app import Handler
from .server.http import Request, Response
from .server.timeout import is_long, seconds_of

Link = Callable[[Handler], Handler]
_KNOWN = {name: f'username="{name}"' for name in ("admin", "system:anonymous", "kube-apiserver", "kubelet")}
"""Users that are counted by their names; there may be any number of others."""


def build(handler: Handler, links: list[Link]) -> Handler:
    """`links` from the outermost to the innermost, around `handler`."""
    return reduce(lambda inner, link: link(inner), reversed(links), handler)


def counted(metrics: Metrics, clock: Clock) -> Link:
    """Measure how many requests there are, how they end, and how long they take."""

    def link(inner: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            info, code, begun = request.info, 500, clock.monotonic()
            metrics.begin(info)
            response: Response | None = None
            try:
                response = await inner(request)
                code = response.status
                return response
            except ApiError as error:
                code = error.code
                raise
            finally:
                metrics.end(info, code, clock.monotonic() - begun, request.waited)
                if is_long(info):
                    if response is not None and response.stream is not None:
                        response.when_over.append(lambda: metrics.over(info))
                    else:
                        metrics.over(info)

        return handle

    return link


def in_time(most: float) -> Link:
    """A request that takes longer than it wants to (`?timeout=`), or than `most` seconds, is broken off. Raises
    ApiError 504."""

    def link(inner: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            if is_long(request.info) or (request.info.verb == "get" and not request.option("timeout")):
                return await inner(request)  # what waits in the reading of one object has limits of its own
            deadline = asyncio.timeout(seconds_of(request, most))
            try:
                async with deadline:
                    return await inner(request)
            except TimeoutError:
                if not deadline.expired():
                    raise
                raise errors.timeout("request did not complete within the allotted timeout") from None

        return handle

    return link


def authenticated(authenticator: Authenticator, metrics: Metrics, audit: Audit | None = None) -> Link:
    """Say whose request it is: `request.user`. Raises ApiError 401, which the audit log sees too."""

    def link(inner: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            try:
                with trace.step("apiserver.link", link="authentication") as told:
                    who = authenticator.authenticate(request.certificate, request.headers, request.path)
                    request.user = await who
                    told["user"], told["groups"] = request.user.name, request.user.groups
                metrics.count("authentication_attempts", 'result="success"')
                metrics.count("authenticated_user_requests", _KNOWN.get(request.user.name, 'username="other"'))
            except ApiError:
                metrics.count("authentication_attempts", 'result="failure"')
                if audit is not None:
                    await audit.refused(request)
                raise
            return await inner(request)

        return handle

    return link


def impersonated(authorizer: Authorizer, metrics: Metrics) -> Link:
    """The user whom the Impersonate headers name, if the caller may be him; all links behind see that one. Raises
    ApiError 403."""
    impersonation = Impersonation(authorizer)

    def link(inner: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            with trace.step("apiserver.link", link="impersonation") as told:
                caller = request.user
                if any(name.startswith("impersonate-") for name, _ in request.headers):
                    try:
                        request.user, constraint = await impersonation.of(attributes_of(request), request.headers)
                    except ApiError:
                        metrics.count("apiserver_impersonation_attempts_total", 'decision="denied",mode=""')
                        raise
                    mode = constraint.removeprefix("impersonate:") or "legacy"
                    if request.user is not caller:
                        metrics.count("apiserver_impersonation_attempts_total", f'decision="allowed",mode="{mode}"')
                    told["constraint"] = constraint
                told["user"] = request.user.name if request.user is not caller else ""
            if request.record is not None and request.user is not caller:
                request.record.impersonated(request.user, constraint)
            return await inner(request)

        return handle

    return link


def held_until(started: asyncio.Event, patience: float = 5.0) -> Link:
    """A new server knows no roles until its cache is filled. Whoever comes in these first milliseconds waits, rather
    than being refused what he may do; health checks are answered at once."""

    def link(inner: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            if not started.is_set() and request.info.is_resource:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(patience):
                        await started.wait()
            return await inner(request)

        return handle

    return link


def authorized(authorizer: Authorizer) -> Link:
    """Go on if the authorizers allow it. Raises ApiError 403 with their reason."""

    def link(inner: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            attributes = attributes_of(request)
            with trace.step("apiserver.link", link="authorization") as told:
                decision, reason = await authorizer.authorize(attributes)
                told["decision"], told["reason"] = decision.value, reason
            if request.record is not None:
                allowed = decision is Decision.ALLOW
                request.annotations["authorization.k8s.io/decision"] = "allow" if allowed else "forbid"
                request.annotations["authorization.k8s.io/reason"] = reason
            if decision is not Decision.ALLOW:
                raise forbidden(attributes, reason)
            return await inner(request)

        return handle

    return link


def also_allowed(authorizer: Authorizer) -> Callable[[Request, str], Awaitable[None]]:
    """For what needs another verb besides the request's own."""

    async def check(request: Request, verb: str) -> None:
        info = request.info
        decision, reason = await authorizer.authorize(replace(attributes_of(request), verb=verb))
        if decision is not Decision.ALLOW:
            raise errors.forbidden(f"{info.resource}.{info.group}".rstrip("."), info.name, reason)

    return check


def attributes_of(request: Request) -> Attributes:
    """What an authorizer judges of a request."""
    info = request.info
    selectors = info.verb in ("list", "watch", "deletecollection")
    return Attributes(
        user=request.user,
        verb=info.verb,
        api_group=info.group,
        api_version=info.version,
        resource=info.resource,
        subresource=info.subresource,
        namespace=info.namespace,
        name=info.name,
        resource_request=info.is_resource,
        path=info.path,
        field_selector=request.option("fieldSelector") if selectors else "",
        label_selector=request.option("labelSelector") if selectors else "",
    )
