"""What every server of the house has in common."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from workshop import serving
from workshop.etcd.rpc import door
from workshop.serving import App, Receive, Scope, Send, http1


@pytest.mark.parametrize("listen", [serving.listen, door.bind])
async def test_an_answer_in_two_pieces_waits_for_nobody(listen: Callable[[str, int], socket.socket]) -> None:
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    class Visitor(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.set_result(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()

    server = await asyncio.get_running_loop().create_server(Visitor, sock=listen("127.0.0.1", 0))
    async with server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await accepted == 1
        writer.close()


@contextlib.asynccontextmanager
async def asked(app: App) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    sock = serving.listen("127.0.0.1", 0)
    async with serving.serve(app, [sock]), asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        try:
            yield reader, writer
        finally:
            writer.close()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers what it was sent, and the path."""
    body = scope["path"].encode() + b" "
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def answer_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Status line and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return head.split(b"\r\n")[0], await reader.readexactly(length)


async def test_requests_one_behind_the_other() -> None:
    async with asked(echo) as (reader, writer):
        writer.write(
            b"POST /a%20b HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nxyGET /c HTTP/1.1\r\nhost: x\r\n\r\nGET /d?e HTTP/1.1\r\nhost: x\r\n\r\n"
        )
        assert [(await answer_of(reader))[1] for _ in range(3)] == [b"/a b xy", b"/c ", b"/d "]
        writer.write(b"POST /e HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"z")
        assert (await answer_of(reader))[1] == b"/e z"
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert (await answer_of(reader))[1] == b"/ " and await reader.read() == b""


async def test_an_upgrade_to_something_else_is_a_request_like_others() -> None:
    async with asked(echo) as (reader, writer):
        writer.write(b"POST /exec HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: SPDY/3.1\r\n\r\n")
        assert (await answer_of(reader))[1] == b"/exec "
        writer.write(b"GET /next HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await answer_of(reader))[1] == b"/next "


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"hello\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (b"GET /%zz HTTP/1.1\r\nhost: x\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (b"GET / HTTP/1.1\r\na: " + b"b" * (http1.HEAD_LIMIT + 1), b"HTTP/1.1 431 Request Header Fields Too Large"),
    ],
)
async def test_what_is_no_request(raw: bytes, status: bytes) -> None:
    async with asked(echo) as (reader, writer):
        writer.write(raw)
        assert (await reader.read()).split(b"\r\n")[0] == status


async def test_who_goes_on_talking_after_a_refusal_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "FAREWELL", 0.05)
    async with asked(echo) as (_, writer):
        writer.write(b"hello\r\n\r\n")
        with pytest.raises(ConnectionError):
            while True:
                writer.write(b"and more")
                await writer.drain()
                await asyncio.sleep(0)


async def test_a_head_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "HEAD_PATIENCE", 0.05)
    async with asked(echo) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost:")
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""


async def test_a_connection_without_requests_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "HEAD_PATIENCE", 0.05)
    async with asked(echo) as (reader, _):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    monkeypatch.undo()
    monkeypatch.setattr(http1, "IDLE", 0.05)
    async with asked(echo) as (reader, writer):
        writer.write(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await answer_of(reader))[1] == b"/a "
        assert await reader.read() == b""


async def test_who_reads_slowly_costs_a_piece() -> None:
    size, taken, stuck = 64 << 20, 0, asyncio.Event()

    def look(before: int) -> None:
        if before == taken:  # a turn of the loop later nothing more was taken
            stuck.set()

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal taken
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
        while taken < size:
            asyncio.get_running_loop().call_soon(look, taken)
            await send({"type": "http.response.body", "body": bytes(1 << 16), "more_body": True})
            taken += 1 << 16
        await send({"type": "http.response.body"})

    async with asked(large) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await stuck.wait()
        assert 0 < taken < size // 2  # what the kernel's buffers hold
        await reader.readuntil(b"\r\n\r\n")
        read = 0
        while read < size:
            read += len(await reader.read(1 << 20))


async def test_a_body_is_read_no_faster_than_it_is_used() -> None:
    begin, total = asyncio.Event(), 0

    async def sink(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal total
        await begin.wait()
        more = True
        while more:
            message = await receive()
            total, more = total + len(message["body"]), message["more_body"]
            assert len(message["body"]) < 1 << 20
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    async with asked(sink) as (reader, writer):
        size = 64 << 20
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
        writer.write(bytes(size))
        begin.set()
        await reader.readuntil(b"\r\n\r\n")
        assert total == size


async def test_a_client_that_goes_away_ends_a_stream() -> None:
    ended = asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        ended.set()

    async with asked(endless) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"1\r\na\r\n")
        writer.write_eof()  # who waits for something to happen is not there any more; what he was told is whole
        await ended.wait()
        assert await reader.read() == b"0\r\n\r\n"


async def test_an_app_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError("lost")

    async with asked(broken) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await answer_of(reader)) == (b"HTTP/1.1 500 Internal Server Error", b"Internal Server Error")
        assert await reader.read() == b""
    assert "lost" in caplog.text


async def test_the_head_of_an_answer_and_its_body_go_out_together() -> None:
    async def whole(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
        await send({"type": "http.response.body", "body": b"whole\n"})

    async with asked(whole) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.read(65536)).endswith(b"\r\n\r\nwhole\n")


async def test_the_head_of_a_stream_does_not_wait_for_its_first_event() -> None:
    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()  # the request itself
        await receive()  # the client has gone
        await send({"type": "http.response.body", "body": b""})

    async with asked(stream) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
