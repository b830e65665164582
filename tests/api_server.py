"""kube-apiserver inside the test's own process: no socket, no etcd unless one is given, and requests as plain calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any, NamedTuple
from urllib.parse import unquote

from workshop.apiserver.assembly import ApiServer, Settings
from workshop.apiserver.audit.link import Sink
from workshop.apiserver.audit.policy import Policy
from workshop.apiserver.security import Options
from workshop.apiserver.storage.interface import Storage
from workshop.apiserver.storage.memory import MemoryStorage
from workshop.clock import SYSTEM

PATIENCE = 60.0
"""Seconds that a server may take to start: ten times what it needs on a busy machine."""


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Api = Callable[..., Awaitable[Answer]]


def assembled(
    storage: Storage | None = None,
    settings: Settings | None = None,
    audit: tuple[Policy, Sink] | None = None,
    **options: Any,
) -> ApiServer:
    """A server that does not run yet; `options` are those of `security.Options`. Nothing is stored but in memory."""
    chosen = Options(
        advertise_address="192.0.2.1", secure_port=6443, service_cluster_ip_range=["10.96.0.0/16"], **options
    )
    return ApiServer(chosen, settings or Settings(), storage or MemoryStorage(), SYSTEM, Random(1), audit)


@asynccontextmanager
async def running(server: ApiServer | None = None) -> AsyncIterator[ApiServer]:
    """The server, or a new one with nothing in it, has started; afterwards it is closed."""
    server = server or assembled()
    following = asyncio.create_task(server.follow())
    try:
        async with asyncio.timeout(PATIENCE):
            await server.start()
        yield server
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await server.close()


def caller(server: ApiServer, certificate: bytes | None = None) -> Api:
    """`await api("GET", "/version")`; a body that is no text or bytes is sent as JSON; `more` are headers. The client
    shows `certificate` (DER), if one is given."""
    tls = {"tls": {"client_cert": certificate}} if certificate is not None else {}

    async def call(
        method: str, target: str, body: Any = None, content_type: str = "application/json", **more: str
    ) -> Answer:
        path, _, query = target.partition("?")
        raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else b""
        if body is not None and not isinstance(body, str | bytes):
            raw = json.dumps(body).encode()
        headers = [(b"user-agent", b"test/1"), (b"content-length", str(len(raw)).encode())]
        headers += [(b"content-type", content_type.encode())] if body is not None else []
        headers += [(name.replace("_", "-").encode(), value.encode()) for name, value in more.items()]
        scope = {
            "type": "http", "method": method, "path": unquote(path), "raw_path": path.encode(), "headers": headers,
            "query_string": query.encode(), "extensions": tls,
        }  # fmt: skip
        requests = [{"type": "http.request", "body": raw, "more_body": False}]
        sent: list[Any] = []

        async def receive() -> Any:
            if requests:
                return requests.pop()
            return await asyncio.Future()

        async def send(message: Any) -> None:
            sent.append(message)

        await server.app(scope, receive, send)
        told: dict[str, str] = {}
        for name, value in sent[0]["headers"]:
            key = name.decode()
            told[key] = f"{told[key]}, {value.decode()}" if key == "warning" and key in told else value.decode()
        return Answer(sent[0]["status"], told, b"".join(m.get("body", b"") for m in sent[1:]))

    return call


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    """Asks again as soon as others have had their turn."""
    async with asyncio.timeout(PATIENCE):
        while not await check():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def answers(api: Api, path: str, status: int) -> None:
    """Return when a GET of this path is answered with this status."""

    async def same() -> bool:
        return (await api("GET", path)).status == status

    await until(same)
