"""The judges' bench: the same assertions against our cluster or, with CONFORMANCE_KUBECONFIG, against any other.

CONFORMANCE_HOLLOW=1 says that the other cluster's nodes run no real containers.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import seats

from . import kubectl as stock

_count = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "any_mode: judges the API server alone, which is the same in each mode: runs in one of them"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    ours = [item for item in items if item.path.parent == Path(__file__).parent]
    for item in ours:
        item.add_marker(pytest.mark.cluster)
    elsewhere = [item for item in ours if item.get_closest_marker("any_mode") and not _its_mode(item)]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]


def _its_mode(item: pytest.Item) -> bool:
    """Such tests are dealt out to the modes by their names, so that each mode gets some."""
    assert isinstance(item, pytest.Function)
    mode = item.callspec.params.get("kubeconfig") if hasattr(item, "callspec") else None
    return mode is None or mode == MODES[zlib.crc32(item.originalname.encode()) % len(MODES)]


def modes() -> list[str]:
    """Root, and an ordinary user that the test makes, with user namespaces and without."""
    if os.environ.get("CONFORMANCE_KUBECONFIG"):
        return ["foreign"]
    return ["root", "userns", "plain"] if os.geteuid() == 0 else ["userns", "plain"]


MODES = modes()


@pytest.fixture(scope="package", params=MODES)
def kubeconfig(request: pytest.FixtureRequest) -> Iterator[str]:
    if foreign := os.environ.get("CONFORMANCE_KUBECONFIG"):
        yield foreign
        return
    with tempfile.TemporaryDirectory(prefix="ws-judges-") as folder:
        seat = seats.make(request.param, Path(folder))
        try:
            seat.must_be_possible()
            seat.workshop("up", "--name", "judges", "--nodes", "2", "--mode", seat.mode)
            yield seat.workshop("kubeconfig", "--name", "judges").strip()
        finally:
            seat.run(seat.python, "-m", "workshop", "down", "--name", "judges", "--purge")
            seats.leave(seat)


@pytest.fixture(scope="session")
def kubectl_program() -> str:
    program = stock.find()
    if program is None:
        pytest.skip("no stock kubectl: name one by KUBECTL, KUBE_BINARIES or PATH (1.32 or newer)")
    return program


@pytest.fixture
def containers() -> None:
    """For tests that need containers which really run."""
    if os.environ.get("CONFORMANCE_HOLLOW"):
        pytest.skip("the nodes of this cluster run no real containers")


@pytest.fixture
def k(kubectl_program: str, kubeconfig: str) -> Iterator[stock.Kubectl]:
    """kubectl in a namespace of the test's own."""
    namespace = f"t{os.getpid()}-{next(_count)}"
    cluster_wide = stock.Kubectl(kubectl_program, kubeconfig)
    cluster_wide("create", "namespace", namespace)
    yield stock.Kubectl(kubectl_program, kubeconfig, namespace)
    cluster_wide("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def manifest(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Write YAML to a file and give its path."""

    def write(text: str, name: str = "manifest.yaml") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write
