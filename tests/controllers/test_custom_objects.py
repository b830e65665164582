"""Controllers that act on every kind there is: custom objects are owned, counted and deleted as built-in ones are.

They run against our API server, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import Any

import pytest

from tests import api_server
from workshop.api.errors import ApiError
from workshop.api.resources import Resource, resource
from workshop.client.asgi import AsgiTransport
from workshop.client.events import Recorder
from workshop.client.informer import InformerFactory
from workshop.client.rest import Client
from workshop.clock import SYSTEM
from workshop.controllers import options
from workshop.controllers.base import Context
from workshop.controllers.discovery import Discovery, DiscoveryFailed
from workshop.controllers.garbagecollector import GarbageCollector
from workshop.controllers.namespace import NamespaceController
from workshop.controllers.resourcequota import ResourceQuotaController

CRDS, MAPS, NAMESPACES = (
    resource("customresourcedefinitions.apiextensions.k8s.io"), resource("configmaps"), resource("namespaces")
)  # fmt: skip
QUOTAS, SERVICES = resource("resourcequotas"), resource("apiservices.apiregistration.k8s.io")
GIZMOS = Resource("example.com", "v1", "Gizmo", "gizmos", namespaced=True, custom=True)
SCHEMA = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
DEFINITION = {
    "metadata": {"name": "gizmos.example.com"},
    "spec": {
        "group": "example.com", "scope": "Namespaced", "names": {"plural": "gizmos", "kind": "Gizmo"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}}],
    },
}  # fmt: skip
AWAY = {
    "metadata": {"name": "v1.away.example.com"},
    "spec": {
        "group": "away.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10,
        "insecureSkipTLSVerify": True, "service": {"name": "nobody", "namespace": "default"},
    },
}  # fmt: skip


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with api_server.running() as server:
        client = Client(AsgiTransport(server.app))
        informers = InformerFactory(client)
        context = Context(client, informers, SYSTEM, Random(1), options.parse([]), lambda name: Recorder(client, name))
        controllers = [GarbageCollector(context), NamespaceController(context), ResourceQuotaController(context)]
        informers.start()
        tasks = [asyncio.create_task(each.run()) for each in controllers]
        yield client
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await informers.stop()


async def until(check: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(60):
        while not await check():  # noqa: ASYNC110 - it is the server that is asked
            await asyncio.sleep(0.05)


async def gone(client: Client, res: Resource, name: str, namespace: str | None = None) -> None:
    async def absent() -> bool:
        try:
            await client.get(res, name, namespace)
        except ApiError as error:
            return error.code == 404
        return False

    await until(absent)


async def defined(client: Client) -> None:
    await client.create(CRDS, DEFINITION)

    async def established() -> bool:
        found = await client.get(CRDS, "gizmos.example.com")
        wanted = {"type": "Established", "status": "True"}
        return any(wanted.items() <= c.items() for c in (found.get("status") or {}).get("conditions") or ())

    await until(established)


async def made(client: Client, res: Resource, name: str, *owners: dict[str, Any], namespace: str = "default") -> Any:
    references = [
        {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
         "uid": owner["metadata"]["uid"]}
        for owner in owners
    ]  # fmt: skip
    return await client.create(res, {"metadata": {"name": name, "ownerReferences": references}}, namespace)


async def test_a_custom_object_owns_and_is_owned(client: Client) -> None:
    await defined(client)
    top = await made(client, GIZMOS, "top")
    middle = await made(client, MAPS, "middle", top)
    await made(client, GIZMOS, "bottom", middle)
    await made(client, GIZMOS, "other")
    await client.delete(GIZMOS, "top", "default", propagation_policy="Foreground")
    await gone(client, GIZMOS, "bottom", "default")
    await gone(client, MAPS, "middle", "default")
    await gone(client, GIZMOS, "top", "default")
    assert await client.get(GIZMOS, "other", "default")


async def test_a_quota_counts_custom_objects(client: Client) -> None:
    await defined(client)
    await made(client, GIZMOS, "one")
    await client.create(
        QUOTAS, {"metadata": {"name": "few"}, "spec": {"hard": {"count/gizmos.example.com": "2"}}}, "default"
    )

    async def used() -> str:
        status = (await client.get(QUOTAS, "few", "default")).get("status") or {}
        return str((status.get("used") or {}).get("count/gizmos.example.com"))

    async def is_one() -> bool:
        return await used() == "1"

    await until(is_one)
    await made(client, GIZMOS, "two")
    with pytest.raises(ApiError, match="exceeded quota: few, requested: count/gizmos"):
        await made(client, GIZMOS, "three")
    await client.delete(GIZMOS, "two", "default")
    await until(is_one)


async def test_a_server_that_is_away_keeps_nobody_from_the_rest(client: Client) -> None:
    """What is left of a namespace is what that server may hold; the garbage collector learns new kinds all the same."""
    await client.create(SERVICES, AWAY)

    async def is_away() -> bool:
        try:
            await Discovery(client).resources()
        except DiscoveryFailed as error:
            return error.groups == {"away.example.com"}
        return False

    await until(is_away)
    await defined(client)
    await client.create(NAMESPACES, {"metadata": {"name": "left"}})
    owner = await made(client, GIZMOS, "owner")
    await made(client, MAPS, "owned", owner)
    await made(client, GIZMOS, "inside", namespace="left")
    await client.delete(GIZMOS, "owner", "default")
    await gone(client, MAPS, "owned", "default")
    await client.delete(NAMESPACES, "left")
    await gone(client, GIZMOS, "inside", "left")

    async def told() -> bool:
        status = (await client.get(NAMESPACES, "left")).get("status") or {}
        return any(
            c["reason"] == "DiscoveryFailed" and "stale GroupVersion discovery: away.example.com/v1" in c["message"]
            for c in status.get("conditions") or ()
        )

    await until(told)
    await client.delete(SERVICES, "v1.away.example.com")
    await gone(client, NAMESPACES, "left")
