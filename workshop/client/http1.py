"""HTTP/1.1 as this house needs it: kept-alive connections, whole answers, and streams that may last for hours.

    pool = Pool("https://10.7.254.1:6443", tls)
    answer = await pool.request("GET", "/version", {}, None)
    answer.status, await answer.read()

httptools cuts the bytes, asyncio carries them.

Why no library: a request costs aiohttp 1.7 times (with a body 2.5 times) and httpx 5 times the processor's time of
this module, and 9 and 11 MB of memory to import (1,000 requests over TLS with a client certificate, Python 3.11);
a stream that waits costs the same 50 KB with each. Eight processes of a cluster live on this client.

A kept-alive connection may have been closed by the server just as it was taken up again. As in Go's `net/http`
(`shouldRetryRequest` in `transport.go`) the request is then sent again on another one, if it was never written, or if
not one byte of an answer came and it may be repeated: GET, HEAD, OPTIONS, TRACE, or any with an Idempotency-Key. On a
fresh connection nothing is repeated.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit

import httptools

HIGH_WATER = 256 * 1024
"""Bytes of one answer that may wait for their reader; the socket is not read beyond."""
MAX_IDLE = 16
CONNECT_TIMEOUT = 10.0
REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
IDEMPOTENCY = frozenset({"idempotency-key", "x-idempotency-key"})


class Broken(ConnectionError):
    """The connection ended before the answer did. `unanswered`: not one byte of it had come; `unsent`: it was closed
    before anything was written."""

    def __init__(self, why: str, unanswered: bool = False, unsent: bool = False) -> None:
        super().__init__(why)
        self.unanswered, self.unsent = unanswered, unsent


class Headers(dict[str, str]):
    """By name in any case; of several of one name the last counts."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        return super().get(name.lower(), default)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())


class Answer:
    """One answer: its head is here, its body comes."""

    def __init__(self, connection: Connection) -> None:
        self.status = 0
        self.headers: Headers = Headers()
        self._connection = connection
        self._parts: deque[bytes] = deque()
        self._waiting = 0
        self.ended = False
        self.error: Broken | None = None

    # from the connection

    def feed(self, data: bytes) -> None:
        self._parts.append(data)
        self._waiting += len(data)
        if self._waiting > HIGH_WATER:
            self._connection.pause(True)

    # to the reader

    async def read(self) -> bytes:
        """The whole body. Raises Broken."""
        return b"".join([part async for part in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises Broken."""
        while True:
            if self._parts:
                data = self._parts.popleft() if len(self._parts) == 1 else b"".join(self._parts)
                self._parts.clear()
                self._waiting = 0
                self._connection.pause(False)
                yield data
            elif self.error is not None:
                raise self.error
            elif self.ended:
                return
            else:
                await self._connection.news()

    def close(self) -> None:
        """Give it up: the connection is cut unless the body has come to its end."""
        if not self.ended and self.error is None:
            self._connection.cut()


class Connection(asyncio.Protocol):
    """One connection: one request at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._head: Headers = Headers()
        self._waiter: asyncio.Future[None] | None = None
        self._heard = False
        self._method = ""
        self._paused = False
        self.closed = False

    async def request(self, method: str, head: bytes, body: bytes | None) -> Answer:
        """Send, and wait for the head of the answer. Raises Broken."""
        assert self._transport is not None
        if self.closed or self._transport.is_closing():
            raise Broken("the connection was closed while it was idle", unsent=True)
        answer = self._answer = Answer(self)
        self._heard, self._method = False, method
        self._transport.write(head + body if body else head)
        try:
            while not answer.status:
                if answer.error is not None:
                    raise answer.error
                await self.news()
        except BaseException:
            self.cut()
            raise
        return answer

    async def news(self) -> None:
        """Wait until something has come."""
        if self.closed:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def pause(self, wanted: bool) -> None:
        if wanted != self._paused and self._transport is not None and not self.closed:
            self._paused = wanted
            (self._transport.pause_reading if wanted else self._transport.resume_reading)()

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # asyncio's

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # nobody asked
            self.cut()
            return
        self._heard = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(Broken(f"malformed HTTP response: {error}"))
            self.cut()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._pool.forget(self)
        answer = self._answer
        if answer is not None and answer.status and _until_the_end(answer):
            self._finish(answer)
        else:
            self._fail(Broken(str(error or "EOF"), unanswered=not self._heard))
        self._wake()

    def _fail(self, error: Broken) -> None:
        if self._answer is not None and not self._answer.ended and self._answer.error is None:
            self._answer.error = error

    # the parser's

    def on_header(self, name: bytes, value: bytes) -> None:
        dict.__setitem__(self._head, name.decode("latin-1").lower(), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        status, answer = self._parser.get_status_code(), self._answer
        head, self._head = self._head, Headers()
        if answer is None or status < 200:
            return
        answer.status, answer.headers = status, head
        if self._method == "HEAD":
            self._finish(answer)
            self.cut()  # the parser waits for a body that will not come

    def on_body(self, data: bytes) -> None:
        if self._answer is not None:
            self._answer.feed(data)

    def on_message_complete(self) -> None:
        answer = self._answer
        if answer is None or not answer.status:
            return
        keep = self._parser.should_keep_alive()
        self._finish(answer)
        if keep:
            self._pool.take_back(self)
        else:
            self.cut()

    def _finish(self, answer: Answer) -> None:
        answer.ended = True
        self._answer = None
        self.pause(False)


class Pool:
    """Connections to one server."""

    def __init__(self, server: str, tls: ssl.SSLContext | None, server_name: str | None = None) -> None:
        url = urlsplit(server)
        secure = url.scheme == "https"
        self._host, self._port = url.hostname or "", url.port or (443 if secure else 80)
        self._prefix = url.path.rstrip("/")
        self._tls = (tls or ssl.create_default_context()) if secure else None
        self._server_name = (server_name or self._host) if secure else None
        self._authority = url.netloc.rpartition("@")[2]
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()

    async def request(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """Raises Broken, OSError, TimeoutError."""
        head = self._head(method, target, headers, body)
        while self._idle:
            try:
                return await self._idle.pop().request(method, head, body)
            except Broken as error:
                if not error.unsent and not (error.unanswered and may_be_repeated(method, headers)):
                    raise
        return await (await self._connect()).request(method, head, body)

    def _head(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
        lines = [f"{method} {self._prefix}{target} HTTP/1.1"]
        if "Host" not in headers:  # who was found by another name than he answers to says his own
            lines.append(f"Host: {self._authority}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None or method not in ("GET", "HEAD", "DELETE", "OPTIONS"):
            lines.append(f"Content-Length: {len(body or b'')}")
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a line break in a request's head")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, connection = await loop.create_connection(
                lambda: Connection(self), self._host, self._port, ssl=self._tls, server_hostname=self._server_name
            )
        self._all.add(connection)
        return connection

    def take_back(self, connection: Connection) -> None:
        if len(self._idle) < MAX_IDLE:
            self._idle.append(connection)
        else:
            connection.cut()

    def forget(self, connection: Connection) -> None:
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    async def close(self) -> None:
        """Cut all connections, streams included."""
        for connection in list(self._all):
            connection.cut()
        await asyncio.sleep(0)


def may_be_repeated(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a request does no harm when it is sent twice: by its method, or because it says so itself."""
    return method in REPEATABLE or any(name.lower() in IDEMPOTENCY for name in headers)


def _until_the_end(answer: Answer) -> bool:
    """Whether the body lasts until the connection ends: it has no length, and is not in chunks."""
    return "content-length" not in answer.headers and "transfer-encoding" not in answer.headers
