"""Streams over a WebSocket: a watch an event a message, anything else as bytes or base64."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests import api_server
from workshop.api.resources import resource
from workshop.apiserver.server.http import Request, Response
from workshop.apiserver.server.websocket import stream_messages
from workshop.client.asgi import AsgiTransport
from workshop.client.rest import Client

MAPS = resource("configmaps")


async def test_a_watch() -> None:
    async with api_server.running() as server:
        client = Client(AsgiTransport(server.app))
        await client.create(MAPS, {"metadata": {"name": "a"}}, "default")
        path = "/api/v1/namespaces/default/configmaps"
        socket = await client.websocket(path, {"watch": "true", "fieldSelector": "metadata.name=a"}, ())
        first = json.loads(await socket.receive())
        assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "a")
        await client.delete(MAPS, "a", "default")
        assert json.loads(await socket.receive())["type"] == "DELETED"
        await socket.close()


@pytest.mark.parametrize(("wanted", "chosen"), [([], None), (["x", "base64.binary.k8s.io"], "base64.binary.k8s.io")])
async def test_a_log(wanted: list[str], chosen: str | None) -> None:
    closed: list[bool] = []

    async def lines() -> AsyncIterator[bytes]:
        try:
            yield b"one\n"
            yield b"two\n"
        finally:
            closed.append(True)

    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return await asyncio.Future()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": [], "subprotocols": wanted}
    answer = Response(content_type="text/plain", stream=lines(), when_over=[lambda: closed.append(True)])
    await stream_messages(Request(scope, receive, send), answer, receive, send)
    assert sent[0] == {"type": "websocket.accept", "subprotocol": chosen}
    said = [base64.b64decode(m["text"]) if chosen else m["bytes"] for m in sent[1:-1]]
    assert said == [b"", b"one\n", b"two\n"]
    assert sent[-1]["type"] == "websocket.close" and closed == [True, True]


async def test_a_client_that_leaves_ends_the_stream() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield b"one\n"
            await asyncio.Future()
        finally:
            closed.set()

    async def receive() -> Any:
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(message: Any) -> None:
        pass

    scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": [], "subprotocols": []}
    answer = Response(content_type="text/plain", stream=endless())
    await asyncio.wait_for(stream_messages(Request(scope, receive, send), answer, receive, send), 60)
    assert closed.is_set()
