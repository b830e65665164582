"""An API server in this process, without a socket: on memory, and on Debian's etcd. `api` speaks raw HTTP to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.api_server import Api, assembled, caller, running
from tests.etcd_servers import Kept
from workshop.apiserver.assembly import ApiServer
from workshop.apiserver.storage.etcd3 import Etcd3Storage
from workshop.apiserver.storage.interface import Storage
from workshop.apiserver.storage.memory import MemoryStorage


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Real etcds for all tests of a file."""
    members = Kept(tmp_path_factory.mktemp("etcd"))
    yield members
    members.close()


@pytest.fixture(params=["memory", "debian"])
async def store(request: pytest.FixtureRequest, kept: Kept) -> AsyncIterator[Storage]:
    if request.param == "memory":
        yield MemoryStorage()
        return
    storage = Etcd3Storage([kept.endpoint(request.param)])
    yield storage
    await storage.close()
    await kept.empty(request.param)


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
