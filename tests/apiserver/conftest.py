"""An API server in this process, without a socket: on memory, and on Debian's etcd. `api` speaks raw HTTP to it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from random import Random
from typing import Any, NamedTuple

import grpc
import pytest

from tests.etcd_servers import EtcdProcess
from workshop.apiserver.assembly import ApiServer, Settings
from workshop.apiserver.security import Options
from workshop.apiserver.storage.etcd3 import Etcd3Storage
from workshop.apiserver.storage.interface import Storage
from workshop.apiserver.storage.memory import MemoryStorage
from workshop.clock import SYSTEM
from workshop.wire import etcd_pb2 as pb


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Api = Callable[..., Awaitable[Answer]]


@pytest.fixture(scope="module")
def debian_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a real etcd for all tests of a file; each leaves it empty."""
    etcd = EtcdProcess("debian", tmp_path_factory.mktemp("etcd"))
    process = subprocess.Popen(etcd.arguments(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with grpc.insecure_channel(etcd.endpoint) as channel:
            grpc.channel_ready_future(channel).result(timeout=15)
        yield etcd.endpoint
    finally:
        process.kill()
        process.wait()


@pytest.fixture(params=["memory", "debian"])
async def store(request: pytest.FixtureRequest, debian_etcd: str) -> AsyncIterator[Storage]:
    if request.param == "memory":
        yield MemoryStorage()
        return
    storage = Etcd3Storage([debian_etcd])
    yield storage
    await storage.close()
    async with grpc.aio.insecure_channel(debian_etcd) as channel:
        everything = pb.DeleteRangeRequest(key=b"\0", range_end=b"\0")
        await channel.unary_unary(
            "/etcdserverpb.KV/DeleteRange",
            request_serializer=pb.DeleteRangeRequest.SerializeToString,
            response_deserializer=pb.DeleteRangeResponse.FromString,
        )(everything)


@pytest.fixture
async def server(store: Storage) -> AsyncIterator[ApiServer]:
    """It runs, and the namespace `default` has its ServiceAccount."""
    options = Options(advertise_address="192.0.2.1", secure_port=6443, service_cluster_ip_range=["10.96.0.0/16"])
    server = ApiServer(options, Settings(), store, SYSTEM, Random(1))
    running = asyncio.create_task(server.follow())
    try:
        async with asyncio.timeout(10):
            await server.start()
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        made = await caller(server)("POST", "/api/v1/namespaces/default/serviceaccounts", account)
        assert made.status == 201
        yield server
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await server.close()


@pytest.fixture
async def api(server: ApiServer) -> Api:
    """`await api("GET", "/version")`; a body that is no text or bytes is sent as JSON."""
    return caller(server)


def caller(server: ApiServer) -> Api:
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
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": headers,
            "query_string": query.encode(), "extensions": {},
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
