"""gRPC calls: unary ones and streams, many on one connection, which is made when it is needed and again when it broke.

    channel = Channel("127.0.0.1", 2379)
    answer = await channel.unary("/etcdserverpb.KV/Range", request, timeout=10)
    stream = await channel.stream("/etcdserverpb.Watch/Watch", timeout=10)
    stream.write(b"…"); message = await stream.read()          # None when the server has ended it well

Bytes in, bytes out: what a message means is the caller's to know. Each failure is an `RpcError` with gRPC's code.
A connection from which nothing was heard for 30 s while calls are open is asked (PING), and given up 10 s later.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from typing import cast
from urllib.parse import unquote

from . import connection as base
from . import frames as h2
from . import hpack
from .connection import CONNECTION_WINDOW
from .frames import ConnectionFailed, Frame, MessageRefused

CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 1, 2, 4, 8, 12, 13, 14

STREAM_WINDOW = 16 << 20
MESSAGE_LIMIT = 1 << 30
RETRY_FIRST, RETRY_MOST = 0.02, 1.0
QUIET, PATIENCE = 30.0, 10.0
"""Seconds of silence before a PING is sent, and seconds that its answer may take."""
BACKLOG = 64
"""Messages that a stream holds for its reader before the server is made to wait."""


Dial = Callable[[], Awaitable[socket.socket]]


class RpcError(Exception):
    """A call that failed: gRPC's status code and text. `unseen`: no server has begun to work on it, so it can be made
    again elsewhere, whatever it does."""

    def __init__(self, code: int, text: str, unseen: bool = False) -> None:
        super().__init__(text)
        self.code, self.text, self.unseen = code, text, unseen


class Channel:
    """Calls to one server. Make it inside a running loop."""

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None = None, path: str = "", dial: Dial | None = None
    ) -> None:
        """With `path` the server is behind that Unix socket, and `host` only what it is called; `dial` connects where
        the way is not an ordinary one."""
        self._host, self._port, self._tls, self._path, self._dial = host, port, tls, path, dial
        self._connection: Connection | None = None
        self._connecting: asyncio.Lock = asyncio.Lock()
        self._closed = False
        self._blocks: dict[tuple[str, tuple[tuple[str, str], ...]], bytes] = {}

    @property
    def connected(self) -> bool:
        return self._alive() is not None

    async def unary(self, path: str, request: bytes, timeout: float, wait: bool = True) -> bytes:
        """The answer to one request. With `wait` a server that is not there is waited for, within `timeout` seconds."""
        call: Call | None = None
        try:
            async with asyncio.timeout(timeout):
                connection = self._alive() or await self._connected(wait)
                call = connection.open(self._block(path, ()), request, last=True)
                answer = await call.read()
                rest = await call.read() if answer is not None else None
        except TimeoutError:
            raise RpcError(DEADLINE_EXCEEDED, "context deadline exceeded") from None
        finally:
            if call is not None:
                call.cancel()
        if answer is None or rest is not None:
            raise RpcError(INTERNAL, "a unary call has one answer")
        return answer

    async def stream(
        self, path: str, metadata: tuple[tuple[str, str], ...] = (), timeout: float = 10.0, wait: bool = True
    ) -> Call:
        """An open call. `timeout` concerns only the connection."""
        try:
            async with asyncio.timeout(timeout):
                connection = self._alive() or await self._connected(wait)
        except TimeoutError:
            raise RpcError(UNAVAILABLE, "failed to connect") from None
        return connection.open(self._block(path, metadata))

    def _block(self, path: str, metadata: tuple[tuple[str, str], ...]) -> bytes:
        """The header block of a call; always the same, since nothing of it enters a table."""
        block = self._blocks.get((path, metadata))
        if block is None:
            scheme = "http" if self._tls is None else "https"
            authority = self._host if self._path else f"{self._host}:{self._port}"
            fields = [
                (":method", "POST"), (":scheme", scheme), (":path", path), (":authority", authority),
                ("te", "trailers"), ("content-type", "application/grpc"), *metadata,
            ]  # fmt: skip
            block = self._blocks[path, metadata] = hpack.encode(fields)
        return block

    def _alive(self) -> Connection | None:
        connection = self._connection
        return connection if connection is not None and not connection.over else None

    async def _connected(self, wait: bool) -> Connection:
        async with self._connecting:
            pause = RETRY_FIRST
            while True:
                if self._closed:
                    raise RpcError(CANCELLED, "the channel is closed")
                if (connection := self._alive()) is not None:
                    return connection
                try:
                    self._connection = await self._connect()
                    return self._connection
                except OSError as error:
                    if not wait:
                        raise RpcError(UNAVAILABLE, f"connection error: {error}", unseen=True) from error
                await asyncio.sleep(pause)
                pause = min(2 * pause, RETRY_MOST)

    async def _connect(self) -> Connection:
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        name = self._host if self._tls else None
        if self._path:
            return (await loop.create_unix_connection(Connection, self._path, ssl=self._tls, server_hostname=name))[1]
        if self._dial is not None:
            sock = await self._dial()
            return (await loop.create_connection(Connection, sock=sock, ssl=self._tls, server_hostname=name))[1]
        made = await loop.create_connection(Connection, self._host, self._port, ssl=self._tls, server_hostname=name)
        return made[1]

    async def close(self) -> None:
        """End all calls and the connection."""
        self._closed = True
        if self._connection is not None:
            self._connection.hang_up("the channel is closed", CANCELLED)


class Call:
    """One call on a connection."""

    def __init__(self, connection: Connection, stream: int, window: int) -> None:
        self._connection, self.stream, self.window = connection, stream, window
        self._incoming = bytearray()
        self._messages: deque[bytes] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._unacknowledged = 0
        self.out = bytearray()
        self.last = False
        self.over = False
        self.error: RpcError | None = None

    def write(self, message: bytes) -> None:
        """Put a message on the way. Raises RpcError when the call is over."""
        if self.over:
            raise self.error or RpcError(CANCELLED, "the call is over")
        self.out += b"\0" + len(message).to_bytes(4, "big") + message
        self._connection.pump(self)

    async def read(self) -> bytes | None:
        """The next message; None after the last of a call that ended well. Raises RpcError."""
        while True:
            if self._messages:
                message = self._messages.popleft()
                self._make_room()
                return message
            if self.over:
                if self.error is not None:
                    raise self.error
                return None
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader

    def cancel(self) -> None:
        """End the call, whatever the server still has to say."""
        if not self.over:
            self._connection.reset(self)
            self.end(RpcError(CANCELLED, "the call was cancelled"))

    # From the connection

    def feed(self, data: bytes, size: int) -> None:
        """A frame's payload; `size` is what it took of the window."""
        self._incoming += data
        self._unacknowledged += size
        self._messages.extend(h2.messages(self._incoming, MESSAGE_LIMIT))
        self._make_room()
        self._wake()

    def _make_room(self) -> None:
        if self._unacknowledged > STREAM_WINDOW // 2 and len(self._messages) < BACKLOG and not self.over:
            self._connection.send(h2.window_update(self.stream, self._unacknowledged))
            self._unacknowledged = 0

    def end(self, error: RpcError | None) -> None:
        if not self.over:
            self.over, self.error = True, error
            self.out.clear()
            self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class Connection(base.Connection[Call]):
    """A client's end of a connection."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 1
        self._heard = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.over = False
        """No new call may be opened here."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        settings = {h2.ENABLE_PUSH: 0, h2.INITIAL_WINDOW_SIZE: STREAM_WINDOW}
        self.send(h2.PREFACE + h2.settings(settings) + h2.window_update(0, CONNECTION_WINDOW - h2.WINDOW))
        self._heard = self._loop.time()
        self._timer = self._loop.call_later(QUIET, self._check)

    def connection_lost(self, error: Exception | None) -> None:
        self.hang_up(f"connection error: {error}" if error else "the connection was closed", UNAVAILABLE)

    def hang_up(self, why: str, code: int) -> None:
        """End every call, then the connection."""
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
        calls, self.calls = list(self.calls.values()), {}
        for call in calls:
            call.end(RpcError(code, why))
        self._transport.abort()

    def _check(self) -> None:
        """Is the server still there? A connection without calls need not know."""
        silent = self._loop.time() - self._heard
        if silent >= QUIET + PATIENCE and self.calls:
            self.hang_up("keepalive failed: the server does not answer", UNAVAILABLE)
            return
        if silent >= QUIET and self.calls:
            self.send(h2.frame(h2.PING, 0, 0, b"workshop"))
            self._timer = self._loop.call_later(PATIENCE, self._check)
        else:
            self._timer = self._loop.call_later(max(1.0, QUIET - silent) if self.calls else QUIET, self._check)

    # Calls

    def open(self, block: bytes, request: bytes | None = None, last: bool = False) -> Call:
        """A new call; `request` is its first message, and with `last` its only one."""
        call = Call(self, self._next, self._first_window)
        self._next += 2
        self.calls[call.stream] = call
        self.send(h2.head(len(block), h2.HEADERS, h2.END_HEADERS, call.stream) + block)
        call.last = last
        if request is not None:
            call.write(request)
        return call

    def reset(self, call: Call) -> None:
        if self.calls.pop(call.stream, None) is not None:
            self.send(h2.rst_stream(call.stream, h2.CANCEL))

    def pump(self, call: Call) -> None:
        self.push(call, call.last)

    # Frames from the server

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        try:
            self.received(data)
        except (ConnectionFailed, hpack.HpackError, MessageRefused) as failed:
            self.hang_up(f"the server broke the protocol: {failed}", INTERNAL)

    def on_data(self, frame: Frame) -> None:
        size = len(frame.payload)
        self.took(size)
        call = self.calls.get(frame.stream)
        if call is None:
            return
        call.feed(h2.content(frame), size)
        if frame.flags & h2.END_STREAM:
            self._end(call, RpcError(INTERNAL, "the server closed the stream without sending trailers"))

    def on_block(self, frame: Frame, fields: dict[str, str]) -> None:
        """The answer's headers, or its trailers with the status."""
        call = self.calls.get(frame.stream)
        if call is None:
            return
        if (status := fields.get("grpc-status")) is not None:
            text = unquote(fields.get("grpc-message", ""))
            self._end(call, RpcError(int(status), text) if status != "0" else None)
        elif fields.get(":status", "200") != "200":
            self._end(call, RpcError(UNAVAILABLE, f"unexpected HTTP status code: {fields[':status']}"))
        elif frame.flags & h2.END_STREAM:
            self._end(call, RpcError(INTERNAL, "the server closed the stream without sending trailers"))

    def _end(self, call: Call, error: RpcError | None) -> None:
        self.calls.pop(call.stream, None)
        call.end(error)

    def on_rst_stream(self, frame: Frame) -> None:
        call = self.calls.get(frame.stream)
        if call is not None:
            code = h2.NUMBER.unpack(frame.payload)[0]
            refused = code == h2.REFUSED_STREAM
            text = f"the server reset the stream ({code})"
            self._end(call, RpcError(UNAVAILABLE if refused else CANCELLED, text, unseen=refused))

    def on_goaway(self, frame: Frame) -> None:
        """No new calls; those after the last that the server will answer are over."""
        self.over = True
        last = h2.NUMBER.unpack(frame.payload[:4])[0] & h2.MAX_WINDOW
        for call in [call for call in self.calls.values() if call.stream > last]:
            self._end(call, RpcError(UNAVAILABLE, "the server is going away", unseen=True))

    def on_push(self, frame: Frame) -> None:
        """PUSH_PROMISE, which nobody sends to those who switched it off."""
