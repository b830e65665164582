"""Many connections at once, and clients that go in bad ways: `python -m tests.apiserver.crowd` in small."""

from __future__ import annotations

import pytest

from tests.apiserver import crowd

pytestmark = pytest.mark.cluster


async def test_a_crowd_and_its_bad_ends_cost_nothing_for_long(capsys: pytest.CaptureFixture[str]) -> None:
    with crowd.server() as door:
        await crowd.full(door, connections=150, watchers=30)
    told = dict(line.rsplit("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert [value for title, value in told.items() if title.startswith("45 bad ends")] == ["let go of"]
