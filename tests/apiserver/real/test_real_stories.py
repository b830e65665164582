"""What a real kube-apiserver answers to stories that take more than one step, and to all verbs of a few kinds: code,
causes and warnings of each step. Made by `python -m tests.differential.keep`."""

from __future__ import annotations

import json

import pytest

from tests.differential import cases, keep
from tests.differential.masks import comparable
from tests.differential.servers import Ours
from tests.differential.stage import ACCOUNT, Stage

FACTS = json.loads(keep.STORIES.read_text())
SHEETS = {sheet.name: sheet for sheet in cases.sheets() if keep.is_story(sheet)}


def test_every_fact_belongs_to_a_story() -> None:
    assert set(SHEETS) == set(FACTS) - {"upstream"}


@pytest.mark.parametrize("name", SHEETS)
async def test_story(name: str) -> None:
    ours = Ours()
    await ours.start()
    await ours.call(ACCOUNT.method, ACCOUNT.path, ACCOUNT.body, ACCOUNT.content_type)
    try:
        stage, facts = Stage(ours, SHEETS[name]), FACTS[name]
        await stage.build()
        found = {case.name: keep.step(comparable(await stage.ask(case))) for case in SHEETS[name].cases}
        assert {step: found[step] for step in facts} == facts
    finally:
        await ours.stop()
