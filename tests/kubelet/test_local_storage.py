"""Pods that write more to the node's disk than they may."""

from __future__ import annotations

import os

import pytest

from tests.kubelet.builders import container, pod
from workshop.kubelet.local_storage import Usage, excess, limited, size

VOLUME = {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]}
LIMITED = container(resources={"limits": {"ephemeral-storage": "2Mi"}})


@pytest.mark.parametrize(
    ("spec", "used", "said"),
    [
        (pod(**VOLUME), Usage({"v": 1 << 20}), ""),
        (pod(**VOLUME), Usage({"v": (1 << 20) + 1}), 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '),
        (pod(LIMITED), Usage({}, {"app": 1 << 20}), ""),
        (
            pod(LIMITED),
            Usage({"v": 1 << 20}, {"app": (1 << 20) + 1}),
            "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ",
        ),
        (
            pod(LIMITED, container("b", resources={"limits": {"ephemeral-storage": "9Mi"}})),
            Usage({}, {"app": 3 << 20}),
            'Container app exceeded its local ephemeral storage limit "2Mi". ',
        ),
    ],
)
def test_what_a_pod_is_evicted_for(spec, used, said):
    assert excess(spec, used) == said and limited(spec)


def test_only_pods_with_limits_are_measured():
    assert not limited(pod(volumes=[{"name": "v", "emptyDir": {}}]))


def test_size_counts_what_is_on_disk_and_follows_no_link(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_bytes(b"x" * 100_000)
    os.symlink(tmp_path / "in" / "file", tmp_path / "in" / "link")
    os.symlink("/", tmp_path / "in" / "root")
    own = (tmp_path / "in" / "file").stat().st_blocks * 512
    assert own <= size(str(tmp_path)) < own + 100_000
    assert size(str(tmp_path / "none")) == 0
