"""Frames of HTTP/2, in and out of bytes. Pure. Source: RFC 9113, sections 4 and 6."""

from __future__ import annotations

import struct
from typing import NamedTuple

#: What a client says first.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

# Flags
ACK = END_STREAM = 0x1
END_HEADERS, PADDED, HAS_PRIORITY = 0x4, 0x8, 0x20

# Settings
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = range(1, 6)

# Error codes
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED = range(6)
FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = range(6, 10)

#: The largest payload that both sides take without having agreed on more.
FRAME_LIMIT = 16_384
#: The window that both sides begin with.
WINDOW = 65_535
MAX_WINDOW = (1 << 31) - 1

HEAD = struct.Struct(">HBBBI")  # length (16 + 8 bits), type, flags, stream
SETTING = struct.Struct(">HI")
NUMBER = struct.Struct(">I")


class ConnectionFailed(Exception):
    """The peer broke the protocol: say GOAWAY with `code`, and hang up."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes


def split(data: bytes) -> tuple[list[Frame], bytes]:
    """The whole frames that `data` begins with, and the rest. Raises ConnectionFailed for one that is too long."""
    frames, at, size = [], 0, len(data)
    while size - at >= HEAD.size:
        high, low, kind, flags, stream = HEAD.unpack_from(data, at)
        start = at + HEAD.size
        end = start + (high << 8 | low)
        if end - start > FRAME_LIMIT:
            raise ConnectionFailed(FRAME_SIZE_ERROR, f"a frame of {end - start} bytes")
        if end > size:
            break
        frames.append(Frame(kind, flags, stream & 0x7FFFFFFF, data[start:end]))
        at = end
    return frames, data[at:]


def head(length: int, kind: int, flags: int, stream: int) -> bytes:
    """The nine bytes before a payload."""
    return HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return head(len(payload), kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(SETTING.pack(*pair) for pair in values.items()))


def window_update(stream: int, more: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, NUMBER.pack(more))


def rst_stream(stream: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream, NUMBER.pack(code))


def goaway(last_stream: int, code: int, text: str = "") -> bytes:
    return frame(GOAWAY, 0, 0, NUMBER.pack(last_stream) + NUMBER.pack(code) + text.encode())


def content(one: Frame) -> bytes:
    """The payload of DATA or HEADERS without padding and priority. Raises ConnectionFailed."""
    data = one.payload
    if not one.flags & (PADDED | HAS_PRIORITY):
        return data
    padding = 0
    if one.flags & PADDED:
        if not data:
            raise ConnectionFailed(FRAME_SIZE_ERROR, "padding without a length")
        padding, data = data[0], data[1:]
    if one.kind == HEADERS and one.flags & HAS_PRIORITY:
        data = data[5:]
    if padding > len(data):
        raise ConnectionFailed(PROTOCOL_ERROR, "more padding than payload")
    return data[: len(data) - padding]


def messages(buffer: bytearray, limit: int) -> list[bytes]:
    """Take whole gRPC messages from the front of `buffer`. Raises MessageRefused."""
    found = []
    while len(buffer) >= 5:
        length = int.from_bytes(buffer[1:5], "big")
        if buffer[0]:
            raise MessageRefused(12, "grpc: Decompressor is not installed for the message's grpc-encoding")
        if length > limit:
            raise MessageRefused(8, f"grpc: received message larger than max ({length} vs. {limit})")
        if len(buffer) < 5 + length:
            break
        found.append(bytes(buffer[5 : 5 + length]))
        del buffer[: 5 + length]
    return found


class MessageRefused(Exception):
    """A message that this server does not take: the call ends with gRPC's status `code`."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text
