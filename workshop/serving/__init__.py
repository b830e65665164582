"""HTTPS and WebSocket for every component that serves.

`serve` runs an ASGI app on sockets or an address. ASGI servers do not hand client certificates to the app; here
the peer's certificate (DER bytes) stands in `scope["extensions"]["tls"]["client_cert"]`, or None.

    head.py      what a request is, and what is refused: pure     secured.py   TLS, a transport of asyncio
    chunks.py    bodies in chunks: pure                           http1.py     a connection: one request after another
    asgi.py      the seam to an app                               exchange.py  a request and its answer
    tls_options.py   versions and ciphers that flags ask for

WebSockets are uvicorn's. Upstream: `staging/src/k8s.io/apiserver/pkg/server/secure_serving.go`, Go's `net/http`.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from uvicorn.config import Config
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from uvicorn.server import ServerState

from workshop import component
from workshop.component import CannotListen

from .asgi import App, Message, Receive, Scope, Send
from .exchange import PIECE
from .http1 import Connection, Open, Streams
from .secured import Secured

__all__ = ["App", "Message", "Receive", "Scope", "Send", "listen", "serve", "server_tls"]


def _with_peer(app: App, transport: asyncio.BaseTransport) -> App:
    tls = transport.get_extra_info("ssl_object")
    certificate: bytes | None = tls.getpeercert(binary_form=True) if tls is not None else None

    async def seen(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("extensions", {})["tls"] = {"client_cert": certificate}
        await app(scope, receive, send)

    return seen


class _WebSocket(WSProtocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app = _with_peer(self.app, transport)  # type: ignore[assignment, arg-type]


def server_tls(
    cert_file: str, key_file: str, client_ca_file: str | None = None, *, any_client: bool = False
) -> ssl.SSLContext:
    """TLS 1.2 or newer for a server. With `client_ca_file` a client may show a certificate, and need not;
    one that the authority did not sign ends the handshake. With `any_client` every certificate is let through, for
    the app to judge (a real API server answers 401, not with a broken handshake). Raises OSError and ssl.SSLError."""
    component.lean_tls()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert_file, key_file)
    context.set_alpn_protocols(["http/1.1"])
    context.num_tickets = 0  # nobody who calls us resumes a session: a ticket would only be made, sent and kept
    if client_ca_file:
        context.load_verify_locations(client_ca_file)
        context.verify_mode = ssl.CERT_OPTIONAL
    if any_client:
        context.verify_mode = ssl.CERT_OPTIONAL
        _let_any_certificate_through(context)
    return context


_VerifyCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_accept = _VerifyCallback(lambda store, argument: 1)


def _let_any_certificate_through(context: ssl.SSLContext) -> None:
    """Python's ssl can ask for a certificate only together with judging it; OpenSSL itself can do the one alone.

    An SSLContext holds its `SSL_CTX *` right behind the object's head. Where there is no such thing to be found (not
    CPython, OpenSSL linked in without its symbols) the handshake goes on judging: strict, only less polite.
    """
    if sys.implementation.name != "cpython":
        return
    try:
        import _ssl

        library = ctypes.CDLL(_ssl.__file__)
        set_callback = library.SSL_CTX_set_cert_verify_callback
    except (AttributeError, OSError):
        return
    set_callback.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    set_callback.restype = None
    pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
    set_callback(pointer, ctypes.cast(_accept, ctypes.c_void_p), None)


def listen(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """A listening TCP socket. Port 0 takes a free one. Raises CannotListen, an OSError (EADDRINUSE, EACCES).

    Its protocol is named: asyncio turns Nagle's algorithm off only where it reads TCP there, and with it on an answer
    in two pieces takes 40 ms."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        sock.listen(1024)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        where = f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}"
        why = f"listen tcp {where}: bind: {str(error.strerror).lower()}"  # in Go's words
        look = " (`ss -ltnp` shows who has it)" if error.errno == errno.EADDRINUSE else ""
        raise CannotListen(error.errno, f"{why}{look}") from error
    return sock


@asynccontextmanager
async def serve(
    app: App,
    sockets: list[socket.socket],
    tls: ssl.SSLContext | None = None,
    *,
    grace: float = 1.0,
    streams: Streams = lambda asked: True,
) -> AsyncIterator[None]:
    """Serve `app` on listening `sockets` while the block runs. `streams` says of a request for WebSocket whether there
    is something to stream; where there is not it is answered as if it had not asked.

    At the end new connections are refused and idle ones closed; requests under way get `grace` seconds, then
    their connections are cut (a watch never ends by itself).
    """
    config = Config(
        app, http=Connection, ws=_WebSocket, lifespan="off", log_config=None, access_log=False, server_header=False,
        proxy_headers=False, ws_ping_interval=None,
    )  # fmt: skip
    config.load()
    opened = Open()
    sockets_of_web = ServerState()
    sockets_of_web.tasks = opened.tasks
    loop = asyncio.get_running_loop()

    def upgrade(connection: Connection, head: bytes) -> None:
        web = _WebSocket(config=config, server_state=sockets_of_web, app_state={})
        web.connection_made(connection.transport)
        web.data_received(head)
        connection.transport.set_protocol(web)

    buffer, shaking = memoryview(bytearray(PIECE)), set[Secured]()

    def accept() -> asyncio.BaseProtocol:
        plain = Connection(app, opened, upgrade, streams)
        return Secured(tls, plain, buffer, shaking) if tls is not None else plain

    servers = [await loop.create_server(accept, sock=sock, backlog=1024) for sock in sockets]
    try:
        yield
    finally:
        for server in servers:
            server.close()
        for stranger in list(shaking):
            stranger.abort()
        for connection in list(opened.connections):
            connection.close_when_answered()
        for web in list(sockets_of_web.connections):
            web.shutdown()
        if opened.tasks:
            await asyncio.wait(opened.tasks, timeout=grace)
        for task in list(opened.tasks):
            task.cancel()
        if opened.tasks:
            await asyncio.wait(opened.tasks, timeout=grace)
        for connection in [*opened.connections, *sockets_of_web.connections]:
            if connection.transport is not None:
                connection.transport.abort()
