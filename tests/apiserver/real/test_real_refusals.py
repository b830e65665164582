"""What a real kube-apiserver (the version stands in refusals.json) says about objects that are wrong in one place: the
same request to ours, the same causes. Made by `python -m tests.differential.keep`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.differential import cases, keep
from tests.differential.servers import Ours, comparable

FACTS = json.loads(Path(keep.FACTS).read_text())
DIFFER = json.loads((Path(__file__).parent / "differ.json").read_text())
"""Where ours is known to answer otherwise, by base and case."""


ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
"""Admission waits for the default one before it takes a pod."""


@pytest.mark.parametrize("name", [name for name in FACTS if name != "upstream"])
async def test_refusals(name: str) -> None:
    base = next(each for each in cases.bases() if cases.name_of(each) == name)
    ours = Ours()
    await ours.start()
    await ours.call("POST", ACCOUNTS, b'{"metadata": {"name": "default"}}', "application/json")
    try:
        found = {}
        for case in cases.creations(base):
            if case.name in FACTS[name] and case.name not in DIFFER.get(name, ()):
                answer = comparable(await ours.call(case.method, case.path, case.body, case.content_type))
                found[case.name] = keep.causes(answer["body"])
    finally:
        await ours.stop()
    assert found == {case: told for case, told in FACTS[name].items() if case not in DIFFER.get(name, ())}
