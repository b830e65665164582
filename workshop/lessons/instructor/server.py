"""`workshop instructor`: the page, JSON and a stream of changes, for whoever has the token; reports from learners.

GET  /?token=…       sets a cookie and goes to the page
GET  /               the page
GET  /learners.json  all rows
GET  /changes        server-sent events: all rows once, then the rows that changed, at most four times a second
POST /report         a learner's state; needs the learners' token, which opens nothing else
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
from collections.abc import AsyncIterator
from http.cookies import CookieError, SimpleCookie
from importlib import resources
from typing import Any
from urllib.parse import parse_qs

from workshop.clock import SYSTEM, Clock
from workshop.serving import Receive, Scope, Send, listen, serve

from .room import Refused, Room

MAX_BODY = 16 * 1024
COALESCE = 0.25
RECKON = 15.0
"""Seconds after which all rows are sent again: who is away shows by silence."""
MAX_VIEWERS = 20
COOKIE = "workshop-instructor"
PAGES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}
HEADERS = [
    (b"content-security-policy", b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
                                 b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]  # fmt: skip


class Instructor:
    """An ASGI app. `token` opens the board, `learners` is what learners report with, `prefix` where a hub puts it."""

    def __init__(self, token: str, learners: str, prefix: str = "", clock: Clock = SYSTEM) -> None:
        self.token, self.learners, self.prefix, self.clock = token, learners, prefix.rstrip("/"), clock
        self.room = Room()
        self._changed: set[str] = set()
        self._viewers: set[asyncio.Queue[list[str] | None]] = set()
        self._flush: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = str(scope["path"])
        if self.prefix and path.startswith(f"{self.prefix}/"):
            path = path[len(self.prefix) :]
        if (scope["method"], path) == ("POST", "/report"):
            await self._report(scope, receive, send)
        elif scope["method"] != "GET":
            await _answer(send, 405, "text/plain", b"only GET, and POST to /report\n")
        elif (given := parse_qs(scope["query_string"].decode("latin-1")).get("token")) and path == "/":
            await self._enter(send, given[0])
        elif not self._may_look(scope):
            await _answer(send, 401, "text/plain; charset=utf-8", b"the address with ?token=... opens this board\n")
        elif path in PAGES:
            name, kind = PAGES[path]
            await _answer(send, 200, kind, resources.files(__package__).joinpath(name).read_bytes())
        elif path == "/learners.json":
            rows = self.room.rows(self.clock.monotonic())
            await _answer(send, 200, "application/json", json.dumps({"learners": rows}).encode())
        elif path == "/changes":
            await self._changes(receive, send)
        else:
            await _answer(send, 404, "text/plain", b"there is no such page\n")

    # -- who may --

    def _may_look(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        bearer = headers.get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ")
        cookie: SimpleCookie = SimpleCookie()
        with contextlib.suppress(CookieError):
            cookie.load(headers.get(b"cookie", b"").decode("latin-1"))
        kept = cookie[COOKIE].value if COOKIE in cookie else ""
        return _same(bearer, self.token) or _same(kept, self.token)

    async def _enter(self, send: Send, given: str) -> None:
        """The token leaves the address bar."""
        if not _same(given, self.token):
            await _answer(send, 401, "text/plain", b"that is not the token\n")
            return
        where = f"{self.prefix}/" if self.prefix else "/"
        cookie = f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path={where}"
        extra = [(b"location", where.encode()), (b"set-cookie", cookie.encode())]
        await _answer(send, 303, "text/plain", b"", extra)

    # -- reports --

    async def _report(self, scope: Scope, receive: Receive, send: Send) -> None:
        bearer = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ")
        if not _same(bearer, self.learners):
            await _answer(send, 401, "text/plain", b"that is not this room's token\n")
            return
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MAX_BODY:
                await _answer(send, 413, "text/plain", b"a report is small\n")
                return
        try:
            id = self.room.report(json.loads(body), self.clock.monotonic())
        except (ValueError, RecursionError):
            await _answer(send, 400, "text/plain", b"a report is a JSON object\n")
        except Refused as error:
            await _answer(send, 400, "text/plain", f"{error}\n".encode())
        else:
            self._tell(id)
            await _answer(send, 204, "text/plain", b"")

    # -- changes --

    def _tell(self, id: str) -> None:
        self._changed.add(id)
        if self._flush is None and self._viewers:
            self._flush = asyncio.get_running_loop().call_later(COALESCE, self._publish)

    def _publish(self) -> None:
        self._flush, changed, self._changed = None, list(self._changed), set()
        for viewer in self._viewers:
            if viewer.qsize() < 8:  # one that does not read gets all rows with the next reckoning
                viewer.put_nowait(changed)

    async def _changes(self, receive: Receive, send: Send) -> None:
        if len(self._viewers) >= MAX_VIEWERS:
            await _answer(send, 503, "text/plain", b"too many boards are open\n")
            return
        headers = [(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no"), *HEADERS]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        queue: asyncio.Queue[list[str] | None] = asyncio.Queue()
        self._viewers.add(queue)
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            async for rows, whole in self._news(queue, gone):
                data = json.dumps({"whole": whole, "learners": rows})
                await send({"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": True})
        finally:
            self._viewers.discard(queue)
            gone.cancel()

    async def _news(
        self, queue: asyncio.Queue[list[str] | None], gone: asyncio.Future[None]
    ) -> AsyncIterator[tuple[list[dict[str, Any]], bool]]:
        """(rows, whether they are all) until the viewer is gone."""
        yield self.room.rows(self.clock.monotonic()), True
        while not gone.done():
            waiting = asyncio.ensure_future(queue.get())
            await asyncio.wait((waiting, gone), timeout=RECKON, return_when=asyncio.FIRST_COMPLETED)
            now = self.clock.monotonic()
            if waiting.done():
                changed = waiting.result() or []
                yield [self.room.row(id, now) for id in changed if id in self.room.learners], False
            else:
                waiting.cancel()
                if not gone.done():
                    yield self.room.rows(now), True


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


async def _answer(
    send: Send, status: int, kind: str, body: bytes, extra: list[tuple[bytes, bytes]] | None = None
) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode()), *HEADERS, *(extra or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def run(app: Instructor, host: str, port: int, stop: asyncio.Event, say: Any) -> None:
    """Until `stop` is set. Raises OSError when the address cannot be used."""
    sock = listen(host, port)
    async with serve(app, [sock]):
        say(sock.getsockname()[1])
        await stop.wait()
