"""The userspace backend: listens for each rule and forwards bytes. Upstream: `pkg/proxy/userspace` of 1.25.

TCP: one connection to an endpoint for each that is accepted, bytes in both directions, and an end of one direction
is passed on as such (half-close): `nc` and HTTP/1.0 clients depend on it. UDP: a socket to an endpoint for each
client, kept while it is used. An endpoint that refuses is skipped for another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from random import Random
from zlib import crc32

from workshop.clock import Clock
from workshop.proxy.balance import Balance, failed, pick
from workshop.proxy.rules import Endpoint, Listen, Target, changes

log = logging.getLogger(__name__)

CONNECT_SECONDS = (0.25, 0.5, 1.0, 2.0)
"""How long each try may take; as upstream's endpointDialTimeouts."""
UDP_IDLE_SECONDS = 60.0
CHUNK = 64 * 1024


class Forwarder:
    """Keeps the listening sockets that the rules ask for.

    `shared`: the proxies of all nodes listen on the same addresses (mode plain), and a client comes to any of them. So
    that affinity holds, all choose alike for a client that is new.
    """

    def __init__(self, clock: Clock, random: Random, *, shared: bool = False) -> None:
        self.clock, self.random, self.shared = clock, random, shared
        self.refusals: set[tuple[str, str]] = set()
        self.rules: dict[Listen, Target] = {}
        self.balances: dict[str, Balance] = {}
        self.sockets: dict[Listen, asyncio.AbstractServer | asyncio.DatagramTransport] = {}
        self.connections: set[asyncio.Task[None]] = set()

    async def apply(self, wanted: dict[Listen, Target]) -> dict[Listen, str]:
        """Listen on what `wanted` says, and no longer on what it does not; returns what failed: where, and in words.

        Connections under way go on when their Service changes or goes: as with a kernel's connection tracking.
        """
        _, opened = changes({at: target for at, target in self.rules.items() if at in self.sockets}, wanted)
        closed, _ = changes(self.rules, wanted)
        for at in closed:
            server = self.sockets.pop(at, None)
            if server is not None:
                server.close()
        self.rules = dict(wanted)
        self.refusals.clear()
        used = {target.port_name for target in wanted.values()}
        self.balances = {name: state for name, state in self.balances.items() if name in used}
        problems = {}
        for at in opened:
            try:
                self.sockets[at] = await self._open(at)
            except OSError as error:
                problems[at] = f"can't open port {at} for {wanted[at].port_name}: {error.strerror or error}"
        return problems

    async def close(self) -> None:
        await self.apply({})
        for task in list(self.connections):
            task.cancel()
        await asyncio.gather(*self.connections, return_exceptions=True)

    def choose(self, at: Listen, client: str) -> Endpoint | None:
        target = self.rules.get(at)
        if target is None or not target.admits(client):
            return None
        state = self._balance(target)
        known = client in state.sticky or (target.port_name, client) in self.refusals
        if self.shared and target.affinity and not known:
            state.turn = crc32(client.encode()) % max(1, len(target.endpoints))
        return pick(state, target, client, self.clock.monotonic())

    def refused(self, at: Listen, client: str) -> None:
        if target := self.rules.get(at):
            self.refusals.add((target.port_name, client))
            failed(self._balance(target), client)

    def _balance(self, target: Target) -> Balance:
        start = Balance(turn=self.random.randrange(max(1, len(target.endpoints))))
        return self.balances.setdefault(target.port_name, start)

    async def _open(self, at: Listen) -> asyncio.AbstractServer | asyncio.DatagramTransport:
        if at.protocol == "UDP":
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        else:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_FREEBIND", 15), 1)
            sock.setblocking(False)
            sock.bind((at.address, at.port))
            loop = asyncio.get_running_loop()
            if at.protocol == "UDP":
                transport, _ = await loop.create_datagram_endpoint(lambda: _UdpService(self, at), sock=sock)
                return transport
            if at.protocol != "TCP":
                raise OSError(f"protocol {at.protocol} is not forwarded by the userspace backend")
            return await asyncio.start_server(lambda r, w: self._accepted(at, r, w), sock=sock, backlog=512)
        except OSError:
            sock.close()
            raise

    # -- TCP --

    def _accepted(self, at: Listen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._forward(at, reader, writer))
        self.connections.add(task)
        task.add_done_callback(self.connections.discard)

    async def _forward(self, at: Listen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        try:
            inner = await self._connect(at, peer[0] if peer else "")
            if inner is None:
                writer.transport.abort()
                return
            inner_reader, inner_writer = inner
            try:
                there = asyncio.ensure_future(_pump(reader, inner_writer))
                back = asyncio.ensure_future(_pump(inner_reader, writer))
                done, pending = await asyncio.wait({there, back}, return_when=asyncio.FIRST_EXCEPTION)
                errors = [error for task in done if (error := task.exception())]
                if errors:
                    for task in pending:
                        task.cancel()
                    await asyncio.gather(*pending, return_exceptions=True)
                    inner_writer.transport.abort()
                    writer.transport.abort()
            finally:
                for task in (there, back):
                    task.cancel()
                inner_writer.close()
        finally:
            writer.close()

    async def _connect(self, at: Listen, client: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for patience in CONNECT_SECONDS:
            endpoint = self.choose(at, client)
            if endpoint is None:
                return None
            try:
                return await asyncio.wait_for(asyncio.open_connection(endpoint.address, endpoint.port), patience)
            except (OSError, TimeoutError) as error:
                log.warning("dial failed for %s: %s:%d: %s", at, endpoint.address, endpoint.port, error)
                self.refused(at, client)
        return None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end of `reader`, then end that direction only."""
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


# -- UDP --


class _UdpService(asyncio.DatagramProtocol):
    """The Service's side: one session a client."""

    def __init__(self, forwarder: Forwarder, at: Listen) -> None:
        self.forwarder, self.at = forwarder, at
        self.sessions: dict[tuple[str, int], _UdpSession] = {}
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        session = self.sessions.get(addr)
        if session is not None and session.endpoint not in self.endpoints():
            session.end()
            session = None
        if session is None:
            endpoint = self.forwarder.choose(self.at, addr[0])
            if endpoint is None:
                return
            session = self.sessions[addr] = _UdpSession(self, addr, endpoint)
        session.send(data)

    def endpoints(self) -> tuple[Endpoint, ...]:
        target = self.forwarder.rules.get(self.at)
        return target.endpoints if target else ()

    def connection_lost(self, exc: Exception | None) -> None:
        for session in list(self.sessions.values()):
            session.end()


class _UdpSession(asyncio.DatagramProtocol):
    """One client's socket to its endpoint; ends after a minute without a packet."""

    def __init__(self, service: _UdpService, client: tuple[str, int], endpoint: Endpoint) -> None:
        self.service, self.client, self.endpoint = service, client, endpoint
        self.transport: asyncio.DatagramTransport | None = None
        self.waiting: list[bytes] = []
        loop = asyncio.get_running_loop()
        self.last = loop.time()
        self.timer = loop.call_later(UDP_IDLE_SECONDS, self.check)
        remote = (endpoint.address, endpoint.port)
        self.opening = loop.create_task(self.open(remote))

    async def open(self, remote: tuple[str, int]) -> None:
        try:
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, remote_addr=remote)
        except OSError as error:
            log.warning("dial failed for %s: %s:%d: %s", self.service.at, *remote, error)
            self.end()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport
        for data in self.waiting:
            transport.sendto(data)
        self.waiting.clear()

    def send(self, data: bytes) -> None:
        self.last = asyncio.get_running_loop().time()
        if self.transport is None:
            self.waiting.append(data)
        else:
            self.transport.sendto(data)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.last = asyncio.get_running_loop().time()
        if self.service.transport is not None:
            self.service.transport.sendto(data, self.client)

    def error_received(self, exc: Exception) -> None:
        """The endpoint refused: the client's next packet goes to another one."""
        self.service.forwarder.refused(self.service.at, self.client[0])
        self.end()

    def check(self) -> None:
        loop = asyncio.get_running_loop()
        left = self.last + UDP_IDLE_SECONDS - loop.time()
        if left <= 0:
            self.end()
        else:
            self.timer = loop.call_later(left, self.check)

    def end(self) -> None:
        self.timer.cancel()
        if self.transport is not None:
            self.transport.close()
        elif not self.opening.done():
            self.opening.cancel()
        if self.service.sessions.get(self.client) is self:
            del self.service.sessions[self.client]
