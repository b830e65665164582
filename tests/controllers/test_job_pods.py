"""A Job and pods that lose and find it, against our API server in this process."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from tests import api_server
from workshop.api.resources import resource
from workshop.client.asgi import AsgiTransport
from workshop.client.events import Recorder
from workshop.client.informer import InformerFactory
from workshop.client.rest import Client
from workshop.clock import SYSTEM
from workshop.controllers import job_tally, options
from workshop.controllers.base import Context
from workshop.controllers.job import JOBS, JobController

PODS = resource("pods")


async def test_an_orphan_is_adopted_and_a_stranger_let_go() -> None:
    async with api_server.running() as server:
        client = Client(AsgiTransport(server.app))
        informers = InformerFactory(client)
        context = Context(client, informers, SYSTEM, Random(1), options.parse([]), lambda name: Recorder(client, name))
        await client.create(resource("serviceaccounts"), {"metadata": {"name": "default"}}, "default")
        controller = JobController(context)
        informers.start()
        task = asyncio.create_task(controller.run())
        spec = {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}
        made = await client.create(JOBS, {"metadata": {"name": "j"}, "spec": {"template": {"spec": spec}}}, "default")

        async def pods() -> list[dict[str, Any]]:
            return (await client.list(PODS, "default"))["items"]

        async def until(check: Any) -> dict[str, Any]:
            found: list[dict[str, Any]] = []

            async def seen() -> bool:
                found[:] = [pod for pod in await pods() if check(pod["metadata"])]
                return bool(found)

            await api_server.until(seen)
            return found[0]

        def owned(meta: dict[str, Any]) -> bool:
            owners = [ref["uid"] for ref in meta.get("ownerReferences") or ()]
            return owners == [made["metadata"]["uid"]] and meta.get("finalizers") == [job_tally.FINALIZER]

        pod = await until(owned)
        name = pod["metadata"]["name"]
        await client.patch(PODS, name, {"metadata": {"ownerReferences": None, "finalizers": None}}, "default",
                           type="application/merge-patch+json")  # fmt: skip
        await until(lambda meta: meta["name"] == name and owned(meta))
        await client.patch(PODS, name, {"metadata": {"labels": None}}, "default", type="application/merge-patch+json")
        await until(
            lambda meta: meta["name"] == name and not meta.get("ownerReferences") and not meta.get("finalizers")
        )
        await until(lambda meta: meta["name"] != name and owned(meta))  # another takes its place
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await informers.stop()
