"""The sockets of the load balancer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Sequence

from workshop import serving
from workshop.clock import SYSTEM, Clock
from workshop.cluster.balancer.core import Choice
from workshop.component import inherited_sockets

log = logging.getLogger("load-balancer")

PIECE = 64 << 10
#: Seconds for a server to take a connection.
PATIENCE = 3.0


class Balancer:
    def __init__(self, servers: Sequence[str], clock: Clock = SYSTEM) -> None:
        self._choice, self._clock = Choice(list(servers)), clock

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection, joined to a server's until one of them ends."""
        try:
            found = await self._connect()
            if found is not None:
                server, their_reader, their_writer = found
                try:
                    await _join((reader, their_writer), (their_reader, writer))
                finally:
                    self._choice.closed(server)
                    their_writer.close()
        finally:
            writer.close()

    async def _connect(self) -> tuple[str, asyncio.StreamReader, asyncio.StreamWriter] | None:
        for server in self._choice.order(self._clock.monotonic()):
            host, _, port = server.rpartition(":")
            try:
                async with asyncio.timeout(PATIENCE):
                    reader, writer = await asyncio.open_connection(host, int(port))
            except (OSError, TimeoutError) as error:
                self._choice.failed(server, self._clock.monotonic())
                log.info("%s takes no connection: %s", server, error)
                continue
            self._choice.opened(server)
            return server, reader, writer
        return None


async def _join(*ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    """Copy both ways; an end of one way is passed on, an error ends both."""
    copying = [asyncio.ensure_future(_copy(*way)) for way in ways]
    try:
        await asyncio.wait(copying, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in copying:
            task.cancel()
        await asyncio.gather(*copying, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(PIECE):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


async def serve(listen: str, servers: Sequence[str], stop: asyncio.Event) -> None:
    """Balance until `stop`. Raises OSError when the address cannot be had."""
    balancer = Balancer(servers)
    host, _, port = listen.rpartition(":")
    running = [await asyncio.start_server(balancer.connection, sock=serving.listen(host, int(port)))]
    for handle in inherited_sockets():
        running.append(await asyncio.start_server(balancer.connection, sock=socket.socket(fileno=handle)))
    log.info("connections to %s go to %s", listen, ", ".join(servers))
    await stop.wait()
    for server in running:
        server.close()
