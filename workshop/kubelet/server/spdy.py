"""SPDY/3.1 framing, as much as port-forward needs. Pure: bytes in, events out.

    control frame   1 0000011 | type(16) | flags(8) length(24) | payload      (0x8003 at the front)
    data frame      0 stream(31)         | flags(8) length(24) | data

Header blocks are compressed with zlib and a fixed dictionary, one stream of compression a direction for the whole
connection. Upstream: `github.com/moby/spdystream`; it has no flow control, so neither have we.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

from workshop.kubelet.server.spdy_dictionary import DICTIONARY

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FIN = 1
MAX_FRAME = 1 << 20


class SpdyError(Exception):
    """The peer does not speak SPDY/3.1."""


@dataclass(frozen=True)
class Opened:
    """The peer opened a stream."""

    stream: int
    headers: dict[str, str] = field(default_factory=dict)
    fin: bool = False


@dataclass(frozen=True)
class Data:
    """Bytes of a stream; `fin`: the peer sends no more on it."""

    stream: int
    data: bytes
    fin: bool = False


@dataclass(frozen=True)
class Reset:
    """The peer gave a stream up."""

    stream: int
    status: int


@dataclass(frozen=True)
class Pinged:
    """To be answered with the same frame."""

    id: int


@dataclass(frozen=True)
class GoneAway:
    """The peer opens no more streams."""


Event = Opened | Data | Reset | Pinged | GoneAway


def pack_headers(headers: dict[str, str]) -> bytes:
    """An uncompressed header block: a count, then names and values with their lengths."""
    block = struct.pack(">I", len(headers))
    for name, value in headers.items():
        for text in (name.lower().encode(), value.encode()):
            block += struct.pack(">I", len(text)) + text
    return block


def unpack_headers(block: bytes) -> dict[str, str]:
    """The inverse. Raises SpdyError."""
    try:
        (count,) = struct.unpack_from(">I", block)
        position, found = 4, {}
        for _ in range(count):
            pair = []
            for _ in range(2):
                (length,) = struct.unpack_from(">I", block, position)
                if length > len(block) - position - 4:
                    raise SpdyError("header runs past its block")
                pair.append(block[position + 4 : position + 4 + length].decode())
                position += 4 + length
            found[pair[0]] = pair[1]
    except (struct.error, UnicodeDecodeError) as problem:
        raise SpdyError(f"bad header block: {problem}") from None
    return found


class Connection:
    """One connection's two directions."""

    def __init__(self) -> None:
        self._buffer = b""
        self._deflate = zlib.compressobj(9, zlib.DEFLATED, 15, 8, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
        self._inflate = zlib.decompressobj(15, zdict=DICTIONARY)

    def receive(self, data: bytes) -> list[Event]:
        """The events of all frames that are complete now. Raises SpdyError."""
        self._buffer += data
        events: list[Event] = []
        while len(self._buffer) >= 8:
            word, length = struct.unpack_from(">II", self._buffer)
            flags, length = length >> 24, length & 0xFFFFFF
            if length > MAX_FRAME:
                raise SpdyError(f"frame of {length} bytes")
            if len(self._buffer) < 8 + length:
                break
            payload, self._buffer = self._buffer[8 : 8 + length], self._buffer[8 + length :]
            event = self._control(word, flags, payload) if word >> 31 else Data(word, payload, bool(flags & FIN))
            if event is not None:
                events.append(event)
        return events

    def _control(self, word: int, flags: int, payload: bytes) -> Event | None:
        version, kind = word >> 16 & 0x7FFF, word & 0xFFFF
        if version != 3:
            raise SpdyError(f"unsupported SPDY version {version}")
        try:
            if kind == SYN_STREAM:
                (stream,) = struct.unpack_from(">I", payload)
                return Opened(stream & 0x7FFFFFFF, self._headers(payload[10:]), bool(flags & FIN))
            if kind in (SYN_REPLY, HEADERS):
                self._headers(payload[4:])  # read, to keep the decompressor in step
            elif kind == RST_STREAM:
                stream, status = struct.unpack(">II", payload)
                return Reset(stream, status)
            elif kind == PING:
                return Pinged(struct.unpack(">I", payload)[0])
            elif kind == GOAWAY:
                return GoneAway()
        except struct.error as problem:
            raise SpdyError(f"short frame: {problem}") from None
        return None

    def _headers(self, compressed: bytes) -> dict[str, str]:
        try:
            block = self._inflate.decompress(compressed, MAX_FRAME)
        except zlib.error as problem:
            raise SpdyError(f"bad compression: {problem}") from None
        return unpack_headers(block)

    def _compress(self, headers: dict[str, str]) -> bytes:
        return self._deflate.compress(pack_headers(headers)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    @staticmethod
    def _frame(kind: int, payload: bytes, flags: int = 0) -> bytes:
        return struct.pack(">II", 0x80030000 | kind, flags << 24 | len(payload)) + payload

    def open(self, stream: int, headers: dict[str, str], *, fin: bool = False) -> bytes:
        """SYN_STREAM, for a client."""
        payload = struct.pack(">IIH", stream, 0, 0) + self._compress(headers)
        return self._frame(SYN_STREAM, payload, FIN if fin else 0)

    def reply(self, stream: int, headers: dict[str, str] | None = None) -> bytes:
        """SYN_REPLY: the stream is accepted."""
        return self._frame(SYN_REPLY, struct.pack(">I", stream) + self._compress(headers or {}))

    def data(self, stream: int, data: bytes, *, fin: bool = False) -> bytes:
        """A data frame."""
        return struct.pack(">II", stream, (FIN if fin else 0) << 24 | len(data)) + data

    def reset(self, stream: int, status: int = 1) -> bytes:
        return self._frame(RST_STREAM, struct.pack(">II", stream, status))

    def ping(self, identity: int) -> bytes:
        return self._frame(PING, struct.pack(">I", identity))

    def go_away(self, last: int) -> bytes:
        return self._frame(GOAWAY, struct.pack(">II", last, 0))
