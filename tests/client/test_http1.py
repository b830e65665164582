"""The HTTP client against servers that behave, end early, or close a kept-alive connection. Real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from workshop.client.http1 import Broken, Pool

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[Pool]:
    """`serve` gets each connection with its number."""
    count = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        try:
            await serve(reader, writer, count)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    pool = Pool(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", None)
    try:
        yield pool
    finally:
        await pool.close()
        listening.close()


async def head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


def whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: a/b\r\n\r\n%s" % (len(body), body)


async def test_one_connection_serves_many_requests() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while True:
            await head(reader)
            writer.write(whole(b"%d" % number))

    async with server(serve) as pool:
        for _ in range(3):
            answer = await pool.request("GET", "/", {}, None)
            assert (await answer.read(), answer.headers["content-type"]) == (b"1", "a/b")


@pytest.mark.parametrize(
    "method, headers, repeated",
    [
        ("GET", {}, True),
        ("POST", {}, False),
        ("PUT", {}, False),
        ("PATCH", {}, False),
        ("DELETE", {}, False),
        ("POST", {"Idempotency-Key": "7"}, True),
    ],
)
async def test_what_is_sent_again_when_a_kept_connection_ends_without_an_answer(
    method: str, headers: dict[str, str], repeated: bool
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await head(reader)
        writer.write(whole(b"%d" % number))
        if number == 1:
            await head(reader)  # the second request is never answered

    async with server(serve) as pool:
        await (await pool.request("GET", "/", {}, None)).read()
        if repeated:
            assert await (await pool.request(method, "/", headers, None)).read() == b"2"
        else:
            with pytest.raises(Broken):
                await pool.request(method, "/", headers, b"{}")


async def test_what_was_never_written_is_always_sent_again() -> None:
    """The server's end is noticed as the connection is taken up: not one byte of the PUT was sent there."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while True:
            await head(reader)
            writer.write(whole(b"%d" % number))

    async with server(serve) as pool:
        await (await pool.request("GET", "/", {}, None)).read()
        (kept,) = pool._idle
        kept.cut()  # closing: asyncio tells of it in its next round
        assert await (await pool.request("PUT", "/", {}, b"{}")).read() == b"2"


async def test_a_body_that_breaks_off_is_an_error_and_one_without_length_is_not() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        asked = await head(reader)
        if b"/short" in asked:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        elif b"/cut" in asked:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc")

    async with server(serve) as pool:
        for path in ("/short", "/cut"):
            with pytest.raises(Broken):
                await (await pool.request("GET", path, {}, None)).read()
        assert await (await pool.request("GET", "/rest", {}, None)).read() == b"abc"


async def test_a_large_stream_waits_for_its_reader_and_leaves_the_connection_usable() -> None:
    sent, size = 0, 8 * 1024 * 1024

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        nonlocal sent
        while True:
            await head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            for _ in range(size // 65536):
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536
            assert number == 1

    async with server(serve) as pool:
        for _ in range(2):
            answer = await pool.request("GET", "/", {}, None)
            assert sum([len(part) async for part in answer.chunks()]) == size
        assert sent == 2 * size


async def test_a_line_break_in_a_header_is_refused() -> None:
    with pytest.raises(ValueError, match="line break"):
        await Pool("http://127.0.0.1:1", None).request("GET", "/", {"X": "a\r\nY: b"}, None)
