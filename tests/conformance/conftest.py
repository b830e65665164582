"""The judges' bench: the same assertions against our cluster or, with CONFORMANCE_KUBECONFIG, against any other.

CONFORMANCE_HOLLOW=1 says that the other cluster's nodes run no real containers.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import kubectl as stock

_count = itertools.count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.cluster)


# As root: the mode with most (namespaces) and the one with least (127/8). What an ordinary user gets in each mode is
# shown by tests/cluster/test_end_to_end.py.
MODES = (
    ["foreign"] if os.environ.get("CONFORMANCE_KUBECONFIG") else ["root", "plain"] if os.geteuid() == 0 else ["plain"]
)


@pytest.fixture(scope="session", params=MODES)
def kubeconfig(request: pytest.FixtureRequest) -> Iterator[str]:
    if foreign := os.environ.get("CONFORMANCE_KUBECONFIG"):
        yield foreign
        return
    from workshop.cluster.facade import Cluster

    with tempfile.TemporaryDirectory(prefix="workshop-conformance-") as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKSHOP_HOME", home)
        cluster = Cluster("conformance")
        try:
            cluster.up(nodes=2, mode=request.param)
            yield str(cluster.kubeconfig())
        finally:
            cluster.down()


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
