"""An API server in this process, without a socket: on memory, and on Debian's etcd. `api` speaks raw HTTP to it."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest

from tests.api_server import Api, assembled, caller, running
from tests.etcd_servers import EtcdProcess
from workshop.apiserver.assembly import ApiServer
from workshop.apiserver.storage.etcd3 import Etcd3Storage
from workshop.apiserver.storage.interface import Storage
from workshop.apiserver.storage.memory import MemoryStorage
from workshop.wire import etcd_pb2 as pb


@pytest.fixture(scope="module")
def debian_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a real etcd for all tests of a file; each leaves it empty."""
    etcd = EtcdProcess("debian", tmp_path_factory.mktemp("etcd"))
    process = subprocess.Popen(etcd.arguments(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with grpc.insecure_channel(etcd.endpoint) as channel:
            grpc.channel_ready_future(channel).result(timeout=60)
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
    async with running(assembled(store)) as server:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        made = await caller(server)("POST", "/api/v1/namespaces/default/serviceaccounts", account)
        assert made.status == 201
        yield server


@pytest.fixture
async def api(server: ApiServer) -> Api:
    """`await api("GET", "/version")`; a body that is no text or bytes is sent as JSON."""
    return caller(server)
