"""Claims that are made for pods of templates, and given back when the pods have ended."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from tests import api_server
from workshop.api import meta
from workshop.client.asgi import AsgiTransport
from workshop.client.events import Recorder
from workshop.client.informer import InformerFactory
from workshop.client.rest import Client
from workshop.clock import SYSTEM
from workshop.controllers import options, resourceclaim
from workshop.controllers.base import Context
from workshop.controllers.resourceclaim import CLAIMS, FINALIZER, MADE_FOR, PODS

TEMPLATES = resourceclaim.resource("resourceclaimtemplates.resource.k8s.io")
REQUESTS = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}}
TEMPLATE = {"spec": {"metadata": {"labels": {"a": "b"}}, "spec": REQUESTS}}
ALLOCATION = {"devices": {"results": [{"request": "r", "driver": "d.com", "pool": "p", "device": "d"}]}}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "uid": f"{name}-uid"}
    return {"metadata": metadata, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def test_a_claim_of_a_template() -> None:
    made = resourceclaim.from_template(pod("web"), "gpu", TEMPLATE)
    assert made["metadata"]["generateName"] == "web-gpu-"
    assert made["metadata"]["annotations"] == {MADE_FOR: "gpu"} and made["metadata"]["labels"] == {"a": "b"}
    assert made["metadata"]["ownerReferences"][0]["uid"] == "web-uid" and made["spec"] == REQUESTS
    long = resourceclaim.from_template(pod("p" * 60), "c" * 40, TEMPLATE)["metadata"]["generateName"]
    assert long == "p" * 33 + "-" + "c" * 22


def test_the_last_consumer_gives_back_what_was_allocated() -> None:
    status = {"allocation": ALLOCATION, "reservedFor": [{"uid": "a"}, {"uid": "b"}]}
    claim = {"metadata": {"finalizers": [FINALIZER]}, "status": status}
    assert resourceclaim.without(claim, [{"uid": "b"}])["status"] == {**status, "reservedFor": [{"uid": "b"}]}
    assert resourceclaim.without(claim, [])["status"] == {}
    assert resourceclaim.without({**claim, "metadata": {}}, [])["status"] == {"allocation": ALLOCATION}


async def test_a_pods_claim_lives_as_long_as_the_pod_runs() -> None:
    async with api_server.running() as server:
        client = Client(AsgiTransport(server.app))
        informers = InformerFactory(client)
        context = Context(client, informers, SYSTEM, Random(1), options.parse([]), lambda name: Recorder(client, name))
        controller = resourceclaim.ResourceClaimController(context)
        informers.start()
        running = asyncio.create_task(controller.run())
        account = {"metadata": {"name": "default"}}
        await client.create(resourceclaim.resource("serviceaccounts"), account, "default")
        await client.create(TEMPLATES, {**TEMPLATE, "metadata": {"name": "t"}}, "default")
        asked = [{"name": "gpu", "resourceClaimTemplateName": "t"}, {"name": "own", "resourceClaimName": "shared"}]
        given = pod("web", resourceClaims=asked)
        await client.create(PODS, {**given, "metadata": {"name": "web"}}, "default")
        found: dict[str, Any] = {}

        async def told() -> bool:
            found.update(await client.get(PODS, "web", "default"))
            return bool((found.get("status") or {}).get("resourceClaimStatuses"))

        await api_server.until(told)
        (entry,) = found["status"]["resourceClaimStatuses"]
        claim = await client.get(CLAIMS, entry["resourceClaimName"], "default")
        assert entry["name"] == "gpu" and resourceclaim.owned(claim, found)
        assert (meta.name(claim).startswith("web-gpu-"), len((await client.list(CLAIMS))["items"])) == (True, 1)

        finalizers = {"metadata": {"finalizers": [FINALIZER]}}
        user = {"resource": "pods", "name": "web", "uid": meta.uid(found)}
        await client.patch(CLAIMS, meta.name(claim), finalizers, "default")
        status = {"status": {"allocation": ALLOCATION, "reservedFor": [user]}}
        await client.patch(CLAIMS, meta.name(claim), status, "default", subresource="status")
        await client.patch(PODS, "web", {"status": {"phase": "Succeeded"}}, "default", subresource="status")

        async def none_left() -> bool:
            return not (await client.list(CLAIMS))["items"]

        await api_server.until(none_left)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await informers.stop()
