"""The garbage collector against our API server, both in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from tests import api_server
from workshop.api.resources import resource
from workshop.client.asgi import AsgiTransport
from workshop.client.events import Recorder
from workshop.client.informer import InformerFactory
from workshop.client.rest import Client
from workshop.clock import SYSTEM
from workshop.controllers import options
from workshop.controllers.base import Context
from workshop.controllers.garbagecollector import GarbageCollector

MAPS = resource("configmaps")


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with api_server.running() as server:
        yield Client(AsgiTransport(server.app))


@pytest.fixture
async def collected(client: Client) -> AsyncIterator[Client]:
    """The same, with a garbage collector at work."""
    informers = InformerFactory(client)
    context = Context(client, informers, SYSTEM, Random(1), options.parse([]), lambda name: Recorder(client, name))
    collector = GarbageCollector(context)
    informers.start()
    running = asyncio.create_task(collector.run())
    yield client
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await informers.stop()


async def made(client: Client, name: str, *owners: dict[str, Any]) -> dict[str, Any]:
    refs = [owned_by(owner) for owner in owners]
    body = {"metadata": {"name": name, "ownerReferences": refs}}
    return await client.create(MAPS, body, "default")


def owned_by(owner: dict[str, Any]) -> dict[str, Any]:
    metadata = owner["metadata"]
    return {
        "apiVersion": "v1", "kind": "ConfigMap", "name": metadata["name"], "uid": metadata["uid"],
        "blockOwnerDeletion": True,
    }  # fmt: skip


async def names_until(client: Client, wanted: set[str]) -> None:
    """Wait until the ConfigMaps are just these."""
    names: set[str] = set()
    async with asyncio.timeout(60):
        async for kind, obj in client.watch(MAPS, "default"):
            if kind in ("ADDED", "DELETED"):
                names ^= {obj["metadata"]["name"]}
            if names == wanted and kind == "DELETED":
                return


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
async def test_what_is_owned_goes_with_its_owner(collected: Client, policy: str) -> None:
    top = await made(collected, "top")
    middle = await made(collected, "middle", top)
    await made(collected, "bottom", middle)
    await made(collected, "other")
    await collected.delete(MAPS, "top", "default", propagation_policy=policy)
    await names_until(collected, {"other"})


async def test_orphans_stay_without_their_owner(collected: Client) -> None:
    top = await made(collected, "top")
    await made(collected, "bottom", top)
    await collected.delete(MAPS, "top", "default", propagation_policy="Orphan")
    await names_until(collected, {"bottom"})
    assert "ownerReferences" not in (await collected.get(MAPS, "bottom", "default"))["metadata"]


async def test_a_circle_of_owners_does_not_wait_for_itself_for_ever(collected: Client) -> None:
    one = await made(collected, "one")
    two = await made(collected, "two", one)
    three = await made(collected, "three", two)
    await collected.patch(
        MAPS, "one", {"metadata": {"ownerReferences": [owned_by(three)]}}, "default",
        type="application/merge-patch+json",
    )  # fmt: skip
    await made(collected, "other")
    await collected.delete(MAPS, "one", "default", propagation_policy="Foreground")
    await names_until(collected, {"other"})
