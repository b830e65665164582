"""HTTP/1.1 for an ASGI app: one connection, on which requests are answered one after the other.

A head and the body that comes with it leave in one write. A large body goes out piece by piece, each when the one
before has been taken, so a client that reads slowly costs one piece and not a copy of the whole answer; a body that
comes in is read no further than the app asks. What is no HTTP gets 400, a head that is too large 431, and one that
takes too long to come ends the connection, as Go's server does it.

Upgrades to WebSocket go on in uvicorn's protocol. Upstream: Go's `net/http/server.go`.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httptools

from .asgi import App
from .exchange import PIECE, Exchange

BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
HEAD_LIMIT = (1 << 20) + 4096
HEAD_PATIENCE = 32.0
"""Seconds from the first byte of a request to the end of its head."""
IDLE = 3600.0
"""Seconds that a connection may be open without a request. Upstream's are 90; who writes once in some minutes shall not
pay a handshake each time."""
Upgrade = Callable[["Connection", bytes], None]


class Open:
    """What is open at a server: connections, and the tasks that answer."""

    def __init__(self) -> None:
        self.connections: set[Any] = set()
        self.tasks: set[asyncio.Task[None]] = set()


class Connection(asyncio.Protocol):
    """`upgrade` takes the connection over from a request that asks for WebSocket; it gets the head's bytes."""

    transport: asyncio.Transport

    def __init__(self, app: App, opened: Open, upgrade: Upgrade) -> None:
        self._app, self._open, self._upgrade = app, opened, upgrade
        self._parser: Any = httptools.HttpRequestParser(self)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)  # what comes after the last is ignored
        self._waiting: deque[Exchange] = deque()
        self._reading: Exchange | None = None  # whose body is coming
        self._answering: Exchange | None = None
        self._url, self._headers = b"", list[tuple[bytes, bytes]]()
        self._in_head, self._head_size = False, 0
        self._impatient: asyncio.TimerHandle | None = None
        self._rests_since = 0.0  # when the last answer was given
        self._tired: asyncio.TimerHandle | None = None
        self._reads, self._writes = True, asyncio.Event()
        self._writes.set()
        self.gone = False

    # --- from the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=PIECE)
        self._open.connections.add(self)
        tls = transport.get_extra_info("ssl_object")
        self._fixed: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "server": _address(transport.get_extra_info("sockname")),
            "client": _address(transport.get_extra_info("peername")),
            "scheme": "http" if tls is None else "https",
            "root_path": "",
        }
        self._certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        self._rest()

    def _rest(self) -> None:
        """From now on nothing is to do here. One timer looks now and then whether it has been so for too long."""
        loop = asyncio.get_running_loop()
        self._rests_since = loop.time()
        if self._tired is None:
            self._tired = loop.call_later(IDLE, self._look)

    def _look(self) -> None:
        loop, self._tired = asyncio.get_running_loop(), None
        if self._answering is not None or self._in_head:
            return  # `_rest` comes after it
        if (left := self._rests_since + IDLE - loop.time()) > 0:
            self._tired = loop.call_later(left, self._look)
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.gone = True
        if self._tired is not None:
            self._tired.cancel()
        self._open.connections.discard(self)
        self._patient()
        self._writes.set()
        for exchange in (self._reading, self._answering, *self._waiting):
            if exchange is not None:
                exchange.lost()
        self._waiting.clear()
        self._parser = None

    def pause_writing(self) -> None:
        self._writes.clear()

    def resume_writing(self) -> None:
        self._writes.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if _wants_websocket(self._headers):
                self._hand_over()
        except httptools.HttpParserError:
            self._refuse(b"400 Bad Request")
        else:
            if self._in_head:
                self._more_head(len(data))

    def _more_head(self, size: int) -> None:
        """A head that did not come at once: it may take some time and some memory, not more."""
        self._head_size += size
        if self._head_size > HEAD_LIMIT:
            self._refuse(b"431 Request Header Fields Too Large")
        elif self._impatient is None:
            self._impatient = asyncio.get_running_loop().call_later(HEAD_PATIENCE, self.transport.abort)

    def _refuse(self, status: bytes) -> None:
        """What is no HTTP. An answer that is under way is cut off."""
        head = b"HTTP/1.1 %b\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" % status
        if self._answering is None:
            self.transport.write(head + status)
        self.transport.close()

    def _hand_over(self) -> None:
        self._patient()
        if self._tired is not None:
            self._tired.cancel()
        self._open.connections.discard(self)
        lines = [b"%b: %b\r\n" % header for header in self._headers]
        method = self._parser.get_method()
        self._upgrade(self, b"%b %b HTTP/1.1\r\n%b\r\n" % (method, self._url, b"".join(lines)))

    def close_when_answered(self) -> None:
        """No more requests here."""
        if self._answering is None:
            self.transport.close()
        else:
            self._answering.keep_alive = False

    # --- from the parser

    def on_message_begin(self) -> None:
        self._url, self._headers = b"", []
        self._in_head, self._head_size = True, 0

    def _patient(self) -> None:
        if self._impatient is not None:
            self._impatient.cancel()
            self._impatient = None

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._patient()
        parser = self._parser
        if parser.should_upgrade() and _wants_websocket(self._headers):
            return
        url = httptools.parse_url(self._url)  # raises HttpParserError
        path = url.path.decode("ascii")
        if "%" in path and BAD_ESCAPE.search(path):
            raise httptools.HttpParserError("invalid URL escape")
        version = parser.get_http_version()
        scope = {
            **self._fixed,
            "http_version": version,
            "method": parser.get_method().decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "raw_path": url.path,
            "query_string": url.query or b"",
            "headers": self._headers,
            "extensions": {"tls": {"client_cert": self._certificate}},
            "state": {},
        }
        another = version != "1.0" and parser.should_keep_alive() and not parser.should_upgrade()
        exchange = Exchange(self, scope, another)  # after an upgrade that nobody takes up the parser reads no more
        scope["extensions"]["connection"] = exchange
        self._reading = exchange
        if self._answering is None:
            self._begin(exchange)
        else:
            self._waiting.append(exchange)
            self.read(False)

    def on_body(self, body: bytes) -> None:
        exchange = self._reading
        if exchange is not None and not exchange.done:
            exchange.take(body)

    def on_message_complete(self) -> None:
        exchange, self._reading = self._reading, None
        if exchange is not None:
            exchange.complete = True
            exchange.wake()

    # --- for its exchanges

    def _begin(self, exchange: Exchange) -> None:
        self._answering = exchange
        task = asyncio.get_running_loop().create_task(exchange.run(self._app))
        self._open.tasks.add(task)
        task.add_done_callback(self._open.tasks.discard)

    def ended(self, exchange: Exchange) -> None:
        """The answer is on its way; the next request is served, if there is one. A body that nobody read runs dry."""
        self._answering = None
        if self.gone or self.transport.is_closing():
            return
        if not exchange.keep_alive or exchange.expects:  # who waited for a word to go on need not send his body
            self.transport.close()
        elif self._waiting:
            self._begin(self._waiting.popleft())
        else:
            self._rest()
            self.read(True)

    def read(self, on: bool) -> None:
        if on != self._reads and not self.gone:
            self._reads = on
            if on:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    @property
    def takes(self) -> bool:
        """Whether there is room for more."""
        return self._writes.is_set()

    async def write(self, data: bytes | memoryview) -> None:
        """Returns when there is room for more."""
        self.transport.write(data)
        if not self._writes.is_set():
            await self._writes.wait()


def _wants_websocket(headers: list[tuple[bytes, bytes]]) -> bool:
    found = dict(headers)
    tokens = [token.strip() for token in found.get(b"connection", b"").lower().split(b",")]
    return b"upgrade" in tokens and found.get(b"upgrade", b"").lower() == b"websocket"


def _address(found: Any) -> tuple[str, int] | None:
    return (str(found[0]), int(found[1])) if isinstance(found, tuple) and len(found) > 1 else None
