"""What a real kube-apiserver (the version stands in refusals.json) says about objects that are wrong in one place: the
same request in the same state to ours, the same causes. Made by `python -m tests.differential.keep`."""

from __future__ import annotations

import json
from collections import defaultdict

import pytest

from tests.differential import cases, explained, keep
from tests.differential.cases import Sheet
from tests.differential.masks import comparable
from tests.differential.servers import Ours
from tests.differential.stage import ACCOUNT, Stage

FACTS = json.loads(keep.FACTS.read_text())
BY_KIND: dict[str, list[Sheet]] = defaultdict(list)
for _sheet in cases.sheets():
    if _sheet.name in FACTS:
        BY_KIND[_sheet.base["kind"]].append(_sheet)


def test_every_fact_belongs_to_a_sheet() -> None:
    assert {sheet.name for sheets in BY_KIND.values() for sheet in sheets} == set(FACTS) - {"upstream"}


@pytest.mark.parametrize("kind", BY_KIND)
async def test_refusals(kind: str) -> None:
    ours = Ours()
    await ours.start()
    await ours.call(ACCOUNT.method, ACCOUNT.path, ACCOUNT.body, ACCOUNT.content_type)
    try:
        for sheet in BY_KIND[kind]:
            stage, facts = Stage(ours, sheet), FACTS[sheet.name]
            await stage.build()
            asked = [c for c in sheet.cases if c.name in facts and not explained.why(sheet.name, c.name)]
            found = {case.name: keep.told(comparable(await stage.ask(case))) for case in asked}
            assert found == {case.name: facts[case.name] for case in asked}, sheet.name
            await stage.clear()
    finally:
        await ours.stop()
