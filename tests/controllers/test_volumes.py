"""Claims and volumes: which fits, who is held."""

import asyncio
from random import Random
from typing import Any

from tests import api_server
from tests.controllers.test_custom_objects import gone
from workshop.api.meta import Key, name
from workshop.client.asgi import AsgiTransport
from workshop.client.events import Recorder
from workshop.client.informer import InformerFactory
from workshop.client.rest import Client
from workshop.clock import SYSTEM
from workshop.controllers import options, volumebinder, volumeprotection
from workshop.controllers.base import Context


def volume(name: str, size: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], **spec},
    }


def claim(size: str, **spec: Any) -> dict[str, Any]:
    resources = {"requests": {"storage": size}}
    metadata = {"name": "c", "namespace": "default", "uid": "u"}
    return {"metadata": metadata, "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources, **spec}}


def chosen(wanted: dict[str, Any], *volumes: dict[str, Any]) -> str | None:
    found = volumebinder.choose(wanted, list(volumes))
    return name(found) if found is not None else None


def test_the_smallest_that_is_large_enough() -> None:
    assert chosen(claim("2Gi"), volume("a", "10Gi"), volume("b", "3Gi"), volume("c", "1Gi")) == "b"
    assert chosen(claim("20Gi"), volume("a", "10Gi")) is None


def test_a_volume_of_another_class_mode_or_owner_does_not_fit() -> None:
    assert chosen(claim("1Gi", storageClassName="fast"), volume("a", "1Gi")) is None
    assert chosen(claim("1Gi", accessModes=["ReadWriteMany"]), volume("a", "1Gi")) is None
    assert chosen(claim("1Gi", volumeMode="Block"), volume("a", "1Gi")) is None
    taken = volume("a", "1Gi", claimRef={"namespace": "default", "name": "c", "uid": "an-older-c"})
    assert chosen(claim("1Gi"), taken) is None


def test_a_volume_that_names_the_claim_is_its_volume() -> None:
    reserved = volume("z", "100Gi", claimRef={"namespace": "default", "name": "c"})
    assert chosen(claim("1Gi"), volume("a", "1Gi"), reserved) == "z"
    assert chosen(claim("1Gi", volumeName="b"), volume("a", "1Gi"), volume("b", "5Gi")) == "b"


def test_who_holds_a_claim() -> None:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "e", "ephemeral": {}}]
    pod = {"metadata": {"name": "p", "namespace": "n"}, "spec": {"volumes": volumes}, "status": {"phase": "Running"}}
    assert volumeprotection.by_claim(pod) == ["n/c", "n/p-e"]
    assert not volumeprotection.uses(pod)
    pod["spec"]["nodeName"] = "n1"
    assert volumeprotection.uses(pod)
    pod["status"]["phase"] = "Succeeded"
    assert not volumeprotection.uses(pod)


async def test_a_class_of_attributes_goes_when_nobody_names_it() -> None:
    classes, claims = volumeprotection.CLASSES, volumeprotection.CLAIMS
    async with api_server.running() as server:
        client = Client(AsgiTransport(server.app))
        informers = InformerFactory(client)
        context = Context(client, informers, SYSTEM, Random(1), options.parse([]), lambda name: Recorder(client, name))
        controller = volumeprotection.ClassProtection(context)
        informers.start()
        task = asyncio.create_task(controller.run())
        for named in ("used", "free"):
            await client.create(classes, {"metadata": {"name": named}, "driverName": "d", "parameters": {"iops": "1"}})
        await client.create(claims, claim("1Gi", volumeAttributesClassName="used"), "default")

        async def seen() -> bool:
            return context.informer("persistentvolumeclaims").store.get(Key("default", "c")) is not None

        async def none_left() -> bool:
            return not (await client.list(classes))["items"]

        await api_server.until(seen)
        await client.delete(classes, "used")
        await client.delete(classes, "free")
        await gone(client, classes, "free")
        held = await client.get(classes, "used")
        assert held["metadata"]["finalizers"] == [volumeprotection.CLASS_FINALIZER]
        live = await client.get(claims, "c", "default")
        await client.update(claims, {**live, "metadata": {**live["metadata"], "finalizers": []}})
        await client.delete(claims, "c", "default")
        await api_server.until(none_left)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await informers.stop()
