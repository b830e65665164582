"""A transport to an API server in the same process: an ASGI app is called, no socket is opened.

For tests and for the simulation. `user` stands in for the client certificate: it is put into the scope as
`scope["extensions"]["tls"]["client_cert"]` if it is bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote

from .transport import Refused, Response, Unreachable, WebSocket

App = Callable[..., Awaitable[None]]
Message = MutableMapping[str, Any]


class AsgiTransport:
    """Requests to `app`. Each runs in a task of its own, as each connection does on a server."""

    def __init__(self, app: App, *, client_cert: bytes | None = None) -> None:
        self._app = app
        self._client_cert = client_cert
        self._calls: set[_Call] = set()

    async def send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None, *, stream: bool = False
    ) -> Response:
        call = self._call("http", target, headers, method=method)
        call.incoming.put_nowait({"type": "http.request", "body": body or b"", "more_body": False})
        await call.begin("http.response.start")
        if not stream:
            await call.read()
        return call

    async def websocket(
        self, target: str, headers: Mapping[str, str], protocols: tuple[str, ...]
    ) -> WebSocket | Refused:
        call = self._call("websocket", target, headers, subprotocols=list(protocols))
        call.incoming.put_nowait({"type": "websocket.connect"})
        await call.begin("websocket.accept", "websocket.close", "websocket.http.response.start")
        if call.start["type"] == "websocket.accept":
            return _AsgiWebSocket(call)
        await call.read()
        return Refused(call)

    def _call(self, kind: str, target: str, headers: Mapping[str, str], **more: Any) -> _Call:
        path, _, query = target.partition("?")
        scope = {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "https" if kind == "http" else "wss",
            "path": unquote(path),
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 6443),
            "extensions": {"tls": {"client_cert": self._client_cert}, "websocket.http.response": {}},
            **more,
        }
        call = _Call(self._app, scope)
        self._calls.add(call)
        call.task.add_done_callback(lambda _: self._calls.discard(call))
        return call

    async def close(self) -> None:
        calls = list(self._calls)
        for call in calls:
            call.close()
        await asyncio.gather(*(call.task for call in calls), return_exceptions=True)


class _Call:
    """One request to the app, and the Response of it."""

    def __init__(self, app: App, scope: dict[str, Any]) -> None:
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        # A small bound: an app that streams to a slow reader feels it, as on a socket.
        self.outgoing: asyncio.Queue[Message | None] = asyncio.Queue(64)
        self.task = asyncio.get_running_loop().create_task(self._run(app, scope))
        self.start: Message = {}
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self._body: bytes | None = None
        self._failure: BaseException | None = None
        self._closed = False

    async def _run(self, app: App, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self.incoming.get, self._send)
        except Exception as error:  # noqa: BLE001  on a socket the client would see a broken connection
            self._failure = error
        finally:
            if not self._closed:
                await self.outgoing.put(None)

    async def _send(self, message: Message) -> None:
        if not self._closed:
            await self.outgoing.put(message)

    async def begin(self, *kinds: str) -> None:
        try:
            message = await self.outgoing.get()
        except asyncio.CancelledError:
            self.close()
            raise
        if message is None or message["type"] not in kinds:
            raise Unreachable(f"the app gave no answer: {self._failure!r}") from self._failure
        self.start = message
        self.status = int(message.get("status", 403))
        self.headers = {k.decode("latin-1").title(): v.decode("latin-1") for k, v in message.get("headers", [])}

    async def read(self) -> bytes:
        if self._body is None:
            self._body = b"".join([chunk async for chunk in self.chunks()])
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        if self.start["type"] == "websocket.close":
            return
        while True:
            message = await self.outgoing.get()
            if message is None:
                raise Unreachable(f"the app ended within its answer: {self._failure!r}") from self._failure
            if message.get("body"):
                yield bytes(message["body"])
            if not message.get("more_body"):
                return

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.incoming.put_nowait({"type": "http.disconnect"})
            self.task.cancel()


class _AsgiWebSocket:
    def __init__(self, call: _Call) -> None:
        self._call = call
        self.protocol: str = call.start.get("subprotocol") or ""

    async def send(self, data: bytes | str) -> None:
        kind = "text" if isinstance(data, str) else "bytes"
        self._call.incoming.put_nowait({"type": "websocket.receive", kind: data})

    async def receive(self) -> bytes | str | None:
        message = await self._call.outgoing.get()
        if message is None or message["type"] != "websocket.send":
            return None
        data: bytes | str | None = message.get("bytes")
        return data if data is not None else message.get("text")

    async def close(self) -> None:
        self._call.incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
