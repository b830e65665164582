"""How a request reaches the server: the `Transport` seam, and `http1` behind it (`websocket` for WebSockets).

A second transport, for an API server in the same process, is in `asgi`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakSet

from workshop import component

from . import http1

REQUEST_TIMEOUT = 60.0


class Unreachable(ConnectionError):
    """No answer: the connection was refused, or broke before the answer came. An OSError."""


class Response(Protocol):
    """An answer whose body may still be under way."""

    status: int
    headers: Mapping[str, str]

    async def read(self) -> bytes:
        """The whole body. Raises Unreachable when the connection breaks."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Ends where the body ends; raises Unreachable when the connection breaks."""
        ...

    def close(self) -> None:
        """Give the answer up; the connection is cut if the body was not read to its end."""
        ...


class WebSocket(Protocol):
    """An open WebSocket."""

    protocol: str

    async def send(self, data: bytes | str) -> None: ...

    async def receive(self) -> bytes | str | None:
        """The next message, or None when the other side has closed."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Refused:
    """The answer by which a server refused a WebSocket."""

    response: Response


class Transport(Protocol):
    """One server. `target` is a path with its query."""

    async def send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None, *, stream: bool = False
    ) -> Response: ...

    async def websocket(
        self, target: str, headers: Mapping[str, str], protocols: tuple[str, ...]
    ) -> WebSocket | Refused: ...

    async def close(self) -> None: ...


class HttpTransport:
    """HTTP/1.1 with one pool of kept-alive connections.

    `concurrency` bounds the requests under way (watches and other streams apart): five hundred creations at
    once share a few connections, not five hundred TLS handshakes.
    """

    def __init__(
        self, server: str, tls: ssl.SSLContext | None, *, server_name: str | None = None, concurrency: int = 16
    ) -> None:
        component.lean_tls()
        self._server, self._tls, self._server_name = server, tls, server_name
        self._gate = asyncio.Semaphore(concurrency)
        self._pool = http1.Pool(server, tls, server_name)
        self._sockets: WeakSet[WebSocket] = WeakSet()

    async def send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None, *, stream: bool = False
    ) -> Response:
        try:
            if stream:
                return _HttpResponse(await self._pool.request(method, target, headers, body), method, self._url(target))
            async with self._gate, asyncio.timeout(REQUEST_TIMEOUT):
                answer = await self._pool.request(method, target, headers, body)
                try:
                    return _WholeResponse(answer.status, answer.headers, await answer.read())
                finally:
                    answer.close()
        except (OSError, TimeoutError) as error:
            raise Unreachable(reason(method, self._url(target), error)) from error

    def _url(self, target: str) -> str:
        return self._server.rstrip("/") + target

    async def websocket(
        self, target: str, headers: Mapping[str, str], protocols: tuple[str, ...]
    ) -> WebSocket | Refused:
        from . import websocket

        opened = await websocket.connect(self._url(target), self._tls, self._server_name, headers, protocols)
        if isinstance(opened, int):
            # the refusal's body is lost there: ask once more without the upgrade, to hear the reason in words
            plain = await self.send("GET", target, headers, None)
            plain.status = opened
            return Refused(plain)
        self._sockets.add(opened)
        return opened

    async def close(self) -> None:
        for socket in list(self._sockets):
            await socket.close()
        self._sockets.clear()
        await self._pool.close()


def reason(method: str, url: str, error: BaseException) -> str:
    """`Get "https://127.0.0.1:6443/version": dial tcp: connection refused`, after Go's url.Error."""
    return f'{method.capitalize()} "{url.split("?")[0]}": {error or type(error).__name__}'


@dataclass
class _WholeResponse:
    status: int
    headers: Mapping[str, str]
    body: bytes

    async def read(self) -> bytes:
        return self.body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.body

    def close(self) -> None:
        return


class _HttpResponse:
    """A stream: the connection's errors become Unreachable."""

    def __init__(self, answer: http1.Answer, method: str, url: str) -> None:
        self._answer, self._method, self._url = answer, method, url
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers

    async def read(self) -> bytes:
        return b"".join([part async for part in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for data in self._answer.chunks():
                yield data
        except OSError as error:
            raise Unreachable(reason(self._method, self._url, error)) from error

    def close(self) -> None:
        self._answer.close()
