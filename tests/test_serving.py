"""What every server of the house has in common."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

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
