"""Fifty writers of one object: no update is lost, versions only rise, and a watch that breaks off and goes on from where
it was sees each change once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from itertools import pairwise
from random import Random

import pytest

from tests.api_server import PATIENCE, caller, running
from workshop.api.resources import resource
from workshop.apiserver.assembly import ApiServer
from workshop.client.asgi import AsgiTransport
from workshop.client.rest import Client

MAPS = "/api/v1/namespaces/default/configmaps"
WRITERS, EACH = 50, 3


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with running() as server:
        yield server


async def test_fifty_writers_lose_nothing_and_a_broken_watch_sees_each_change_once(server: ApiServer) -> None:
    api, client = caller(server), Client(AsgiTransport(server.app))
    made = (await api("POST", MAPS, {"metadata": {"name": "counter"}, "data": {"n": "0"}})).json
    first, versions, conflicts = int(made["metadata"]["resourceVersion"]), [], 0

    async def count() -> None:
        nonlocal conflicts
        done = 0
        while done < EACH:
            found = (await api("GET", f"{MAPS}/counter")).json
            await asyncio.sleep(0)
            found["data"]["n"] = str(int(found["data"]["n"]) + 1)
            answer = await api("PUT", f"{MAPS}/counter", found)
            assert answer.status in (200, 409)
            if answer.status == 200:
                versions.append(int(answer.json["metadata"]["resourceVersion"]))
                done += 1
            else:
                conflicts += 1

    async def mark(number: int) -> None:
        patch = {"data": {f"writer-{number}": "was here"}}
        answer = await api("PATCH", f"{MAPS}/counter", patch, "application/merge-patch+json")
        assert answer.status == 200
        versions.append(int(answer.json["metadata"]["resourceVersion"]))

    await asyncio.gather(*(count() for _ in range(WRITERS)), *(mark(number) for number in range(WRITERS)))
    last = (await api("GET", f"{MAPS}/counter")).json
    assert last["data"]["n"] == str(WRITERS * EACH)
    assert {f"writer-{number}" for number in range(WRITERS)} < last["data"].keys()
    assert len(set(versions)) == len(versions) == WRITERS * (EACH + 1)
    assert conflicts, "fifty writers that never met prove nothing"

    seen: list[int] = []
    since, random = first, Random(2)
    while since < max(versions):  # each connection is cut after some events
        cut = min(random.randint(20, 90), len(versions) - len(seen))
        watch = client.watch(resource("configmaps"), "default", resource_version=str(since), bookmarks=False)
        async with asyncio.timeout(PATIENCE), contextlib.aclosing(watch):
            events = [await anext(watch) for _ in range(cut)]
        assert all(kind == "MODIFIED" for kind, _ in events)
        seen += [int(obj["metadata"]["resourceVersion"]) for _, obj in events]
        since = seen[-1]
    assert seen == sorted(versions)
    assert all(a < b for a, b in pairwise(seen))
