"""Listening: one port for gRPC and for plain HTTP.

The first bytes tell which: every HTTP/2 connection begins with `PRI * HTTP/2.0`, which no request of HTTP/1 does.
With TLS both sides also agree on the protocol beforehand (ALPN). Upstream does the same with cmux:
`server/embed/serve.go`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import cast

from workshop.component import lean_tls
from workshop.etcd.rpc.call import Method
from workshop.etcd.rpc.connection import Connection, Find, Handled
from workshop.etcd.rpc.http1 import Handler, Http1
from workshop.http2.frames import PREFACE

Services = dict[str, dict[str, Method]]


def finder(services: Services) -> Find:
    """Look methods up by path, refusing in grpc-go's words."""
    paths = {f"/{service}/{name}": method for service, methods in services.items() for name, method in methods.items()}

    def find(path: str) -> Method:
        method = paths.get(path)
        if method is not None:
            return method
        service, _, name = path[1:].rpartition("/")
        if service in services:
            raise LookupError(f"unknown method {name} for service {service}")
        raise LookupError(f"unknown service {service}" if service else f'malformed method name: "{path}"')

    return find


def tls_context(cert_file: str, key_file: str, ca_file: str | None, require_client: bool) -> ssl.SSLContext:
    """TLS for a server; with `require_client` only clients that `ca_file` signed. Raises OSError and SSLError."""
    lean_tls()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert_file, key_file)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if ca_file and require_client:
        context.load_verify_locations(ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def bind(host: str, port: int) -> socket.socket:
    """A TCP socket that has its address and refuses connections until a door is opened on it. Raises OSError."""
    listening = socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


class Door:
    """Whom to let in: `services` by gRPC where given, `http` for everything else. `limit`: bytes of a message;
    `handled` counts how calls ended."""

    def __init__(
        self, services: Services | None, http: Handler, limit: int = 0, handled: Handled | None = None
    ) -> None:
        self._handled = handled
        self._find = finder(services) if services is not None else None
        self._http, self._limit = http, limit
        self.visitors: set[Connection | Http1 | _Visitor] = set()
        self._servers: list[asyncio.Server] = []

    async def open(self, listening: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(lambda: _Visitor(self), sock=listening, ssl=tls, backlog=1024))

    def close(self) -> None:
        """Let nobody in any more, and end all calls."""
        for server in self._servers:
            server.close()
        for connection in list(self.visitors):
            connection.shutdown()

    def protocol(self, first: bytes) -> Connection | Http1 | None:
        """Who talks to a client that begins so; None while that cannot be told."""
        if self._find is None or not PREFACE.startswith(first[: len(PREFACE)]):
            return Http1(self._http, self.visitors)
        if len(first) < 4:
            return None
        return Connection(self._find, self._limit, self.visitors, self._handled, self._http)


class _Visitor(asyncio.Protocol):
    """A connection of which nothing is known yet."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._first = b""
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._door.visitors.add(self)

    def shutdown(self) -> None:
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._door.visitors.discard(self)

    def data_received(self, data: bytes) -> None:
        self._first += data
        protocol = self._door.protocol(self._first)
        if protocol is None:
            return
        transport = self._transport
        self._door.visitors.discard(self)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(self._first)
