"""HTTP/1.1 for short answers: `/health`, `/metrics`, `/version`. Source: RFC 9112."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, NamedTuple, cast

#: Bytes of a request's head and body that are read; longer ones are refused.
HEAD_LIMIT, BODY_LIMIT = 1 << 16, 2 << 20


class Request(NamedTuple):
    """`path` is without the query, header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    secure: bool


class Response(NamedTuple):
    status: int
    content_type: str
    body: bytes


Handler = Callable[[Request], Awaitable[Response]]


def parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    """(method, target, headers). Raises ValueError."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, version = first.split(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise ValueError(f"not HTTP/1: {first!r}")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"not a header: {line!r}")
        headers[name.lower()] = value.strip()
    return method, target, headers


class Http1(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self, handler: Handler, open_connections: set[Any]) -> None:
        self._handler, self._open = handler, open_connections
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)

    def shutdown(self) -> None:
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._open.discard(self)
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is None:
            self._next()

    def _next(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_LIMIT:
                self._reject()
            return
        try:
            method, target, headers = parse_head(bytes(self._buffer[:end]))
            length = int(headers.get("content-length", "0"))
        except ValueError:
            self._reject()
            return
        if not 0 <= length <= BODY_LIMIT or "transfer-encoding" in headers:
            self._reject()
            return
        if len(self._buffer) < end + 4 + length:
            return
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        path, _, query = target.partition("?")
        request = Request(method, path, query, headers, body, self._transport.get_extra_info("ssl_object") is not None)
        self._task = asyncio.get_running_loop().create_task(self._answer(request))

    def _reject(self) -> None:
        self._write(Response(400, "text/plain; charset=utf-8", b"400 Bad Request"), close=True, head_only=False)
        self._transport.close()

    async def _answer(self, request: Request) -> None:
        response = await self._handler(request)
        close = request.headers.get("connection", "").lower() == "close"
        self._write(response, close, request.method == "HEAD")
        self._task = None
        if close:
            self._transport.close()
        else:
            self._next()

    def _write(self, response: Response, close: bool, head_only: bool) -> None:
        status, kind, body = response
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
            *(["Connection: close"] if close else []),
        ]
        self._transport.write("\r\n".join([*lines, "", ""]).encode() + (b"" if head_only else body))
