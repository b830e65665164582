"""No connection is cut because a busy machine was slow to read a farewell."""

from __future__ import annotations

import pytest

from workshop.serving import http1

from .dialogue import PATIENCE


@pytest.fixture(autouse=True)
def long_farewells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "FAREWELL", PATIENCE)
