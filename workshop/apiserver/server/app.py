"""The ASGI application: a scope becomes a Request, the chain answers it, the answer goes out.

Whatever happens inside, the client gets a Status and the process lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from workshop import trace
from workshop.api import errors
from workshop.apiserver.storage.interface import StorageError, TooLarge, Unavailable
from workshop.serving import Receive, Scope, Send

from . import info, timeout, warned
from .http import Request, Response, Served, error_response
from .websocket import stream_messages

logger = logging.getLogger(__name__)
Handler = Callable[[Request], Awaitable[Response]]
GZIP_FROM = 128 * 1024
TURN = 4
"""Pieces of a body that are sent at a time."""


class Application:
    """`chain` is the outermost link: it takes a Request and gives a Response or raises ApiError."""

    def __init__(self, chain: Handler, strict_transport_security: str = "") -> None:
        self._chain = chain
        self._always = [("Strict-Transport-Security", strict_transport_security)] if strict_transport_security else []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        if request.is_websocket:
            await receive()  # websocket.connect
        with trace.within(request=request.id) if trace.enabled() else contextlib.nullcontext():
            await self._serve(request, receive, send)

    async def _serve(self, request: Request, receive: Receive, send: Send) -> None:
        with trace.step("apiserver.answer", method=request.method, path=request.path) as told:
            response = await self._answer(request)
            told["code"], told["bytes"] = response.status, response.length or len(response.body)
            if response.status >= 400 and trace.enabled():
                told["message"] = response.body.decode("utf-8", "replace")[:2000]
        if isinstance(response, Served):
            return
        response.headers += [("Audit-Id", request.id), *self._always, *request.response_headers]
        response.headers += [
            ("Warning", value.encode().decode("latin-1")) for value in warned.headers(request.warnings)
        ]
        if request.is_websocket and response.stream is not None:
            await stream_messages(request, response, receive, send)
        elif request.is_websocket:
            await _refuse(response, send)
        elif response.stream is not None:
            await _stream(request, response, receive, send)
        elif response.pieces is not None:
            await _in_pieces(request, response, response.pieces, send)
        else:
            await _whole(request, response, send)

    async def _answer(self, request: Request) -> Response:
        try:
            request.info = asked = info.parse(request)
            if trace.enabled():
                trace.emit(
                    "apiserver.request", method=request.method, path=request.path, verb=asked.verb,
                    resource=asked.resource, subresource=asked.subresource, namespace=asked.namespace,
                    name=asked.name, agent=request.header("user-agent"),
                )  # fmt: skip
            timeout.check(request)
            return await self._chain(request)
        except errors.ApiError as error:
            return error_response(error)
        except TooLarge as error:  # for the store; a body that is too large is told so by 413
            return error_response(errors.failure(500, "", str(error)))
        except Unavailable as error:
            logger.warning("%s %s: the store does not answer: %s", request.method, request.path, error)
            return error_response(errors.internal(str(error) or "etcdserver: request timed out"))
        except RecursionError:  # what is kept of an object is walked by Python's own stack
            return error_response(errors.bad_request("exceeded max depth"))
        except StorageError as error:
            return error_response(errors.internal(str(error)))
        except Exception:
            logger.exception("%s %s", request.method, request.path)
            return error_response(errors.internal("the server could not handle this request; its log says why"))


def _head(response: Response, *more: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    headers = [(b"cache-control", b"no-cache, private"), (b"content-type", response.content_type.encode()), *more]
    if response.status == 304:  # a client's cache takes over each header that stands here
        headers = []
    return headers + [(k.lower().encode(), v.encode("utf-8", "replace")) for k, v in response.headers]


async def _whole(request: Request, response: Response, send: Send) -> None:
    body = response.body
    more: list[tuple[bytes, bytes]] = []
    if len(body) > GZIP_FROM and "gzip" in request.header("accept-encoding"):
        body = gzip.compress(body, compresslevel=1, mtime=0)
        more = [(b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding")]
    more.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": _head(response, *more)})
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})


async def _in_pieces(request: Request, response: Response, pieces: Iterator[bytes], send: Send) -> None:
    """One piece at a time is in memory; between some of them others have their turn."""
    more = [(b"content-length", str(response.length).encode())]
    if response.length > GZIP_FROM and "gzip" in request.header("accept-encoding"):
        pieces, more = _compressed(pieces), [(b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding")]
    await send({"type": "http.response.start", "status": response.status, "headers": _head(response, *more)})
    for number, piece in enumerate(pieces):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        if number % TURN == TURN - 1:
            await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b""})


def _compressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(1, wbits=31)
    for piece in pieces:
        if found := compressor.compress(piece):
            yield found
    yield compressor.flush()


async def _stream(request: Request, response: Response, receive: Receive, send: Send) -> None:
    """Send chunks until the stream ends or the client goes away, whichever is first."""
    stream = response.stream
    assert stream is not None
    await send({"type": "http.response.start", "status": response.status, "headers": _head(response)})
    try:
        async with _while_there(request, receive):
            async for chunk in stream:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
    finally:
        close: Any = getattr(stream, "aclose", None)
        if close is not None:
            await close()
        for over in response.when_over:
            over()


@contextlib.asynccontextmanager
async def _while_there(request: Request, receive: Receive) -> AsyncIterator[None]:
    """The block ends, without an error, when the client goes away."""
    task, gone = asyncio.current_task(), False
    assert task is not None

    def left() -> None:
        nonlocal gone
        gone = True
        task.cancel()

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        left()

    connection = request.connection
    listening = asyncio.create_task(listen()) if connection is None else None
    if connection is not None:
        connection.when_gone(left)
    try:
        yield
    except asyncio.CancelledError:
        if not gone or task.uncancel():
            raise
    finally:
        if connection is not None:
            connection.when_gone(None)
        if listening is not None:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def _refuse(response: Response, send: Send) -> None:
    """Answer a WebSocket handshake with an ordinary HTTP error."""
    body = response.whole()
    head = _head(response, (b"content-length", str(len(body)).encode()))
    await send({"type": "websocket.http.response.start", "status": response.status, "headers": head})
    await send({"type": "websocket.http.response.body", "body": body})
