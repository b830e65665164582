"""Fifty writers of one object: no update is lost, versions only rise, and a watch that breaks off and goes on from where
it was sees each change once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from random import Random

import pytest

from tests.apiserver.conftest import caller
from workshop.apiserver.assembly import ApiServer, Settings
from workshop.apiserver.security import Options
from workshop.apiserver.storage.memory import MemoryStorage
from workshop.clock import SYSTEM

MAPS = "/api/v1/namespaces/default/configmaps"
WRITERS, EACH = 50, 3


@pytest.fixture
async def api() -> AsyncIterator[object]:
    options = Options(advertise_address="192.0.2.1", secure_port=6443, service_cluster_ip_range=["10.96.0.0/16"])
    server = ApiServer(options, Settings(), MemoryStorage(), SYSTEM, Random(1))
    following = asyncio.create_task(server.follow())
    await server.start()
    yield caller(server)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await server.close()


async def test_fifty_writers_lose_nothing_and_a_broken_watch_sees_each_change_once(api) -> None:  # type: ignore[no-untyped-def]
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
    while since < max(versions):  # each connection is cut after some lines
        raw = (await api("GET", f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion={since}")).body
        events = [json.loads(line) for line in raw.splitlines()][: random.randint(20, 90)]
        assert events and all(event["type"] == "MODIFIED" for event in events)
        seen += [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
        since = seen[-1]
    assert seen == sorted(versions)
    assert all(a < b for a, b in pairwise(seen))
