"""What both ends of a connection do: frames to those whom they concern, flow control, and few writes.

What one turn of the event loop wants to send leaves in one write. Flow control (RFC 9113, 5.2) holds for payload both
ways, for a stream and for the connection as a whole: what the other end's windows do not let through waits in `out`.
"""

from __future__ import annotations

import asyncio
from typing import Any, Generic, Protocol, TypeVar, cast

from . import frames as h2
from . import hpack
from .frames import ConnectionFailed, Frame

#: What the other end may send before it hears of room.
CONNECTION_WINDOW = 64 << 20
#: Header blocks longer than this are refused.
HEADER_LIMIT = 1 << 16


class Stream(Protocol):
    """One call as its connection sees it. `out`: bytes that flow control holds back, `window`: how many it lets go."""

    stream: int
    window: int
    out: bytearray


S = TypeVar("S", bound=Stream)


class Connection(asyncio.Protocol, Generic[S]):
    """One end. `on_block` gets whole header blocks; `ON` are the handlers of frames by their kind."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = cast(asyncio.Transport, None)
        self.calls: dict[int, S] = {}
        self._decoder = hpack.Decoder()
        self._rest = b""
        self._headers: tuple[Frame, bytearray] | None = None  # HEADERS whose CONTINUATION is to come
        self._window = self._first_window = h2.WINDOW
        self._frame_limit = h2.FRAME_LIMIT
        self._unacknowledged = 0
        self._gathered: list[bytes] = []

    # Out

    def send(self, data: bytes) -> None:
        if not self._gathered:
            self._loop.call_soon(self.flush)
        self._gathered.append(data)

    def flush(self) -> None:
        if self._gathered and not self._transport.is_closing():
            self._transport.write(b"".join(self._gathered))
        self._gathered.clear()

    def push(self, call: S, last: bool = False) -> bool:
        """Send as much of a call's bytes as the windows allow, with `last` the stream's end behind them; True when all
        have left."""
        while call.out:
            size = min(len(call.out), self._window, call.window, self._frame_limit)
            if size <= 0:
                return False
            self._window -= size
            call.window -= size
            end = h2.END_STREAM if last and size == len(call.out) else 0
            self.send(h2.frame(h2.DATA, end, call.stream, bytes(call.out[:size])))
            del call.out[:size]
        return True

    def pump(self, call: S) -> None:
        """There may be room for what a call has to say."""
        raise NotImplementedError

    def _pump_all(self) -> None:
        for call in list(self.calls.values()):
            if call.out:
                self.pump(call)

    # In

    def received(self, data: bytes) -> None:
        """Take in what came. Raises ConnectionFailed, HpackError."""
        found, self._rest = h2.split(self._rest + data if self._rest else data)
        for frame in found:
            if self._transport.is_closing():
                return
            if self._headers is not None and frame.kind != h2.CONTINUATION:
                raise ConnectionFailed(h2.PROTOCOL_ERROR, "a header block was interrupted")
            if frame.kind < len(self.ON):
                self.ON[frame.kind](self, frame)

    def took(self, size: int) -> None:
        """So much payload came: the other end gets its window back when half of it is used."""
        self._unacknowledged += size
        if self._unacknowledged > CONNECTION_WINDOW // 2:
            self.send(h2.window_update(0, self._unacknowledged))
            self._unacknowledged = 0

    def on_block(self, frame: Frame, fields: dict[str, str]) -> None:
        """HEADERS of a stream have come, `frame` being the first of them."""
        raise NotImplementedError

    def on_data(self, frame: Frame) -> None:
        raise NotImplementedError

    def on_rst_stream(self, frame: Frame) -> None:
        raise NotImplementedError

    def on_goaway(self, frame: Frame) -> None:
        raise NotImplementedError

    def on_push(self, frame: Frame) -> None:
        raise ConnectionFailed(h2.PROTOCOL_ERROR, "nobody asked for a push")

    def _on_headers(self, frame: Frame) -> None:
        block = h2.content(frame)
        if not frame.flags & h2.END_HEADERS:
            self._headers = (frame, bytearray(block))
        else:
            self.on_block(frame, self._decoder.decode(block))

    def _on_continuation(self, frame: Frame) -> None:
        if self._headers is None or self._headers[0].stream != frame.stream:
            raise ConnectionFailed(h2.PROTOCOL_ERROR, "a continuation of nothing")
        first, block = self._headers
        block += frame.payload
        if len(block) > HEADER_LIMIT:
            raise ConnectionFailed(h2.PROTOCOL_ERROR, "a header block that is too long")
        if frame.flags & h2.END_HEADERS:
            self._headers = None
            self.on_block(first, self._decoder.decode(bytes(block)))

    def _on_settings(self, frame: Frame) -> None:
        if frame.flags & h2.ACK:
            return
        if len(frame.payload) % h2.SETTING.size:
            raise ConnectionFailed(h2.FRAME_SIZE_ERROR, "settings of a wrong length")
        for name, value in h2.SETTING.iter_unpack(frame.payload):
            if name == h2.INITIAL_WINDOW_SIZE:
                if value > h2.MAX_WINDOW:
                    raise ConnectionFailed(h2.FLOW_CONTROL_ERROR, "a window that is too large")
                for call in self.calls.values():
                    call.window += value - self._first_window
                self._first_window = value
            elif name == h2.MAX_FRAME_SIZE:
                if not h2.FRAME_LIMIT <= value < 1 << 24:
                    raise ConnectionFailed(h2.PROTOCOL_ERROR, "a frame size out of range")
                self._frame_limit = value
        self.send(h2.frame(h2.SETTINGS, h2.ACK, 0, b""))
        self._pump_all()

    def _on_ping(self, frame: Frame) -> None:
        if len(frame.payload) != 8:
            raise ConnectionFailed(h2.FRAME_SIZE_ERROR, "a ping of a wrong length")
        if not frame.flags & h2.ACK:
            self.send(h2.frame(h2.PING, h2.ACK, 0, frame.payload))

    def _on_window_update(self, frame: Frame) -> None:
        if len(frame.payload) != 4:
            raise ConnectionFailed(h2.FRAME_SIZE_ERROR, "a window update of a wrong length")
        more = h2.NUMBER.unpack(frame.payload)[0] & h2.MAX_WINDOW
        if not frame.stream:
            self._window += more
            if self._window > h2.MAX_WINDOW:
                raise ConnectionFailed(h2.FLOW_CONTROL_ERROR, "a window that is too large")
            self._pump_all()
            return
        call = self.calls.get(frame.stream)
        if call is not None:
            call.window += more
            self.pump(call)

    def _on_priority(self, frame: Frame) -> None:
        """All are equal."""

    ON: tuple[Any, ...] = (
        lambda self, frame: self.on_data(frame),
        _on_headers,
        _on_priority,
        lambda self, frame: self.on_rst_stream(frame),
        _on_settings,
        lambda self, frame: self.on_push(frame),
        _on_ping,
        lambda self, frame: self.on_goaway(frame),
        _on_window_update,
        _on_continuation,
    )
