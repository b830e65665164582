"""exec and attach through the API server: in which order a client is told, and that nothing is lost at the end."""

from __future__ import annotations

import asyncio
import json
import types
from collections.abc import AsyncIterator
from typing import Any

from tests import api_server
from tests.ports import free_port
from workshop.api.resources import resource
from workshop.apiserver.handlers import node_proxy
from workshop.apiserver.server.http import Request
from workshop.client.asgi import AsgiTransport
from workshop.client.rest import Client


async def test_streams_are_there_before_the_kubelet_is_asked() -> None:
    """kubectl before 1.34 loses what comes before it has made its streams."""
    async with api_server.running() as server:
        client = Client(AsgiTransport(server.app))
        node = {"metadata": {"name": "n"}, "status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}}
        port = free_port()
        node["status"]["daemonEndpoints"] = {"kubeletEndpoint": {"Port": port}}
        await client.create(resource("nodes"), node)
        account = {"metadata": {"name": "default"}}
        await client.create(resource("serviceaccounts"), account, "default")
        spec = {"nodeName": "n", "containers": [{"name": "c", "image": "x"}]}
        await client.create(resource("pods"), {"metadata": {"name": "p"}, "spec": spec}, "default")
        path = "/api/v1/namespaces/default/pods/p/exec"
        for query, first in (({"stdout": "1"}, b"\1"), ({"stderr": "1"}, b"\2"), ({"stdin": "1"}, b"\3")):
            socket = await client.websocket(path, {"command": "ls", **query}, ("v5.channel.k8s.io",))
            assert await socket.receive() == first
            told = await socket.receive()
            assert isinstance(told, bytes) and told[:1] == b"\3"
            status = json.loads(told[1:])
            assert status["code"] == 500 and status["message"].endswith(
                f"dial tcp 127.0.0.1:{port}: connect: connection refused"
            ), status
            assert await socket.receive() is None


class ClosedKubelet:
    """It said its last words and takes no more; they arrive when `words` is set."""

    def __init__(self) -> None:
        self.refused, self.words = asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> ClosedKubelet:
        return self

    async def __aexit__(self, *problem: object) -> None:
        pass

    async def send_bytes(self, data: bytes) -> None:
        self.refused.set()
        raise ConnectionResetError("Cannot write to closing transport")

    async def __aiter__(self) -> AsyncIterator[Any]:
        await self.words.wait()
        for data in (b"\1output", b"\3status"):
            yield types.SimpleNamespace(type=types.SimpleNamespace(name="BINARY"), data=data)


async def test_input_that_comes_too_late_costs_nothing_of_the_output() -> None:
    far, sent = ClosedKubelet(), []

    async def receive() -> Any:
        return {"type": "websocket.receive", "bytes": b"\4{}"}

    async def send(message: Any) -> None:
        sent.append(message)

    request = Request({"type": "websocket", "path": "/", "query_string": b"", "headers": []}, receive, send)
    carrying = asyncio.create_task(node_proxy._carry(request, far))  # type: ignore[arg-type]
    async with asyncio.timeout(60):
        await far.refused.wait()
        await asyncio.sleep(0)
        far.words.set()
        await carrying
    assert [message.get("bytes") for message in sent] == [b"\1output", b"\3status", None]
    assert sent[-1] == {"type": "websocket.close", "code": 1000}
