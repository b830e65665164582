"""Policies judge and change objects, and are judged themselves, as on the real server: the same answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.api_server import caller
from tests.apiserver.admission import policy_cases as cases
from tests.apiserver.admission.record_policies import FACTS, LIMITS, OBJECTS, told
from tests.apiserver.extensions.conftest import server  # noqa: F401
from workshop.apiserver.assembly import ApiServer

facts: dict[str, Any] = json.loads(FACTS.read_text())


async def ask(server: ApiServer, method: str, path: str, body: Any = None) -> list[Any]:  # noqa: F811
    answer = await caller(server)(method, path, body)
    await server.cacher.consistent()
    return told(answer.status, answer.json, answer.headers.get("warning", ""))


async def test_what_is_refused(server: ApiServer) -> None:  # noqa: F811
    found = {
        name: await ask(server, "POST", f"{cases.path(obj)}?dryRun=All", obj) for name, obj in cases.refused().items()
    }
    assert found == facts["refused"]


async def test_what_policies_say(server: ApiServer) -> None:  # noqa: F811
    await ask(server, "POST", OBJECTS, LIMITS)
    found = {}
    for name, (policy, binding, obj) in cases.judged().items():
        await ask(server, "POST", cases.path(policy), policy)
        await ask(server, "POST", cases.path(binding), binding)
        await asyncio.sleep(0)
        found[name] = await ask(server, "POST", f"{OBJECTS}?dryRun=All", obj)
        for made in (binding, policy):
            await ask(server, "DELETE", f"{cases.path(made)}/{made['metadata']['name']}")
    assert found == facts["judged"]
