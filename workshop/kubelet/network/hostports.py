"""Host ports: what arrives at a port of the node goes on to a pod. What CNI's portmap plugin does with rules of the
kernel, this does as long as the kubelet runs: a new one listens again for the pods that it finds.

Upstream: `containernetworking/plugins`, `plugins/meta/portmap`. SCTP is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from workshop.kubelet.cri import PortMapping
from workshop.kubelet.network import NetworkError

CHUNK = 64 * 1024
IDLE = 60.0
"""Seconds that a UDP client's way back is kept."""


@dataclass(frozen=True)
class Way:
    """From a port of the node to one of a pod."""

    protocol: str
    host: str
    host_port: int
    address: str
    port: int


class HostPorts:
    """`open` and `close` by sandbox. `node_ip` is where a mapping without hostIP listens."""

    def __init__(self, node_ip: str) -> None:
        self._node_ip = node_ip
        self._open: dict[str, list[asyncio.Server | asyncio.DatagramTransport]] = {}
        self._busy: set[asyncio.Task[None]] = set()

    def ways(self, mappings: Iterable[PortMapping], address: str, shift: int, lowest: int) -> list[Way]:
        """What is to be listened on; ports below `lowest` are `shift` higher (mode plain)."""

        def shifted(port: int) -> int:
            return port + shift if port < lowest else port

        return [
            Way(
                m.protocol,
                self._node_ip if m.host_ip in ("", "0.0.0.0", "::") else m.host_ip,
                shifted(m.host_port),
                address,
                shifted(m.container_port),
            )
            for m in mappings
            if m.host_port
        ]

    async def open(self, sandbox: str, ways: list[Way]) -> None:
        """Listen. Raises NetworkError when a port is taken; nothing stays open then."""
        for way in ways:
            try:
                self._open.setdefault(sandbox, []).append(await self._listen(way))
            except OSError as problem:
                self.close(sandbox)
                said = (problem.strerror or str(problem)).lower()
                where = f"{way.host}:{way.host_port}"
                raise NetworkError(f'plugin type="portmap" failed (add): listen {where}: {said}') from None

    def close(self, sandbox: str) -> None:
        """Listen no longer; connections under way go on."""
        for one in self._open.pop(sandbox, ()):
            one.close()

    def close_all(self) -> None:
        for sandbox in list(self._open):
            self.close(sandbox)
        for task in list(self._busy):
            task.cancel()

    async def _listen(self, way: Way) -> asyncio.Server | asyncio.DatagramTransport:
        if way.protocol == "UDP":
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(way), local_addr=(way.host, way.host_port)
            )
            return transport
        if way.protocol != "TCP":
            raise OSError(0, f"protocol {way.protocol} is not forwarded")

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(_forward(way, reader, writer))
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)

        return await asyncio.start_server(accepted, way.host, way.host_port)


async def _forward(way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, both directions; a pod that refuses is a connection that is reset."""
    try:
        there, out = await asyncio.open_connection(way.address, way.port)
    except OSError:
        writer.transport.abort()
        return
    try:
        await asyncio.gather(_copy(reader, out), _copy(there, writer))
    except OSError:
        writer.transport.abort()
    finally:
        out.close()
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


class _Datagrams(asyncio.DatagramProtocol):
    """Each client of a UDP port has a socket of its own to the pod."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.clients: dict[tuple[str, int], tuple[socket.socket, asyncio.TimerHandle]] = {}
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        loop = asyncio.get_running_loop()
        known = self.clients.get(addr)
        if known is None:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.connect((self.way.address, self.way.port))
            loop.add_reader(sock, self._back, sock, addr)
        else:
            sock = known[0]
            known[1].cancel()
        self.clients[addr] = sock, loop.call_later(IDLE, self._forget, addr)
        with contextlib.suppress(OSError):
            sock.send(data)

    def _back(self, sock: socket.socket, addr: tuple[str, int]) -> None:
        with contextlib.suppress(OSError):
            data = sock.recv(CHUNK)
            if self.transport is not None:
                self.transport.sendto(data, addr)

    def _forget(self, addr: tuple[str, int]) -> None:
        sock, timer = self.clients.pop(addr)
        timer.cancel()
        asyncio.get_running_loop().remove_reader(sock)
        sock.close()

    def connection_lost(self, exc: Exception | None) -> None:
        for addr in list(self.clients):
            self._forget(addr)
