"""What every server of the house has in common."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from workshop import serving
from workshop.etcd.rpc import door


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


async def _served(app: serving.App) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection on which one request was sent to `app`."""
    listening = serving.listen("127.0.0.1", 0)
    async with serving.serve(app, [listening]):
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        yield reader, writer
        writer.close()
        await writer.wait_closed()


served = asynccontextmanager(_served)


async def test_the_head_of_an_answer_and_its_body_go_out_together() -> None:
    async def whole(scope: serving.Scope, receive: serving.Receive, send: serving.Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
        await send({"type": "http.response.body", "body": b"whole\n"})

    async with served(whole) as (reader, _):
        assert (await reader.read(65536)).endswith(b"\r\n\r\nwhole\n")


async def test_the_head_of_a_stream_does_not_wait_for_its_first_event() -> None:
    async def stream(scope: serving.Scope, receive: serving.Receive, send: serving.Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()  # the request itself
        await receive()  # the client has gone
        await send({"type": "http.response.body", "body": b""})

    async with served(stream) as (reader, _):
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).startswith(b"HTTP/1.1 200")
