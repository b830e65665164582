"""An API server in this process, in memory; definitions put up in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api_server import Api, caller, running, until
from workshop.apiserver.assembly import ApiServer

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with running() as server:
        yield server


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
