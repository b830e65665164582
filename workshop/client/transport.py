"""How a request reaches the server: the `Transport` seam, and aiohttp behind it.

A second transport, for an API server in the same process, is in `asgi`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from workshop import component

CONNECT_TIMEOUT = 10.0
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
    """aiohttp with one pool of kept-alive connections.

    `concurrency` bounds the requests under way (watches and other streams apart): five hundred creations at
    once share a few connections, not five hundred TLS handshakes.
    """

    def __init__(
        self, server: str, tls: ssl.SSLContext | None, *, server_name: str | None = None, concurrency: int = 16
    ) -> None:
        self._server = server
        self._tls = tls
        self._server_name = server_name
        self._gate = asyncio.Semaphore(concurrency)
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            component.lean_tls()
            connector = aiohttp.TCPConnector(
                ssl=self._tls if self._tls is not None else False, limit=0, keepalive_timeout=90, use_dns_cache=False
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept-Encoding", "User-Agent", "Content-Type"),
            )
        return self._session

    async def send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None, *, stream: bool = False
    ) -> Response:
        if stream:
            return await self._send(method, target, headers, body, None)
        async with self._gate:
            response = await self._send(method, target, headers, body, REQUEST_TIMEOUT)
            await response.read()
            return response

    async def _send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None, timeout: float | None
    ) -> _HttpResponse:
        from yarl import URL

        try:
            answer = await self._open().request(
                method,
                URL(self._server + target, encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
                server_hostname=self._server_name,
                timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_TIMEOUT),
            )
        except (aiohttp.ClientConnectionError, TimeoutError) as error:
            raise Unreachable(_reason(method, self._server + target, error)) from error
        return _HttpResponse(answer)

    async def websocket(
        self, target: str, headers: Mapping[str, str], protocols: tuple[str, ...]
    ) -> WebSocket | Refused:
        from yarl import URL

        try:
            socket = await self._open().ws_connect(
                URL(self._server + target, encoded=True),
                headers=dict(headers),
                protocols=protocols,
                server_hostname=self._server_name,
                max_msg_size=0,
            )
        except aiohttp.WSServerHandshakeError as error:
            # aiohttp has thrown the body away: ask once more without the upgrade, to hear the reason in words.
            plain = await self._send("GET", target, headers, None, REQUEST_TIMEOUT)
            await plain.read()
            plain.status = error.status
            return Refused(plain)
        except (aiohttp.ClientConnectionError, TimeoutError) as error:
            raise Unreachable(_reason("GET", self._server + target, error)) from error
        return _HttpWebSocket(socket)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _reason(method: str, url: str, error: BaseException) -> str:
    """`Get "https://127.0.0.1:6443/version": dial tcp: connection refused`, after Go's url.Error."""
    return f'{method.capitalize()} "{url.split("?")[0]}": {error or type(error).__name__}'


class _HttpResponse:
    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers

    async def read(self) -> bytes:
        try:
            return await self._answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(_reason(self._answer.method, str(self._answer.url), error)) from error

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            while data := await self._answer.content.readany():
                yield data
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise Unreachable(_reason(self._answer.method, str(self._answer.url), error)) from error

    def close(self) -> None:
        self._answer.close()


class _HttpWebSocket:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.protocol = socket.protocol or ""

    async def send(self, data: bytes | str) -> None:
        try:
            if isinstance(data, str):
                await self._socket.send_str(data)
            else:
                await self._socket.send_bytes(data)
        except (aiohttp.ClientConnectionError, ConnectionError) as error:
            raise Unreachable(f"websocket: {error}") from error

    async def receive(self) -> bytes | str | None:
        message = await self._socket.receive()
        if message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
            data: bytes | str = message.data
            return data
        return None

    async def close(self) -> None:
        await self._socket.close()
