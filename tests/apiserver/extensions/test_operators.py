"""Operators as people write them, with kopf and with kr8s: define a kind, watch it, act, tell the status.

The server is in this process; they reach it by HTTP on a port of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import kopf
import kr8s.asyncio
import pytest
from kr8s.asyncio.objects import CustomResourceDefinition, new_class

from tests.api_server import Api, until
from workshop.apiserver.assembly import ApiServer
from workshop.serving import listen, serve

from .conftest import established

MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = "application/merge-patch+json"
PAGES = "/apis/workshop.example.com/v1/namespaces/default/pages"
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "pages.workshop.example.com"},
    "spec": {
        "group": "workshop.example.com",
        "scope": "Namespaced",
        "names": {"plural": "pages", "kind": "Page", "singular": "page", "shortNames": ["pg"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.copies", "statusReplicasPath": ".status.copies"},
                },
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {"text": {"type": "string"}, "copies": {"type": "integer", "default": 1}},
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture
async def url(server: ApiServer) -> AsyncIterator[str]:
    socket = listen("127.0.0.1", 0)
    async with serve(server.app, [socket], None):
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"


def page(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "workshop.example.com/v1", "kind": "Page", "metadata": {"name": name}, "spec": spec}


def operator(url: str, api: Api) -> kopf.OperatorRegistry:
    """Keeps a ConfigMap as each page is."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)  # type: ignore[arg-type]
    def login(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=url)

    @kopf.on.create("workshop.example.com", "v1", "pages", id="create", registry=registry)
    async def create(name: str, spec: kopf.Spec, **_: Any) -> dict[str, Any]:
        body = {"metadata": {"name": name}, "data": {"text": spec["text"]}}
        kopf.adopt(body)
        assert (await api("POST", MAPS, body)).status == 201
        return {"shown": spec["text"]}

    @kopf.on.update("workshop.example.com", "v1", "pages", field="spec.text", registry=registry)
    async def update(name: str, new: str, patch: kopf.Patch, **_: Any) -> None:
        await api("PATCH", f"{MAPS}/{name}", {"data": {"text": new}}, content_type=MERGE)
        patch.status["text"] = new

    @kopf.on.delete("workshop.example.com", "v1", "pages", registry=registry)
    async def delete(name: str, **_: Any) -> None:
        await api("DELETE", f"{MAPS}/{name}")

    return registry


async def test_kopf(url: str, api: Api) -> None:
    await established(api, DEFINITION)
    ready, stop = asyncio.Event(), asyncio.Event()
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    running = asyncio.create_task(
        kopf.operator(
            registry=operator(url, api), settings=settings, standalone=True, namespaces=["default"],
            ready_flag=ready, stop_flag=stop,
        )
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            await ready.wait()
        assert (await api("POST", PAGES, page("one", text="a"))).status == 201
        await until(lambda: told(api, "one", "create", {"shown": "a"}))
        made = (await api("GET", f"{MAPS}/one")).json
        assert made["data"] == {"text": "a"}
        assert made["metadata"]["ownerReferences"][0]["kind"] == "Page"
        found = (await api("GET", f"{PAGES}/one")).json
        assert found["metadata"]["finalizers"] == ["kopf.zalando.org/KopfFinalizerMarker"]
        assert found["spec"] == {"text": "a", "copies": 1}

        await api("PATCH", f"{PAGES}/one", {"spec": {"text": "b"}}, content_type=MERGE)
        await until(lambda: told(api, "one", "text", "b"))
        assert (await api("GET", f"{MAPS}/one")).json["data"] == {"text": "b"}

        await api("DELETE", f"{PAGES}/one")
        await until(lambda: absent(api, f"{PAGES}/one"))
        assert await absent(api, f"{MAPS}/one")
    finally:
        stop.set()
        async with asyncio.timeout(60):
            await running


async def told(api: Api, name: str, field: str, value: Any) -> bool:
    found = (await api("GET", f"{PAGES}/{name}")).json
    return (found.get("status") or {}).get(field) == value


async def absent(api: Api, path: str) -> bool:
    return bool((await api("GET", path)).status == 404)


@pytest.mark.filterwarnings("ignore:Kubernetes version .* is not supported")
async def test_kr8s(url: str, api: Api, tmp_path: Path) -> None:
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url}}], "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "default"}}],
    }  # fmt: skip
    (tmp_path / "config").write_text(json.dumps(config))
    remote = await kr8s.asyncio.api(kubeconfig=str(tmp_path / "config"))
    definition = await CustomResourceDefinition(DEFINITION, api=remote)
    await definition.create()
    await definition.wait("condition=Established")

    page_of = new_class(
        "Page", "workshop.example.com/v1", namespaced=True, asyncio=True, scalable=True, scalable_spec="copies"
    )
    one = await page_of(page("one", text="a"), api=remote)
    seen: list[tuple[str, str]] = []

    async def follow() -> None:
        async for event, each in remote.watch("pages.workshop.example.com", namespace="default"):
            seen.append((event, each.raw.get("status", {}).get("text", "")))
            if event == "ADDED":
                await each.patch({"status": {"text": each.spec.text}}, subresource="status")
            if event == "DELETED":
                return

    async with asyncio.timeout(60):
        following = asyncio.create_task(follow())
        await one.create()
        await until(lambda: told(api, "one", "text", "a"))
        await one.refresh()
        assert one.status.text == "a"
        await one.scale(3)
        await one.label(tier="front")
        assert [each.name async for each in remote.get("pg", label_selector={"tier": "front"})] == ["one"]
        assert (await api("GET", f"{PAGES}/one")).json["spec"] == {"text": "a", "copies": 3}
        await one.delete()
        await following
    assert seen[0] == ("ADDED", "")
    assert ("MODIFIED", "a") in seen
    assert seen[-1][0] == "DELETED"
