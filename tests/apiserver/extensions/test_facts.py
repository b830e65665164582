"""Definitions and custom resources are refused, pruned and defaulted as by the real server: the same answers."""

from __future__ import annotations

import json
from typing import Any

from tests.api_server import Api
from tests.apiserver.extensions import cases
from tests.apiserver.extensions.conftest import established
from tests.apiserver.extensions.record import CRDS, FACTS, JUDGED, KINDS, OBJECTS, judged_object, told

facts: dict[str, Any] = json.loads(FACTS.read_text())


async def test_definitions(api: Api) -> None:
    given = cases.definitions()
    assert given.keys() == facts["definitions"].keys()
    found = {}
    for name, crd in given.items():
        answer = await api("POST", f"{CRDS}?dryRun=All", crd)
        found[name] = told(answer.status, answer.json, answer.headers.get("warning", ""))
    assert found == facts["definitions"]


async def test_objects(api: Api) -> None:
    await established(api, cases.WIDGETS)
    given = cases.widgets()
    assert given.keys() == facts["widgets"].keys()
    found = {}
    for name, (query, obj) in given.items():
        answer = await api("POST", f"{OBJECTS}?dryRun=All&{query}", obj)
        found[name] = told(answer.status, answer.json, answer.headers.get("warning", ""))
    assert found == facts["widgets"]


async def test_rules(api: Api) -> None:
    await established(api, cases.JUDGED)
    found = {}
    for name, specs in cases.judged().items():
        answer = await api("POST", JUDGED, judged_object(specs[0]))
        for spec in specs[1:]:
            patch = [{"op": "replace", "path": "/spec", "value": spec}]
            answer = await api("PATCH", f"{JUDGED}/j", patch, KINDS["PATCH"])
        await api("DELETE", f"{JUDGED}/j")
        found[name] = told(answer.status, answer.json, answer.headers.get("warning", ""))
    assert found == facts["judged"]
