"""The little of HTTP/1.1 that members speak: a head, and a body of known length or in chunks."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

MAX_HEAD, MAX_CHUNK_HEAD = 16 << 10, 20
#: Seconds for a connection, and for the head of an answer.
CONNECT_TIMEOUT = 5.0


class BadMessage(ConnectionError):
    """What came is no HTTP that we speak."""


@dataclass
class Head:
    """`start`: the three words of the first line. Names of headers are in lower case."""

    start: tuple[str, str, str]
    headers: dict[str, str] = field(default_factory=dict)


async def read_head(reader: asyncio.StreamReader) -> Head:
    """Raises BadMessage, IncompleteReadError."""
    try:
        return parse_head(await reader.readuntil(b"\r\n\r\n"))
    except asyncio.LimitOverrunError as error:
        raise BadMessage("head too long") from error


def parse_head(data: bytes) -> Head:
    """Of a head and the empty line behind it. Raises BadMessage."""
    text = data.decode("latin-1")
    first, *lines = text[:-4].split("\r\n")
    words = first.split(" ", 2)
    if len(words) != 3 or len(text) > MAX_HEAD:
        raise BadMessage(f"no HTTP: {first[:80]!r}")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadMessage(f"no header: {line[:80]!r}")
        headers[name.strip().lower()] = value.strip()
    return Head((words[0], words[1], words[2]), headers)


def write_head(start: str, headers: Mapping[str, str]) -> bytes:
    return "".join((f"{start}\r\n", *(f"{name}: {value}\r\n" for name, value in headers.items()), "\r\n")).encode()


def answer(status: int, body: bytes, headers: Mapping[str, str], kind: str = "text/plain; charset=utf-8") -> bytes:
    """A whole response."""
    also = {"Content-Type": kind, "Content-Length": str(len(body)), **headers}
    return write_head(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", also) + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def chunks(reader: asyncio.StreamReader, limit: int) -> AsyncIterator[bytes]:
    """The chunks of a body, none longer than `limit` bytes. Raises BadMessage, IncompleteReadError."""
    while True:
        try:
            size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        except (ValueError, asyncio.LimitOverrunError) as error:
            raise BadMessage("no chunk") from error
        if size > limit:
            raise BadMessage(f"a chunk of {size} bytes")
        data = await reader.readexactly(size + 2)
        if not size:
            return
        yield data[:-2]


def split_chunks(data: bytes, limit: int) -> tuple[list[bytes], bytes]:
    """The chunks with which `data` begins, and the rest. Raises BadMessage."""
    found, offset = [], 0
    while (end := data.find(b"\r\n", offset)) >= 0:
        try:
            size = int(data[offset:end], 16)
        except ValueError:
            raise BadMessage("no chunk") from None
        if not 0 < size <= limit:
            raise BadMessage(f"a chunk of {size} bytes")
        after = end + size + 4
        if after > len(data):
            break
        found.append(data[end + 2 : after - 2])
        offset = after
    if end < 0 and len(data) - offset > MAX_CHUNK_HEAD:
        raise BadMessage("no chunk")
    return found, data[offset:]


async def read_body(reader: asyncio.StreamReader, head: Head, limit: int) -> bytes:
    """A whole body. Raises BadMessage, IncompleteReadError."""
    if head.headers.get("transfer-encoding", "").lower() == "chunked":
        parts, size = [], 0
        async for part in chunks(reader, limit):
            parts.append(part)
            size += len(part)
            if size > limit:
                raise BadMessage("the body is too long")
        return b"".join(parts)
    try:
        size = int(head.headers.get("content-length", "0"))
    except ValueError as error:
        raise BadMessage("no length") from error
    if not 0 <= size <= limit:
        raise BadMessage(f"a body of {size} bytes")
    return await reader.readexactly(size)


async def connect(url: str, tls: ssl.SSLContext | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Raises OSError, TimeoutError."""
    parts = urlsplit(url)
    async with asyncio.timeout(CONNECT_TIMEOUT):
        return await asyncio.open_connection(
            parts.hostname, parts.port, ssl=tls if parts.scheme == "https" else None, limit=1 << 20
        )
