"""Fixtures that several rooms' tests share, and which tests stay together when several processes run them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.docker_engine import engine as engine

# How long an example takes to be made says how busy the machine is, and nothing else.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

TOGETHER = {
    "tests/cluster/test_docker.py": "docker",
    "tests/deploy/test_compose.py": "docker",
    "tests/kubelet/test_docker_runtime.py": "docker",
}
"""Files that share something dear beyond themselves."""
A_MODE_EACH = ("tests/conformance/", "tests/cluster/test_end_to_end.py")
"""A mode's tests share a cluster; those of one folder too."""
ALONE = ("tests/labs/test_labs.py",)
"""Each test brings up a cluster of its own, and shares nothing."""
LONGEST_FIRST = ("tests/labs/test_robot.py", "docker")
"""Groups that take minutes are begun first, so that no process is left with one when the others have ended."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`pytest -n 2`: one process runs all tests of a group, in order; groups go to whoever is free."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    config.option.loadscopereorder = False
    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: rank(group(item.nodeid)))


def group(test: str) -> str:
    """PURE: a test's group by its id. As a rule that is its file, whose tests share fixtures.

    >>> group("tests/conformance/test_board.py::test_it[root]"), group("tests/proxy/test_balance.py::test_it[root]")
    ('tests/conformance/ in mode root', 'tests/proxy/test_balance.py')
    """
    file = test.partition("::")[0]
    if file in TOGETHER:
        return TOGETHER[file]
    if file in ALONE:
        return test
    where = next((place for place in A_MODE_EACH if test.startswith(place)), None)
    mode = re.search(r"\[(root|userns|plain|foreign)\b", test)
    return f"{where} in mode {mode[1]}" if where and mode else file


def rank(name: str) -> int:
    return LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)
