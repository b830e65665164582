"""The objects that pods name, followed one by one in an API server of this process."""

from __future__ import annotations

import asyncio

from tests import api_server
from tests.kubelet.builders import pod
from workshop.api.resources import resource
from workshop.client.asgi import AsgiTransport
from workshop.client.rest import Client
from workshop.kubelet.objects import Objects

MAPS = resource("configmaps")


async def test_an_optional_object_may_come_and_go() -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    async with api_server.running() as server:
        client = Client(AsgiTransport(server.app))
        objects = Objects(client, told.put_nowait)
        await client.create(MAPS, {"metadata": {"name": "there"}, "data": {"a": "1"}}, "default")
        volumes = [{"name": n, "configMap": {"name": n, "optional": True}} for n in ("there", "late")]
        spec = pod(volumes=volumes)
        await objects.fetch(spec)
        assert told.empty()  # what was there before is no news
        assert objects.lookup("ConfigMap", "default", "there") and not objects.lookup("ConfigMap", "default", "late")
        await client.create(MAPS, {"metadata": {"name": "late"}, "data": {"a": "1"}}, "default")
        assert await asyncio.wait_for(told.get(), 60) == spec["metadata"]["uid"]
        assert objects.lookup("ConfigMap", "default", "late")
        await client.delete(MAPS, "there", "default")
        assert await asyncio.wait_for(told.get(), 60) == spec["metadata"]["uid"]
        assert objects.lookup("ConfigMap", "default", "there") is None
        await objects.close()
