"""The link that opens the record of a request after authentication and closes it when the last byte is out.

Upstream: `apiserver/pkg/endpoints/filters/{audit,authn_audit}.go`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any

from workshop import trace
from workshop.api import codec, errors
from workshop.api.errors import ApiError
from workshop.api.meta import Obj
from workshop.apiserver.interfaces import Attributes
from workshop.apiserver.server.app import Handler
from workshop.apiserver.server.http import Request, Response, Served
from workshop.clock import Clock

from .backends import Unrecorded
from .event import Record
from .policy import Level, Policy

Sink = Callable[[Obj], Awaitable[None]]
LONG_VERBS = frozenset({"watch", "proxy"})
NO_CREDENTIALS = "Authentication failed, no credentials provided"
LONG_SUBRESOURCES = frozenset({"attach", "exec", "proxy", "log", "portforward"})


class Audit:
    """Records requests by `policy` into `sink`, which raises Unrecorded when it must and cannot."""

    def __init__(self, policy: Policy, sink: Sink, clock: Clock, attributes: Callable[[Request], Attributes]) -> None:
        self._policy, self._sink, self._clock, self._attributes = policy, sink, clock, attributes
        self._late: set[asyncio.Future[None]] = set()

    def link(self, inner: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            record = self._open(request)
            if record is None:
                return await inner(request)
            request.record = record
            with trace.step("apiserver.link", link="audit", level=record.event["level"]):
                await self._received(request, record)
            long = request.info.verb in LONG_VERBS or request.info.subresource in LONG_SUBRESOURCES
            if request.is_websocket:
                self._watch_handshake(request, record)
            try:
                response = await inner(request)
            except ApiError as error:
                record.answered(error.code, error.status)
                await self._write(request, record, "ResponseComplete")
                raise
            except Exception:
                record.answered(500, errors.internal("this is an internal error").status)
                await self._write(request, record, "Panic")
                raise
            if isinstance(response, Served):
                record.event.setdefault("responseStatus", {"metadata": {}, "code": response.status})
                await self._write(request, record, "ResponseComplete")
                return response
            record.answered(response.status, _object(response, record))
            if long:
                await self._write(request, record, "ResponseStarted")
            if response.stream is not None:
                response.when_over.append(lambda: self._write_late(request, record))
            else:
                await self._write(request, record, "ResponseComplete")
            return response

        return handle

    async def refused(self, request: Request) -> None:
        """A request that authentication turned away is recorded too, as whoever it was."""
        record = self._open(request)
        if record is None:
            return
        record.event["responseStatus"] = {"metadata": {}, "message": _attempted(request), "code": 401}
        await self._write(request, record, "ResponseStarted")

    def _open(self, request: Request) -> Record | None:
        asked = self._attributes(request)
        verdict = self._policy.judge(asked)
        if verdict.level is Level.NONE:
            return None
        query = request.scope["query_string"].decode("latin-1")
        uri = request.path + (f"?{query}" if query else "")
        return Record(
            request.id, verdict, asked, uri, request.header("user-agent"), _sources(request), self._clock.now()
        )

    async def _received(self, request: Request, record: Record) -> None:
        """A request that cannot be recorded is not done. Raises ApiError (500)."""
        event = record.stage("RequestReceived", self._clock.now(), request.annotations)
        if event is not None:
            try:
                await self._sink(event)
            except Unrecorded:
                raise errors.internal("failed to store audit event") from None

    async def _write(self, request: Request, record: Record, stage: str) -> None:
        """What has been done cannot be undone: that its record is missing is told in the log."""
        event = record.stage(stage, self._clock.now(), request.annotations)
        if event is not None:
            with contextlib.suppress(Unrecorded):
                await self._sink(event)

    def _write_late(self, request: Request, record: Record) -> None:
        """The end of a stream, for which nobody waits."""
        writing = asyncio.ensure_future(self._write(request, record, "ResponseComplete"))
        self._late.add(writing)
        writing.add_done_callback(self._late.discard)

    def _watch_handshake(self, request: Request, record: Record) -> None:
        """A WebSocket is answered by its handler: its acceptance is the answer's start."""
        send = request.send

        async def observed(message: Any) -> None:
            if message["type"] == "websocket.accept":
                record.answered(101)
                await self._write(request, record, "ResponseStarted")
            await send(message)

        request.send = observed


def _object(response: Response, record: Record) -> Any:
    """The answer as JSON, where the record tells it."""
    failed = response.status >= 400
    wanted = failed or record.verdict.level >= Level.REQUEST_RESPONSE
    if not wanted or response.stream is not None or not response.content_type.startswith("application/json"):
        return None
    body = response.whole()
    return codec.loads(body) if body else None


def _attempted(request: Request) -> str:
    """Which kinds of credentials were shown."""
    kind, space, _ = request.header("authorization").strip().partition(" ")
    methods = [kind.lower()] if space and kind.lower() in ("basic", "bearer") else []
    if request.option("access_token").strip():
        methods.append("access_token")
    if request.certificate is not None:
        methods.append("x509")
    return f"Authentication failed, attempted: {', '.join(methods)}" if methods else NO_CREDENTIALS


def _sources(request: Request) -> list[str]:
    """Where it came from: what proxies say, then who is connected."""
    forwarded = [part.strip() for part in request.header("x-forwarded-for").split(",")]
    found = [part for part in forwarded if _is_address(part)]
    if not found and _is_address(request.header("x-real-ip")):
        found = [request.header("x-real-ip")]
    client = (request.scope.get("client") or ("",))[0]
    if _is_address(client) and found[-1:] != [client]:
        found.append(client)
    return found


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
