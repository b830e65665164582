"""Clients that say "that was all" and go on listening, or leave without a word: over TLS and without.

A real API server answers such a request too, or ends it with 504 where it sees the end before it has begun with the
answer; which of both is chance there. Ours always answers what is asked for, and ends what waits for something.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.api_server import running
from tests.certificates import self_signed
from workshop.apiserver.server import http
from workshop.serving import App, Receive, Scope, Send, listen, secured, serve, server_tls

from .cases import HOST, MAP, MAPS, POST, VERSION
from .dialogue import PATIENCE, Dialogue, Server

WAYS = {
    "plain": (False, False, True),
    "close_notify": (True, True, False),
    "FIN": (True, False, True),
    "close_notify, FIN": (True, True, True),
}
"""Whether in TLS, and by what the client takes its leave."""
WATCH = b"GET " + MAPS + b"?watch=1&resourceVersion=0" + HOST + b"\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(MAP)
BROKEN = "500 Internal Server Error | content-type: application/json, connection: close | : unexpected EOF"
SAID = {
    "a question": (VERSION + b"\r\n", ["200 OK | content-type: application/json | version"]),
    "two questions": (2 * (VERSION + b"\r\n"), 2 * ["200 OK | content-type: application/json | version"]),
    "a write": (POST + LENGTH + MAP, ["201 Created | content-type: application/json | ConfigMap"]),
    "half a body": (POST + LENGTH + MAP[:9], [BROKEN]),
    "half a chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\n41\r\n" + MAP[:9], [BROKEN]),
    "half a head": (
        VERSION,
        ["400 Bad Request | content-type: text/plain; charset=utf-8, connection: close | 400 Bad Request"],
    ),
    "a watch": (
        WATCH,
        ["200 OK | content-type: application/json"],
    ),
    "nothing": (b"", []),
}


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return self_signed(tmp_path_factory.mktemp("tls"), "server", 1)


@asynccontextmanager
async def served(app: App, identity: tuple[str, str] | None) -> AsyncIterator[Server]:
    sock, tls, client = listen("127.0.0.1", 0), None, None
    if identity is not None:
        tls, client = server_tls(*identity), ssl.create_default_context(cafile=identity[0])
        client.check_hostname = False
    async with serve(app, [sock], tls), asyncio.timeout(PATIENCE):
        host, port = sock.getsockname()
        yield Server(host, port, client)


async def heard(server: Server, raw: bytes, notify: bool, fin: bool) -> list[str]:
    """All answers until the server closes."""
    async with Dialogue(server) as dialogue:
        dialogue.say(raw)
        dialogue.take_leave(notify, fin)
        found = []
        while answer := await dialogue.answer():
            found.append(answer)
        return found


@pytest.mark.parametrize("way", WAYS)
async def test_half_closed(way: str, identity: tuple[str, str]) -> None:
    tls, notify, fin = WAYS[way]
    async with running() as api, served(api.app, identity if tls else None) as server:
        assert {name: await heard(server, raw, notify, fin) for name, (raw, _) in SAID.items()} == {
            name: answers for name, (_, answers) in SAID.items()
        }


@pytest.mark.parametrize("way", WAYS)
async def test_an_answer_under_way_comes_to_its_end(way: str, identity: tuple[str, str]) -> None:
    tls, notify, fin = WAYS[way]
    left, size = asyncio.Event(), 4 << 20

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
        assert (await receive())["type"] == "http.disconnect"
        left.set()
        await send({"type": "http.response.body", "body": b"x" * size})

    async with served(large, identity if tls else None) as server, Dialogue(server) as dialogue:
        dialogue.say(VERSION + b"\r\n")
        dialogue.take_leave(notify, fin)
        await left.wait()
        assert await dialogue.answer() == "200 OK | " + "x" * size
        assert await dialogue.answer() == "" and dialogue.over


async def test_http_where_tls_is_spoken(identity: tuple[str, str]) -> None:
    async with running() as api, served(api.app, identity) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(VERSION + b"\r\n")
        assert await reader.read() == secured.NO_TLS
        writer.close()


async def test_a_handshake_that_does_not_come(identity: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secured, "HANDSHAKE", 0.05)
    async with running() as api, served(api.app, identity) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        assert await reader.read() == b""
        writer.close()


async def test_a_body_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_PATIENCE", 0.05)
    said = "Timeout: Timeout: request did not complete within the allotted timeout"
    async with running() as api, served(api.app, None) as server, Dialogue(server) as dialogue:
        dialogue.say(POST + LENGTH + MAP[:9])
        assert await dialogue.answer() == (
            f"504 Gateway Timeout | content-type: application/json, connection: close | {said}"
        )
        assert await dialogue.answer() == "" and dialogue.over


CROWD, HALVES = 50, 5


async def test_who_vanishes_leaves_nothing_behind(identity: tuple[str, str]) -> None:
    """Connections without a handshake, with half a head, half a body (which takes a seat each), and watches: others are served meanwhile, and
    when they have gone no task, no socket and no watcher is left."""
    begun = [b"", VERSION[:9], WATCH]
    async with running() as api, served(api.app, identity) as server, AsyncExitStack() as crowd:
        assert await heard(server, VERSION + b"\r\n", True, False) == SAID["a question"][1]
        sockets, shelf = _sockets(), api.cacher.shelf("/registry/configmaps/")
        for raw in begun * CROWD:
            dialogue = await crowd.enter_async_context(Dialogue(server))
            dialogue.say(raw)
            if raw == WATCH:
                assert await dialogue.status() == "200 OK"
        for _ in range(CROWD):
            _, writer = await asyncio.open_connection(server.host, server.port)  # no word of TLS
            crowd.callback(writer.close)
        for _ in range(HALVES):
            dialogue = await crowd.enter_async_context(Dialogue(server))
            dialogue.say(POST + b"Expect: 100-continue\r\n" + LENGTH)
            assert await dialogue.answer() == "100 Continue"
            dialogue.say(MAP[:9])
        assert len(shelf.everybody()) == CROWD and len(_answering()) == CROWD + HALVES
        assert await heard(server, POST + LENGTH + MAP, True, False) == SAID["a write"][1]
        await crowd.aclose()
        while shelf.everybody() or _answering() or _sockets() > sockets:  # noqa: ASYNC110
            await asyncio.sleep(0)  # a turn of the loop; the whole is bounded by the server's patience


def _answering() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if "Exchange.run" in repr(task.get_coro())]


def _sockets() -> int:
    return sum(1 for each in os.scandir("/proc/self/fd") if os.path.islink(each) and "socket:" in _target(each.path))


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except FileNotFoundError:  # the one that was listing them
        return ""
