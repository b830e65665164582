"""One request and its answer: what `http1.Connection` reads, and ASGI's `receive` and `send`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from .asgi import App, Message, Scope

if TYPE_CHECKING:
    from .head import Head
    from .http1 import Connection

logger = logging.getLogger(__name__)

PIECE = 64 * 1024
"""Bytes of a body that are written, or read ahead, at a time."""
MOST_UNREAD = 256 * 1024
"""Bytes of a body that nobody asked for, which are read for the sake of the request behind them."""
_STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_OLD_STATUS = {code: line.replace(b"HTTP/1.1", b"HTTP/1.0") for code, line in _STATUS.items()}
_NO_BODY = (204, 304)


class Exchange:
    """A request and its answer: ASGI's `receive` and `send`. It stands in the scope as the extension `connection`."""

    def __init__(self, connection: Connection, scope: Scope, asked: Head) -> None:
        self._connection, self._scope, self.keep_alive = connection, scope, asked.keep_alive
        self._old = asked.old
        self._body = bytearray()
        self._unread = 0  # what of it has come when nobody wanted it any more
        self._news: asyncio.Future[None] | None = None
        self._gone: Callable[[], None] | None = None
        self._head = b""
        self._told = self._started = self._chunked = False
        self._endless = False  # the body ends where the connection ends
        self._left = 0  # bytes of the body that the head has promised
        self._silent = self._waits = asked.expects  # the client has not been told to go on; it was waiting for that
        self.complete = False
        """All of the request has come."""
        self.broken = ""
        """Why the rest of the body will never come."""
        self.done = False
        """All of the answer has gone."""

    async def run(self, app: App) -> None:
        try:
            await app(self._scope, self.receive, self.send)
            if self.done or self._connection.gone:
                return
            if not self._connection.over:
                raise RuntimeError("the app has not answered")
            if self._chunked:  # who had left was not told everything, but what he was told is whole
                self._connection.transport.write(b"0\r\n\r\n")
            self._connection.transport.close()
        except Exception:
            logger.exception("%s %s", self._scope["method"], self._scope["path"])
            await self._failed()

    async def _failed(self) -> None:
        if self._started:
            self._connection.transport.close()
            return
        self.keep_alive = False
        why = b"Internal Server Error"
        length = (b"content-length", b"%d" % len(why))
        await self.send({"type": "http.response.start", "status": 500, "headers": [length]})
        await self.send({"type": "http.response.body", "body": why})

    # --- the request

    def take(self, body: bytes, complete: bool) -> None:
        self.complete = complete
        if self.done:
            self._unread += len(body)
            if self._unread > MOST_UNREAD:
                self._connection.hang_up()
            return
        self._body += body
        if len(self._body) > PIECE:
            self._connection.read(False)
        self.wake()

    def break_off(self, why: str) -> None:
        self.broken, self.keep_alive = why, False
        self.wake()

    def lost(self) -> None:
        self.wake()
        if self._gone is not None:
            self._gone()

    def when_gone(self, call: Callable[[], None] | None) -> None:
        """Call this when the client goes away while its answer is being sent: cheaper than a task that receives."""
        self._gone = call
        if self._leaves and call is not None:
            call()
        elif call is not None:
            self._connection.read(True)  # or nothing would tell

    def push(self, data: bytes) -> bool:
        """A chunk of a stream, written now and by whoever has it; False if the client takes no more just now."""
        connection = self._connection
        if not self._chunked or self._head or self.done or connection.gone or not connection.takes:
            return False
        connection.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return True

    def abort(self) -> None:
        """Cut the connection off, whatever is still on its way."""
        self._connection.transport.abort()

    def wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    @property
    def _leaves(self) -> bool:
        """Nobody is there any more, or he waits for nothing but this answer."""
        return self._connection.gone or self._connection.over

    @property
    def _news_there(self) -> bool:
        return not self._told and bool(self._body or self.complete)

    async def receive(self) -> Message:
        connection = self._connection
        if self._silent and not connection.gone:
            connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._silent = False
        while not (self._news_there or self._leaves or self.done or self.broken):
            connection.read(True)
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        if connection.gone or self.done or not self._news_there:
            return {"type": "http.disconnect"}
        body, self._body, self._told = bytes(self._body), bytearray(), self.complete
        return {"type": "http.request", "body": body, "more_body": not self.complete}

    # --- the answer

    async def send(self, message: Message) -> None:
        if self._connection.gone:
            return
        if not self._started:
            self._started = True
            self._head = self._begun(message["status"], message.get("headers", ()))
            if self._chunked or self._endless:
                await self._connection.write(self._head)
                self._head = b""
            return
        if self.done:
            raise RuntimeError("the answer is over")
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._scope["method"] == "HEAD":
            body, self._left = b"", 0
        if self._chunked:
            end = b"" if more else b"0\r\n\r\n"
            await self._write(b"%x\r\n%b\r\n%b" % (len(body), body, end) if body else end)
        elif self._endless:
            await self._write(body)
        else:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError(f"the body is not as long as its head says: {-self._left} bytes more")
            await self._write(body)
        if not more:
            self.done = True
            self.wake()
            self._connection.ended(self)

    def _begun(self, status: int, headers: Any) -> bytes:
        """The head's bytes."""
        lines, length = [_OLD_STATUS[status] if self._old else _STATUS[status]], None
        for name, value in headers:
            if b"\n" in value or b"\r" in value:
                raise RuntimeError(f"a header's value has a line break: {name!r}")
            if name == b"content-length":
                length = int(value)
            elif name == b"connection" and b"close" in value.lower():
                self.keep_alive = False
                continue
            lines.append(b"%b: %b\r\n" % (name, value))
        bodiless = status in _NO_BODY or self._scope["method"] == "HEAD"
        if (self._waits and not self._told) or self._connection.unread >= MOST_UNREAD:
            self.keep_alive = False
        if length is not None:
            self._left = length
        elif not bodiless and self._old:
            self.keep_alive, self._endless = False, True
        elif not bodiless:
            self._chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        if self._old == self.keep_alive:  # what is the rule need not be said
            lines.append(b"connection: keep-alive\r\n" if self._old else b"connection: close\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)

    async def _write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        if len(data) <= PIECE:
            await self._connection.write(data)
            return
        whole = memoryview(data)
        for start in range(0, len(data), PIECE):
            if self._connection.gone:
                return
            await self._connection.write(whole[start : start + PIECE])
