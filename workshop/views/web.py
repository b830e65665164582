"""The board as a web page: `workshop board`. Loopback only, one token, nothing that changes anything.

    GET /?token=T[&embed][&tab=map][&theme=dark]    the page; `embed` is for an iframe (a slide, a notebook)
    GET /front/NAME                                 the front end's own files
    WS  /live?token=T                               questions and batches, as in `desk`

A foreign page in the same browser must not read the board: the Host header has to name this server (DNS rebinding), a
WebSocket's Origin has to be this server, the token has to be right, and only pages of this machine may frame it.
"""

from __future__ import annotations

import asyncio
import hmac
import html
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import msgspec

from workshop import serving
from workshop.serving import Message, Receive, Scope, Send

from . import desk, front
from .feed import Feed

if TYPE_CHECKING:
    from .board import Board

MAX_WAITING = 200
"""Messages kept for a browser that does not keep up; then it gets a whole picture in their place."""
FRAMERS = "'self' http://127.0.0.1:* http://localhost:* https://127.0.0.1:* https://localhost:* file:"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors {framers}"
)
TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{heading} – board</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/front/board.css"></head>
<body class="ws-page"><main>
<div id="board" class="page" data-heading="{heading}" data-note="{note}" data-observes="{observes}"></div></main>
<script type="module" src="/front/page.js"></script></body></html>
"""


class Page:
    """The ASGI app of one board. `hosts` are the values of Host that it answers to."""

    def __init__(self, board: Board, token: str, hosts: frozenset[str]) -> None:
        self.board, self.token, self.hosts = board, token, hosts
        self._numbers = itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._live(scope, receive, send)
        elif scope["type"] == "http":
            status, kind, body, framers = self._answer(scope)
            headers = [
                (b"content-type", kind.encode()),
                (b"content-length", str(len(body)).encode()),
                (b"content-security-policy", POLICY.format(framers=framers).encode()),
                (b"x-content-type-options", b"nosniff"),
                (b"referrer-policy", b"no-referrer"),
                (b"cache-control", b"no-store"),
            ]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _answer(self, scope: Scope) -> tuple[int, str, bytes, str]:
        """(status, content type, body, who may frame it)"""
        plain = "text/plain; charset=utf-8"
        if header(scope, b"host") not in self.hosts:
            return 421, plain, b"this server does not go by that name\n", "'none'"
        if scope["method"] not in ("GET", "HEAD"):
            return 405, plain, b"there is nothing here to change\n", "'none'"
        path, query = scope["path"], parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if path.startswith("/front/"):
            name = path.removeprefix("/front/")
            if name not in front.names():
                return 404, plain, b"there is no such file\n", "'none'"
            return 200, TYPES[name.rpartition(".")[2]], front.source(name).encode(), "'none'"
        if path != "/":
            return 404, plain, b"there is no such page\n", "'none'"
        if not self._may(query):
            return (
                403,
                plain,
                b"the token is missing or wrong: use the address that `workshop board` printed\n",
                "'none'",
            )
        framers = FRAMERS if "embed" in query else "'none'"
        return 200, "text/html; charset=utf-8", self._page().encode(), framers

    def _may(self, query: dict[str, list[str]]) -> bool:
        return hmac.compare_digest(query.get("token", [""])[0].encode(), self.token.encode())

    def _page(self) -> str:
        observes = "true" if self.board.feed.cluster is not None else "false"
        return PAGE.format(heading=html.escape(self.board.title), note=html.escape(self.board.note), observes=observes)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # the request to connect
        query = parse_qs(scope["query_string"].decode("latin-1"))
        origin = header(scope, b"origin").partition("://")[2]
        if header(scope, b"host") not in self.hosts or origin not in self.hosts or not self._may(query):
            await send({"type": "websocket.close", "code": 1008})
            return
        await send({"type": "websocket.accept"})
        view, feed = f"web/{next(self._numbers)}", self.board.feed
        outbox = Outbox(feed)
        sending = asyncio.ensure_future(outbox.run(send))
        try:
            while (message := await receive())["type"] == "websocket.receive":
                question = read(message)
                # reading the picture may wait for the feed's lock: not on this loop
                await asyncio.to_thread(desk.answer, feed, view, question, outbox.put)
        finally:
            feed.leave(view)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


class Outbox:
    """What one browser is sent. `put` is called from any thread."""

    def __init__(self, feed: Feed) -> None:
        self._feed, self._loop = feed, asyncio.get_running_loop()
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def put(self, message: dict[str, Any]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._put, message)

    def _put(self, message: dict[str, Any]) -> None:
        if self._queue.qsize() < MAX_WAITING:
            self._queue.put_nowait(message)  # past that: a gap, and the front end asks for the whole by itself

    async def run(self, send: Send) -> None:
        while True:
            message = await self._queue.get()
            await send({"type": "websocket.send", "text": msgspec.json.encode(message).decode()})


def read(message: Message) -> Any:
    """The question in a message; None for what is none."""
    text = message.get("text") or ""
    try:
        return json.loads(text) if len(text) < 10_000 else None
    except ValueError:
        return None


def header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""


@asynccontextmanager
async def serving_board(board: Board, token: str, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """Serve while the block runs; gives the page's address, token and all. Raises OSError (the port is in use)."""
    sock = serving.listen(host, port)
    port = sock.getsockname()[1]
    page = Page(board, token, frozenset(f"{name}:{port}" for name in (host, "localhost", "127.0.0.1")))
    async with serving.serve(page, [sock]):
        yield f"http://{host}:{port}/?token={token}"
