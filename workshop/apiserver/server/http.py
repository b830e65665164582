"""One request and one answer. Handlers see these; only `app` sees ASGI."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from uuid import uuid4

import msgspec

from workshop.api import errors
from workshop.apiserver.interfaces import UserInfo
from workshop.serving import Receive, Scope, Send

if TYPE_CHECKING:
    from workshop.apiserver.audit.event import Record
    from workshop.serving.exchange import Exchange

    from .info import RequestInfo

LARGEST = 1 << 63
MAX_BODY = 3 * 1024 * 1024
BODY_PATIENCE = 60.0
"""Seconds that a body may take to come."""
_PASSED_OVER = re.compile("%(?![0-9A-Fa-f]{2})|;")
"""What Go's parser of queries takes no parameter for."""
ANONYMOUS = UserInfo("system:anonymous", groups=("system:unauthenticated",))
encode = msgspec.json.encode


class Request:
    """What the links of the chain know of a request. `info` and `user` are filled in on the way.

    `record` is its audit record while there is one; `annotations` are what links and admission say for it.
    """

    info: RequestInfo

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self._receive, self.send = scope, receive, send
        self.method: str = scope.get("method", "GET")
        self.path: str = scope["path"]
        self.user = ANONYMOUS
        self.warnings: list[str] = []
        self.annotations: dict[str, str] = {}
        self.response_headers: list[tuple[str, str]] = []
        self.record: Record | None = None
        self.waited = 0.0  # seconds for a seat

    @cached_property
    def id(self) -> str:
        """The Audit-ID, which follows the request everywhere: the caller's own, or a new one."""
        return self.header("audit-id") or str(uuid4())

    def sent(self, obj: Any) -> None:
        """The body as it was understood, for the audit record."""
        if self.record is not None:
            self.record.requested(obj)

    @property
    def is_websocket(self) -> bool:
        return bool(self.scope["type"] == "websocket")

    @cached_property
    def headers(self) -> list[tuple[str, str]]:
        """Header lines in their order, names in lower case."""
        return [(k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in self.scope["headers"]]

    def header(self, name: str) -> str:
        """All values of a header, joined by commas; "" if there is none."""
        return ", ".join(v for k, v in self.headers if k == name)

    @cached_property
    def query(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        text = self.scope["query_string"].decode("latin-1")
        pairs = "&".join(each for each in text.split("&") if not _PASSED_OVER.search(each))
        for key, value in parse_qsl(pairs, keep_blank_values=True):
            found.setdefault(key, []).append(value)
        return found

    def option(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return self.query.get(name, [default])[0]

    def flag(self, name: str) -> bool:
        """A boolean parameter. Upstream takes any value but `false` and `0` for true."""
        return name in self.query and self.option(name).lower() not in ("false", "0")

    def number(self, name: str) -> int | None:
        """An integer parameter, None if absent. Raises ApiError 400."""
        if name not in self.query:
            return None
        text = self.option(name)
        if not re.fullmatch("[+-]?[0-9]+", text):
            raise errors.bad_request(f"strconv.ParseInt: parsing {errors.quote(text)}: invalid syntax")
        if len(text) > 20 or not -LARGEST <= (value := int(text)) < LARGEST:
            raise errors.bad_request(f"strconv.ParseInt: parsing {errors.quote(text)}: value out of range")
        return value

    @property
    def certificate(self) -> bytes | None:
        """The client's certificate in DER."""
        found: bytes | None = self.scope.get("extensions", {}).get("tls", {}).get("client_cert")
        return found

    @property
    def connection(self) -> Exchange | None:
        """What the client is connected by; None in the same process."""
        found: Exchange | None = self.scope.get("extensions", {}).get("connection")
        return found

    async def body(self, limit: int = MAX_BODY) -> bytes:
        """The whole body, as it was sent: nobody unpacks what a client packed. Raises ApiError 413 over `limit` bytes,
        500 if it breaks off, 504 if it does not come: who sends slowly would keep his seat for ever."""
        if self.connection is None or self.connection.complete:
            return await self._body(limit)
        try:
            async with asyncio.timeout(BODY_PATIENCE):
                return await self._body(limit)
        except TimeoutError:
            self.connection.keep_alive = False
            why = "Timeout: request did not complete within the allotted timeout"
            raise errors.failure(504, "Timeout", why, {}) from None

    async def _body(self, limit: int) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                why = self.connection.broken if self.connection is not None else ""
                raise errors.failure(500, "", why or "unexpected EOF")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise errors.request_entity_too_large(f"limit is {limit}")
            chunks.append(chunk)
            if not message.get("more_body"):
                break
        return b"".join(chunks)

    async def receive(self) -> Mapping[str, Any]:
        """The next ASGI message: what a client sends on a WebSocket, or that it has gone."""
        return await self._receive()


@dataclass
class Response:
    """An answer: whole, or `length` bytes in pieces that are made as they leave, or a stream of chunks."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: list[tuple[str, str]] = field(default_factory=list)
    stream: AsyncIterator[bytes] | None = None
    pieces: Iterator[bytes] | None = None
    length: int = 0
    when_over: list[Callable[[], None]] = field(default_factory=list)
    """What is called once a stream has ended, or its client has gone."""

    def whole(self) -> bytes:
        """The body, for who must see all of it."""
        if self.pieces is not None:
            self.body, self.pieces = b"".join(self.pieces), None
        return self.body


class Served(Response):
    """The answer has been sent by the handler itself (WebSockets, proxied streams)."""


def json_response(value: Any, status: int = 200, content_type: str = "application/json") -> Response:
    body = value if isinstance(value, bytes) else encode(value)
    return Response(status, body if body.endswith(b"\n") else body + b"\n", content_type)


def text_response(text: str, status: int = 200) -> Response:
    headers = [("X-Content-Type-Options", "nosniff")] if status >= 400 else []
    return Response(status, text.encode(), "text/plain; charset=utf-8", headers)


def error_response(error: errors.ApiError) -> Response:
    """The one place where a Status becomes an answer."""
    answer = json_response(error.status, error.code or 500)
    if error.retry_after:
        answer.headers.append(("Retry-After", str(error.retry_after)))
    return answer
