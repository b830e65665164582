"""One client's connection: calls to their handlers, answers back.

What one turn of the event loop answers leaves in one write; what one read brought is dispatched in one turn. With
many calls on one connection that is most of the speed. What the client's windows do not let through waits in
`Call.out`; a handler that streams waits in `Call.write` meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import quote

from google.protobuf.message import DecodeError

from workshop.etcd.errors import EtcdError
from workshop.etcd.rpc.call import Call, Method
from workshop.etcd.rpc.http1 import Handler, Request
from workshop.http2 import connection as base
from workshop.http2 import frames as h2
from workshop.http2 import hpack
from workshop.http2.connection import CONNECTION_WINDOW
from workshop.http2.frames import ConnectionFailed, Frame, MessageRefused

log = logging.getLogger("etcd")

#: What a client may send before it hears of room: for a stream a whole request of the default limit and more.
STREAM_WINDOW = 4 << 20

CANCELLED, UNKNOWN, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 1, 2, 12, 13, 14

RESPONSE = hpack.encode([(":status", "200"), ("content-type", "application/grpc")])
OK = hpack.encode([("grpc-status", "0")])

#: (service, method) -> the method; raises LookupError with the text for the client.
Find = Callable[[str], Method]
#: (path, status) -> how many calls
Handled = Counter[tuple[str, int]]


def status_block(code: int, text: str) -> bytes:
    """Trailers of a call that failed."""
    return hpack.encode(
        [("grpc-status", str(code)), ("grpc-message", quote(text, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"))]
    )


class Connection(base.Connection[Call]):
    """`find` looks methods up by path; `limit` is the size of a message in bytes; in `handled` is counted how calls
    ended, by path and status. `http` answers what is not gRPC."""

    def __init__(
        self,
        find: Find,
        limit: int,
        open_connections: set[Any],
        handled: Handled | None = None,
        http: Handler | None = None,
    ) -> None:
        super().__init__()
        self._http = http
        self._find, self._limit, self._open = find, limit, open_connections
        self._handled: Handled = Counter() if handled is None else handled
        self.common_name = ""
        self._last_stream = 0
        self._greeted = False
        self._paused = False

    # The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)
        self.common_name = common_name(transport)
        self.send(
            h2.settings({h2.MAX_CONCURRENT_STREAMS: h2.MAX_WINDOW, h2.INITIAL_WINDOW_SIZE: STREAM_WINDOW})
            + h2.window_update(0, CONNECTION_WINDOW - h2.WINDOW)
        )

    def connection_lost(self, error: Exception | None) -> None:
        self._open.discard(self)
        for call in list(self.calls.values()):
            self._forget(call)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        for call in list(self.calls.values()):
            self._wake_writer(call)

    def data_received(self, data: bytes) -> None:
        try:
            if self._greeted or (data := self._greeting(self._rest + data)):
                self.received(data)
        except ConnectionFailed as failed:
            self._fail(failed)
        except hpack.HpackError as failed:
            self._fail(ConnectionFailed(h2.COMPRESSION_ERROR, str(failed)))

    def _greeting(self, data: bytes) -> bytes:
        """What follows the preface with which a client begins; nothing yet while that is not whole."""
        if len(data) < len(h2.PREFACE) and h2.PREFACE.startswith(data):
            self._rest = data
            return b""
        if not data.startswith(h2.PREFACE):
            raise ConnectionFailed(h2.PROTOCOL_ERROR, "no connection preface")
        self._greeted, self._rest = True, b""
        return data[len(h2.PREFACE) :]

    def _fail(self, failed: ConnectionFailed) -> None:
        log.debug("a client's connection ends: %s", failed)
        self.send(h2.goaway(self._last_stream, failed.code, str(failed)))
        self.flush()
        self._transport.close()

    def shutdown(self) -> None:
        """Say good-bye and hang up."""
        self.send(h2.goaway(self._last_stream, h2.NO_ERROR))
        self.flush()
        self._transport.close()

    # Frames from the client

    def on_block(self, frame: Frame, metadata: dict[str, str]) -> None:
        stream = frame.stream
        call = self.calls.get(stream)
        if call is not None:  # a client's trailers: only their end matters
            if frame.flags & h2.END_STREAM:
                self._feed(call, b"", True)
            return
        if not stream & 1 or stream <= self._last_stream:
            if stream & 1:
                return  # of a call that has been answered already
            raise ConnectionFailed(h2.PROTOCOL_ERROR, f"stream {stream} is not the client's to open")
        self._last_stream = stream
        if not metadata.get("content-type", "").startswith("application/grpc"):
            self._on_plain_request(stream, metadata)
            return
        try:
            method = self._find(metadata.get(":path", ""))
        except LookupError as unknown:
            self._refuse(stream, UNIMPLEMENTED, str(unknown.args[0]))
            return
        call = self.calls[stream] = Call(self, stream, method, metadata, self._first_window)
        if method.stream is not None:
            call.task = self._loop.create_task(self._serve_stream(call, method.stream(call)))
        if frame.flags & h2.END_STREAM:
            self._feed(call, b"", True)

    def _on_plain_request(self, stream: int, metadata: dict[str, str]) -> None:
        """No call of gRPC but somebody with a browser or curl, whose TLS agreed on HTTP/2. A body is not read."""
        if self._http is None:
            self.send(self._headers_frame(stream, hpack.encode([(":status", "415")]), True))
            return
        path, _, query = metadata.get(":path", "").partition("?")
        headers = {"host": metadata.get(":authority", ""), **metadata}
        secure = self._transport.get_extra_info("ssl_object") is not None
        request = Request(metadata.get(":method", ""), path, query, headers, b"", secure)
        call = self.calls[stream] = Call(self, stream, Method(), metadata, self._first_window)
        call.task = self._loop.create_task(self._serve_plain(call, request, self._http))

    async def _serve_plain(self, call: Call, request: Request, handler: Handler) -> None:
        status, kind, body = await handler(request)
        fields = [(":status", str(status)), ("content-type", kind), ("content-length", str(len(body)))]
        call.started = True
        self.send(self._headers_frame(call.stream, hpack.encode(fields), False))
        if request.method != "HEAD":
            call.out += body
        call.trailers = b""
        self.pump(call)

    def on_data(self, frame: Frame) -> None:
        size = len(frame.payload)
        self.took(size)
        call = self.calls.get(frame.stream)
        if call is None:
            if frame.stream > self._last_stream or not frame.stream:
                raise ConnectionFailed(h2.PROTOCOL_ERROR, f"data on stream {frame.stream}, which is not open")
            return
        call.unacknowledged += size
        if call.unacknowledged > STREAM_WINDOW:
            raise ConnectionFailed(h2.FLOW_CONTROL_ERROR, "more data than the window allows")
        self._feed(call, h2.content(frame), bool(frame.flags & h2.END_STREAM))
        self.acknowledge(call)

    def _feed(self, call: Call, data: bytes, ended: bool) -> None:
        try:
            call.feed(data, ended, self._limit)
        except MessageRefused as refused:
            self._end(call, refused.code, refused.text)
            return
        if ended and call.method.unary is not None and call.task is None:
            request = call.request()
            if request is None:
                self._end(call, INTERNAL, "grpc: a unary call has one request")
                return
            call.task = self._loop.create_task(self._serve_unary(call, request, call.method.unary))

    def acknowledge(self, call: Call) -> None:
        """Give the client its window back, unless the call has enough to read already."""
        if call.unacknowledged > STREAM_WINDOW // 2 and not call.ended and not call.full:
            self.send(h2.window_update(call.stream, call.unacknowledged))
            call.unacknowledged = 0

    def on_rst_stream(self, frame: Frame) -> None:
        call = self.calls.get(frame.stream)
        if call is not None:
            self._forget(call)

    def on_goaway(self, frame: Frame) -> None:
        """The client opens no more calls, and those that it has go on."""

    # Calls

    async def _serve_unary(self, call: Call, request: bytes, handler: Any) -> None:
        try:
            answer = await handler(request, call)
        except Exception as error:  # noqa: BLE001  the edge: every fault is an answer
            self._end(call, *outcome(error))
            return
        size = len(answer) + 5
        if size > self._frame_limit or size > self._window or size > call.window or self._paused:
            self.send_message(call, answer)
            self._end(call, 0)
            return
        if self.calls.pop(call.stream, None) is None:
            return  # the client has given up
        self._handled[call.metadata[":path"], 0] += 1
        self._window -= size
        stream = call.stream
        self.send(
            b"".join(
                (
                    h2.head(len(RESPONSE), h2.HEADERS, h2.END_HEADERS, stream),
                    RESPONSE,
                    h2.head(size, h2.DATA, 0, stream),
                    b"\0",
                    (size - 5).to_bytes(4, "big"),
                    answer,
                    h2.head(len(OK), h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, stream),
                    OK,
                )
            )
        )

    async def _serve_stream(self, call: Call, handler: Any) -> None:
        try:
            await handler
        except Exception as error:  # noqa: BLE001  the edge: every fault is an answer
            self._end(call, *outcome(error))
        else:
            self._end(call, 0)

    def send_message(self, call: Call, message: bytes) -> bool:
        """Put a message on the way; False when the call should wait for `room` before the next."""
        if call.stream not in self.calls:
            return True
        if not call.started:
            call.started = True
            self.send(self._headers_frame(call.stream, RESPONSE, False))
        size = len(message) + 5
        if not call.out and size <= self._frame_limit and size <= self._window and size <= call.window:
            self._window -= size
            call.window -= size
            head = h2.head(size, h2.DATA, 0, call.stream)
            self.send(b"".join((head, b"\0", (size - 5).to_bytes(4, "big"), message)))
        else:
            call.out += b"\0" + (size - 5).to_bytes(4, "big") + message
            self.pump(call)
        return not call.out and not self._paused

    async def room(self, call: Call) -> None:
        """Return when what the call has written has left."""
        while (call.out or self._paused) and call.stream in self.calls:
            call.writer = self._loop.create_future()
            await call.writer

    def _end(self, call: Call, code: int, text: str = "") -> None:
        """The call's last words; they wait for what it wrote before."""
        if call.stream not in self.calls or call.trailers is not None:
            return
        self._handled[call.metadata[":path"], code] += 1
        block = OK if not code else status_block(code, text)
        if not call.started:
            call.started = True
            block = RESPONSE + block
        call.trailers = block
        self.pump(call)

    def _refuse(self, stream: int, code: int, text: str) -> None:
        self.send(self._headers_frame(stream, RESPONSE + status_block(code, text), True))

    def pump(self, call: Call) -> None:
        """Send as much of a call's bytes as the windows allow, then its trailers."""
        if not self.push(call):
            return
        if call.trailers is not None:
            self.send(self._headers_frame(call.stream, call.trailers, True))
            if not call.ended:
                self.send(h2.rst_stream(call.stream, h2.NO_ERROR))  # the rest of the request is not wanted
            self._forget(call)
        else:
            self._wake_writer(call)

    def _wake_writer(self, call: Call) -> None:
        if call.writer is not None and not call.writer.done():
            call.writer.set_result(None)

    def _forget(self, call: Call) -> None:
        self.calls.pop(call.stream, None)
        self._wake_writer(call)
        if call.task is not None and not call.task.done() and call.task is not asyncio.current_task():
            call.task.cancel()

    @staticmethod
    def _headers_frame(stream: int, block: bytes, last: bool) -> bytes:
        return h2.frame(h2.HEADERS, h2.END_HEADERS | (h2.END_STREAM if last else 0), stream, block)


def outcome(error: Exception) -> tuple[int, str]:
    """gRPC's status and text for what a handler raised."""
    if isinstance(error, EtcdError):
        return error.code, str(error)
    if isinstance(error, DecodeError):
        return INTERNAL, f"grpc: error unmarshalling request: {error}"
    log.error("a call failed", exc_info=error)
    return UNKNOWN, f"{type(error).__name__}: {error}"


def common_name(transport: asyncio.BaseTransport) -> str:
    """The common name in the client's certificate; "" where it showed none."""
    certificate: dict[str, Any] = transport.get_extra_info("peercert") or {}
    for part in certificate.get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return str(value)
    return ""
