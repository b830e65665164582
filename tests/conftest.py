"""Fixtures that several rooms' tests share, and which tests stay together when several processes run them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docker_engine import engine as engine

HERE = Path(__file__).resolve().parent
ONE_BY_ONE = ("labs/test_labs.py",)
"""Files whose tests each bring up a cluster of their own, and share nothing."""
LONGEST_FIRST = ("labs/test_robot.py",)
"""Groups that take minutes are begun first, so that no process is left with one when the others have ended."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Names each test's group for `pytest --dist loadgroup`: one process runs all of a group, in order."""
    for item in items:
        if name := group(item):
            item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=lambda item: rank(group(item)))


def group(item: pytest.Item) -> str | None:
    """A file's tests share its clusters and its browser; where each mode has a cluster of its own, a mode's tests do;
    all that need Docker share one engine."""
    file = item.path.relative_to(HERE).as_posix()
    if file in ONE_BY_ONE and item.get_closest_marker("cluster"):
        return None
    names = getattr(item, "fixturenames", ())
    if "engine" in names:
        return "docker"
    modes = getattr(getattr(item, "callspec", None), "params", {})
    if "kubeconfig" in modes:
        return f"{item.path.parent.name}-{modes['kubeconfig']}"
    if "seat" in modes:
        return f"{file}-{modes['seat']}"
    return file


def rank(name: str | None) -> int:
    return LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)
