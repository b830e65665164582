"""The load balancer before several API servers."""

from __future__ import annotations

import asyncio
import doctest

from workshop.cluster.balancer import core
from workshop.cluster.balancer.run import Balancer


def test_which_server_is_next():
    assert doctest.testmod(core).failed == 0


async def test_connections_go_to_servers_that_answer_and_end_with_them():
    async def echo(reader, writer):
        while data := await reader.read(100):
            writer.write(name + data)
        writer.close()

    name = b"one:"
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    balancer = Balancer(["127.0.0.1:1", f"127.0.0.1:{port}"])  # nobody listens on the first
    front = await asyncio.start_server(balancer.connection, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", front.sockets[0].getsockname()[1])
    writer.write(b"hello")
    assert await reader.readexactly(9) == b"one:hello"
    writer.write_eof()
    assert await reader.read() == b"", "the end comes through as well"
    writer.close()
    front.close()
    server.close()
