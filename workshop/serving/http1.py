"""HTTP/1.1 for an ASGI app: one connection, on which requests are answered one after the other.

A head and the body that comes with it leave in one write. A large body goes out piece by piece, each when the one
before has been taken, so a client that reads slowly costs one piece and not a copy of the whole answer; a body that
comes in is read no further than the app asks. What is no HTTP is refused in Go's words (`head.py`), a head that is too
large gets 431, and one that takes too long to come ends the connection.

A client may close its half once it has asked: it gets its answer. Who still waits for something to happen (a watch) is
told that the client has gone. Upgrades to WebSocket go on in uvicorn's protocol. Upstream: Go's `net/http/server.go`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from . import head
from .asgi import App, Receive, Scope, Send
from .chunks import Chunks, Malformed
from .exchange import PIECE, Exchange
from .head import Head, Refused

HEAD_LIMIT = (1 << 20) + 4096
HEAD_PATIENCE = 32.0
"""Seconds from the first byte of a request, or from the beginning of a connection, to the end of its first head."""
IDLE = 3600.0
"""Seconds that a connection may be open without another request. Upstream's are 90; who writes once in some minutes
shall not pay a handshake each time."""
FAREWELL = 0.5
"""Seconds for a client that is still sending to read why nobody listens: a socket that is closed on what comes in takes
back what it sent."""
Upgrade = Callable[["Connection", bytes], None]
Streams = Callable[[Head], bool]


class Open:
    """What is open at a server: connections, and the tasks that answer."""

    def __init__(self) -> None:
        self.connections: set[Any] = set()
        self.tasks: set[asyncio.Task[None]] = set()


class Connection(asyncio.Protocol):
    """`upgrade` takes the connection over from a request that asks for WebSocket; it gets the head's bytes. What
    `streams` says no to is answered like any other request."""

    transport: asyncio.Transport

    def __init__(self, app: App, opened: Open, upgrade: Upgrade, streams: Streams) -> None:
        self._app, self._open, self._upgrade, self._streams = app, opened, upgrade, streams
        self._came = bytearray()
        """What has come and is nobody's yet."""
        self._looked = 0  # so far there is no end of a head in it
        self._reading: Exchange | None = None  # whose body is coming
        self._left: int | Chunks = 0  # how much of it
        self._answering: Exchange | None = None
        self._impatient: asyncio.TimerHandle | None = None
        self._rests_since = 0.0  # when the last answer was given
        self._tired: asyncio.TimerHandle | None = None
        self._reads, self._writes = True, asyncio.Event()
        self._writes.set()
        self._deaf = False  # nothing that comes is read any more
        self._after_post = False
        self.over = False
        """The client sends no more, but may still be reading."""
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
        self._impatient = asyncio.get_running_loop().call_later(HEAD_PATIENCE, transport.abort)

    def _rest(self) -> None:
        """From now on nothing is to do here. One timer looks now and then whether it has been so for too long."""
        loop = asyncio.get_running_loop()
        self._rests_since = loop.time()
        if self._tired is None:
            self._tired = loop.call_later(IDLE, self._look)

    def _look(self) -> None:
        loop, self._tired = asyncio.get_running_loop(), None
        if self._answering is not None or self._impatient is not None:
            return  # `_rest` comes after it
        if (left := self._rests_since + IDLE - loop.time()) > 0:
            self._tired = loop.call_later(left, self._look)
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.gone = self._deaf = True
        if self._tired is not None:
            self._tired.cancel()
        self._open.connections.discard(self)
        self._patient()
        self._writes.set()
        if self._answering is not None:
            self._answering.lost()
        self._came.clear()

    def eof_received(self) -> bool:
        """The client has closed its half. True: we go on writing."""
        self.over = True
        exchange = self._answering
        if exchange is None or self._deaf:
            if self._came and not self._deaf:
                self._refuse(Refused())
            return False
        if self._reading is not None:
            self._broken("unexpected EOF")
        exchange.lost()
        return True

    def pause_writing(self) -> None:
        self._writes.clear()

    def resume_writing(self) -> None:
        self._writes.set()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._reading is not None and not self._came:
            data = self._body(data)
        if data:
            self._came += data
            self._go_on()

    def _go_on(self) -> None:
        """Whatever can be done with what has come: a request begins when the one before has been answered."""
        while self._came and not self._deaf:
            if self._reading is not None:
                data, self._came = bytes(self._came), bytearray()
                self._came += self._body(data)
            elif self._answering is not None:
                if len(self._came) > PIECE:
                    self.read(False)
                return
            elif not self._begun():
                return

    def _begun(self) -> bool:
        """Whether a whole head was there."""
        came = self._came
        if self._after_post and came[0] in b"\r\n":  # some old clients send a line's end more than they say
            del came[: 4 - len(came[:4].ljust(4).lstrip(b"\r\n"))]
            self._after_post = False
            return bool(came)
        end = head.END.search(came, max(0, self._looked - 2))
        try:
            if (len(came) if end is None else end.end()) > HEAD_LIMIT:
                raise Refused("431 Request Header Fields Too Large")
            if end is None:
                self._more_head()
                return False
            raw = bytes(came[: end.end()])
            del came[: end.end()]
            self._looked = 0
            self._patient()
            self._request(head.parse(raw), raw)
        except Refused as refused:
            self._refuse(refused)
        return True

    def _more_head(self) -> None:
        """A head that did not come at once: it may take some time, and must begin like one."""
        came = self._came
        if self._looked == 0 or b"\n" not in came[: self._looked]:
            line = came.find(b"\n", self._looked)
            if line >= 0:
                head.request_line(bytes(came[:line]).removesuffix(b"\r"))
        self._looked = len(came)
        if self._impatient is None:
            self._impatient = asyncio.get_running_loop().call_later(HEAD_PATIENCE, self.transport.abort)

    def _patient(self) -> None:
        if self._impatient is not None:
            self._impatient.cancel()
            self._impatient = None

    def _refuse(self, refused: Refused) -> None:
        """What is no HTTP."""
        self.transport.write(refused.answer)
        self.hang_up()

    def hang_up(self, client_talks: bool = True) -> None:
        """Say no more. A client that is still talking itself gets the time to read what was said."""
        self._deaf, self._reading = True, None
        self._came.clear()
        self._patient()
        if self.over or not client_talks:
            self.transport.close()
            return
        self.transport.write_eof()
        self.read(True)
        self._impatient = asyncio.get_running_loop().call_later(FAREWELL, self._leave)

    def _leave(self) -> None:
        if self.transport.get_write_buffer_size():  # he reads slowly, but he reads
            self._impatient = asyncio.get_running_loop().call_later(FAREWELL, self._leave)
        else:
            self.transport.abort()

    def close_when_answered(self) -> None:
        """No more requests here."""
        if self._answering is None:
            self.transport.close()
        else:
            self._answering.keep_alive = False

    # --- a request

    def _request(self, asked: Head, raw: bytes) -> None:
        self._after_post = asked.method == "POST"
        if _wants_websocket(asked) and self._streams(asked):
            self._hand_over(asked, raw)
            return
        scope = {
            **self._fixed,
            "http_version": asked.version,
            "method": asked.method,
            "path": asked.path,
            "raw_path": asked.raw_path,
            "query_string": asked.query,
            "headers": asked.headers,
            "extensions": {"tls": {"client_cert": self._certificate}},
            "state": {},
        }
        exchange = Exchange(self, scope, asked)
        scope["extensions"]["connection"] = exchange
        if asked.length == 0:
            exchange.complete = True
        else:
            self._reading, self._left = exchange, Chunks() if asked.length is None else asked.length
        self._answering = exchange
        app = _of_the_server if asked.method == "OPTIONS" and asked.path == "*" else self._app
        task = asyncio.get_running_loop().create_task(exchange.run(app))
        self._open.tasks.add(task)
        task.add_done_callback(self._open.tasks.discard)

    def _hand_over(self, asked: Head, raw: bytes) -> None:
        told = dict(asked.headers)
        if not told.get(b"sec-websocket-key"):
            raise Refused(text="mismatch challenge/response", headers="")
        if told.get(b"sec-websocket-version") != b"13":
            headers = "Sec-WebSocket-Version: 13\r\n"
            raise Refused(text="missing or bad WebSocket Version", headers=headers)
        self._deaf = True
        if self._tired is not None:
            self._tired.cancel()
        self._open.connections.discard(self)
        raw, self._came = raw + self._came, bytearray()
        self._upgrade(self, raw)

    def _body(self, data: bytes) -> bytes:
        """Hand the body on to its request; what is left comes after it."""
        exchange, rest = self._reading, b""
        assert exchange is not None
        if isinstance(self._left, int):
            body, rest = data[: self._left], data[self._left :]
            self._left -= len(body)
            complete = not self._left
        else:
            try:
                body = self._left.feed(data)
            except Malformed as why:
                self._broken(str(why))
                return b""
            complete, rest = self._left.complete, self._left.rest
        if complete:
            self._reading = None
        exchange.take(body, complete)
        return rest

    def _broken(self, why: str) -> None:
        """No more of this body comes, and nothing after it can be understood."""
        exchange, self._reading = self._reading, None
        self._deaf = True
        self._came.clear()
        if exchange is not None:
            exchange.break_off(why)

    # --- for its exchanges

    @property
    def unread(self) -> int:
        """Bytes of the body that have not come, as far as its head tells."""
        return self._left if self._reading is not None and isinstance(self._left, int) else 0

    def ended(self, exchange: Exchange) -> None:
        """The answer is on its way; the next request is served, if there is one. A body that nobody read runs dry."""
        self._answering = None
        if self.gone or self.transport.is_closing():
            return
        if self._deaf or not exchange.keep_alive:
            self.hang_up(self._deaf or self._reading is not None)
            return
        self.read(True)
        self._go_on()
        if self._answering is None and not self._deaf:
            if self.over:
                self.transport.close()
            elif not self._came:
                self._rest()

    def read(self, on: bool) -> None:
        if self._answering is not None and len(self._came) > PIECE:
            on = False  # requests that wait for their turn
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


async def _of_the_server(scope: Scope, receive: Receive, send: Send) -> None:
    """`OPTIONS *` asks for nothing but an answer."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


def _wants_websocket(asked: Head) -> bool:
    found = dict(asked.headers)
    if asked.method != "GET" or b"upgrade" not in found:
        return False
    tokens = [token.strip() for token in found.get(b"connection", b"").lower().split(b",")]
    return b"upgrade" in tokens and found[b"upgrade"].lower() == b"websocket"


def _address(found: Any) -> tuple[str, int] | None:
    return (str(found[0]), int(found[1])) if isinstance(found, tuple) and len(found) > 1 else None
