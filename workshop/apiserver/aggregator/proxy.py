"""A request on its way to the server behind an APIService, and its answer on the way back, as it comes.

Upstream: kube-aggregator/pkg/apiserver/handler_proxy.go.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import suppress

from workshop.apiserver.server.http import Request, Response, Served, text_response
from workshop.apiserver.webhooks.addresses import NoAddress
from workshop.client.transport import Refused, Unreachable, WebSocket
from workshop.client.transport import Response as Answer

from .backend import HeaderLines, user_headers
from .controller import Aggregator, Remote

_DROPPED = frozenset({
    "host", "connection", "upgrade", "keep-alive", "transfer-encoding", "te", "trailer", "content-length",
    "authorization", "proxy-authorization", "accept-encoding", "sec-websocket-key", "sec-websocket-version",
    "sec-websocket-protocol", "sec-websocket-extensions",
})  # fmt: skip
UNAVAILABLE = "service unavailable\n"


def remote_of(path: str, aggregator: Aggregator) -> Remote | None:
    """Who serves this path, if it is not this server."""
    if not aggregator.remote:
        return None
    parts = path.split("/")
    if len(parts) < 4 or parts[1] != "apis":
        return None
    return aggregator.remote.get((parts[2], parts[3]))


async def passed_on(request: Request, remote: Remote, path: str = "") -> Response:
    """The other server's answer; 503 where it cannot be asked."""
    if not remote.available:
        return text_response(UNAVAILABLE, 503)
    query = request.scope["query_string"].decode("latin-1")
    target = path or request.scope.get("raw_path", request.path.encode()).decode("latin-1").partition("?")[0]
    target += f"?{query}" if query else ""
    lines = [(name, value) for name, value in request.headers if name not in _DROPPED and not _claims_a_user(name)]
    lines += [("Host", remote.backend.server_name), *user_headers(request.user)]
    try:
        transport = await remote.backend.transport()
        if request.is_websocket:
            return await _websocket(request, transport, target, HeaderLines(lines))
        body = await request.body() if request.method in ("POST", "PUT", "PATCH", "DELETE") else None
        answer = await transport.send(request.method, target, HeaderLines(lines), body, stream=True)
    except NoAddress:
        return text_response(UNAVAILABLE, 503)
    except (Unreachable, OSError, ssl.SSLError) as error:
        return text_response(f"error trying to reach service: {error}\n", 503)
    headers = [(k, v) for k, v in answer.headers.items() if k.lower() not in (*_DROPPED, "content-type", "audit-id")]
    kind = answer.headers.get("content-type", "application/json")
    return Response(answer.status, b"", kind, headers, stream=_stream(answer))


def _claims_a_user(name: str) -> bool:
    """Nobody but this server says who is asking."""
    return name.startswith(("x-remote-", "impersonate-"))


async def _stream(answer: Answer) -> AsyncIterator[bytes]:
    try:
        async for data in answer.chunks():
            yield data
    finally:
        answer.close()


async def _websocket(request: Request, transport: object, target: str, headers: HeaderLines) -> Response:
    import asyncio

    protocols = tuple(request.scope.get("subprotocols", ()))
    far = await transport.websocket(target, headers, protocols)  # type: ignore[attr-defined]
    if isinstance(far, Refused):
        return Response(far.response.status, await far.response.read())
    await request.send({"type": "websocket.accept", "subprotocol": far.protocol or None})
    tasks = [asyncio.create_task(_up(request, far)), asyncio.create_task(_down(request, far))]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with suppress(OSError):
        await far.close()
    return Served()


async def _up(request: Request, far: WebSocket) -> None:
    while (message := await request.receive())["type"] == "websocket.receive":
        await far.send(message["bytes"] if message.get("bytes") is not None else message["text"])


async def _down(request: Request, far: WebSocket) -> None:
    while (message := await far.receive()) is not None:
        await request.send({"type": "websocket.send", "bytes" if isinstance(message, bytes) else "text": message})
    await request.send({"type": "websocket.close", "code": 1000})
