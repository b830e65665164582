"""A stream (a watch, a log) that a client wants to read over a WebSocket.

A watch goes out as one text message an event; anything else in messages of bytes, or of base64 where the client asked
for `base64.binary.k8s.io`, after an empty one that says that the stream is open. What the client sends is not read.

Upstream: streaming/pkg/httpstream/wsstream/stream.go, apiserver/pkg/endpoints/handlers/watch.go (HandleWS).
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from typing import Any

from workshop.serving import Receive, Send
from workshop.serving.head import Head

from .http import Request, Response

_STREAMED = re.compile(r"/(exec|attach|portforward|log|proxy)(/|$)|/watch/")
_WATCH = re.compile(rb"(^|&)watch(=(?!false|0(&|$))|&|$)")


def streams(asked: Head) -> bool:
    """Is there anything to stream? Other requests are answered as if nobody had asked for a WebSocket."""
    return bool(_STREAMED.search(asked.path) or _WATCH.search(asked.query))


BINARY, BASE64 = "binary.k8s.io", "base64.binary.k8s.io"


async def stream_messages(request: Request, response: Response, receive: Receive, send: Send) -> None:
    """Accept, send what comes, and close; or stop when the client goes away."""
    stream = response.stream
    assert stream is not None
    wanted: list[str] = request.scope.get("subprotocols", [])
    events = response.content_type.startswith("application/json")
    known = wanted[:1] if events else [each for each in wanted if each in (BINARY, BASE64)][:1]
    chosen = known[0] if known else None
    await send({"type": "websocket.accept", "subprotocol": chosen})
    if not events:
        await _send(send, b"", chosen)
    tasks = [
        asyncio.create_task(_events(stream, send) if events else _bytes(stream, send, chosen)),
        asyncio.create_task(_until_gone(receive)),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[1].done():
            await send({"type": "websocket.close", "code": 1000})
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        close: Any = getattr(stream, "aclose", None)
        if close is not None:
            await close()
        for over in response.when_over:
            over()


async def _events(stream: AsyncIterator[bytes], send: Send) -> None:
    async for chunk in stream:
        for line in chunk.splitlines():
            await send({"type": "websocket.send", "text": line.decode()})


async def _bytes(stream: AsyncIterator[bytes], send: Send, protocol: str | None) -> None:
    async for chunk in stream:
        await _send(send, chunk, protocol)


async def _send(send: Send, data: bytes, protocol: str | None) -> None:
    if protocol == BASE64:
        await send({"type": "websocket.send", "text": base64.b64encode(data).decode()})
    else:
        await send({"type": "websocket.send", "bytes": data})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        pass
