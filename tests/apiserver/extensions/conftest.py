"""An API server in this process, in memory; definitions put up in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import Any

import pytest

from tests.apiserver.conftest import caller
from workshop.apiserver.assembly import ApiServer, Settings
from workshop.apiserver.security import Options
from workshop.apiserver.storage.memory import MemoryStorage
from workshop.clock import SYSTEM

Api = Callable[..., Awaitable[Any]]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    options = Options(advertise_address="192.0.2.1", secure_port=6443, service_cluster_ip_range=["10.96.0.0/16"])
    server = ApiServer(options, Settings(), MemoryStorage(), SYSTEM, Random(1))
    running = asyncio.create_task(server.follow())
    try:
        async with asyncio.timeout(10):
            await server.start()
        yield server
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await server.close()


@pytest.fixture
async def api(server: ApiServer) -> Api:
    return caller(server)


async def established(api: Api, crd: dict[str, Any]) -> None:
    """Create the definition and wait until it is served."""
    made = await api("POST", CRDS, crd)
    assert made.status == 201, made.body
    await served(api, crd["metadata"]["name"])


async def served(api: Api, name: str) -> None:
    async def established() -> bool:
        found = (await api("GET", f"{CRDS}/{name}")).json
        return any(
            c["type"] == "Established" and c["status"] == "True"
            for c in (found.get("status") or {}).get("conditions") or ()
        )

    await until(established)


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    """Asks again as soon as others have had their turn; gives up after five seconds."""
    async with asyncio.timeout(5):
        while not await check():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def answers(api: Api, path: str, status: int) -> None:
    async def same() -> bool:
        return bool((await api("GET", path)).status == status)

    await until(same)
