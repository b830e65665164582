"""Volumes on disk."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.kubelet.builders import container, pod
from workshop.kubelet import tmpfs, volumes
from workshop.kubelet.env import ConfigError
from workshop.kubelet.volumes import VolumeError, Volumes


def store(tmp_path, objects):
    async def token(pod, audience, seconds):
        return f"token-{audience}-{seconds}"

    return Volumes(str(tmp_path), lambda kind, ns, name: objects.get((kind, name)), token, {"cpu": "2"})


async def test_a_config_map_is_exchanged_at_once(tmp_path):
    spec = pod(volumes=[{"name": "c", "configMap": {"name": "conf"}}])
    objects = {("ConfigMap", "conf"): {"data": {"a": "1", "b": "2"}}}
    made = store(tmp_path, objects)
    path = (await made.prepare(spec, {}, "t1"))["c"]
    assert Path(f"{path}/a").read_text() == "1" and os.readlink(f"{path}/a") == "..data/a"
    first = os.readlink(f"{path}/..data")
    await made.prepare(spec, {}, "t2")
    assert os.readlink(f"{path}/..data") == first
    objects[("ConfigMap", "conf")] = {"data": {"a": "3"}}
    await made.prepare(spec, {}, "t3")
    assert Path(f"{path}/a").read_text() == "3" and not os.path.lexists(f"{path}/b")
    assert not os.path.exists(f"{path}/{first}")


async def test_a_projected_volume_holds_token_and_fields(tmp_path):
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    spec = pod(volumes=[{"name": "p", "projected": {"sources": sources}}])
    path = (await store(tmp_path, {}).prepare(spec, {}, "t"))["p"]
    assert Path(f"{path}/token").read_text() == "token--3607"
    assert Path(f"{path}/namespace").read_text() == "default"


async def test_a_missing_secret_is_told(tmp_path):
    spec = pod(volumes=[{"name": "s", "secret": {"secretName": "nope"}}])
    text = 'MountVolume.SetUp failed for volume "s" : secret "nope" not found'
    with pytest.raises(VolumeError, match=text):
        await store(tmp_path, {}).prepare(spec, {}, "t")


async def test_a_volume_in_memory(tmp_path):
    """In mode plain it is a directory like others; either way nothing is left of it."""
    spec = pod(volumes=[{"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}])
    made = store(tmp_path, {})
    path = (await made.prepare(spec, {}, "t"))["m"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o777
    (tmp_path / "other").mkdir()
    allowed = tmpfs.mount(str(tmp_path / "other"), None)
    tmpfs.unmount_below(str(tmp_path))
    assert os.path.ismount(path) == allowed
    if allowed:
        assert os.statvfs(path).f_blocks * os.statvfs(path).f_frsize == 1 << 20
    made.remove("u1")
    assert not os.path.exists(path)


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "a\0b"])
async def test_paths_that_lead_out_are_refused(tmp_path, path):
    items = [{"key": "a", "path": path}]
    spec = pod(volumes=[{"name": "c", "configMap": {"name": "conf", "items": items}}])
    with pytest.raises(VolumeError, match="must be relative"):
        await store(tmp_path, {("ConfigMap", "conf"): {"data": {"a": "1"}}}).prepare(spec, {}, "t")


def test_a_sub_path_may_not_leave_its_volume_by_a_link(tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "out").symlink_to("/etc")
    (tmp_path / "v" / "in").symlink_to("real")
    (tmp_path / "v" / "real").mkdir()
    root = str(tmp_path / "v")
    assert volumes.inside(root, "in") == os.path.realpath(f"{root}/real")
    assert os.path.isdir(volumes.inside(root, "new/dir"))
    for bad in ("out", "out/passwd", "../x", "/etc"):
        with pytest.raises(ConfigError):
            volumes.inside(root, bad)


def test_host_path_types(tmp_path):
    volumes.check_host_path(str(tmp_path / "d"), "DirectoryOrCreate")
    assert (tmp_path / "d").is_dir()
    with pytest.raises(VolumeError, match=r"hostPath type check failed: .* is not a file"):
        volumes.check_host_path(str(tmp_path / "d"), "File")
    with pytest.raises(VolumeError, match="is not a directory"):
        volumes.check_host_path(str(tmp_path / "none"), "Directory")


def test_what_a_pod_names():
    app = container(envFrom=[{"secretRef": {"name": "s"}}])
    spec = pod(app, volumes=[{"name": "v", "projected": {"sources": [{"configMap": {"name": "c"}}]}}])
    assert volumes.names_used(spec) == {("Secret", "s"), ("ConfigMap", "c")}


def test_when_a_pod_sees_that_its_labels_changed():
    items = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
    seeing = pod(volumes=[{"name": "p", "projected": {"sources": [{"downwardAPI": {"items": items}}]}}])
    labelled = {**seeing, "metadata": {**seeing["metadata"], "labels": {"a": "1"}}}
    assert volumes.shown_changed(seeing, labelled)
    assert not volumes.shown_changed(labelled, labelled)
    blind = pod(volumes=[{"name": "e", "emptyDir": {}}])
    assert not volumes.shown_changed(blind, {**blind, "metadata": labelled["metadata"]})


def test_a_file_by_its_sub_path_stays_what_it_was_when_the_container_began(tmp_path):
    """As upstream: the volume's files are exchanged, the container's own file is not, until it is started again."""
    volume = str(tmp_path / "pods" / "u1" / "volumes" / "kubernetes.io~configmap" / "cm")
    volumes.write_atomically(volume, {"key": (b"old", 0o644)}, "1")
    entry = {"name": "cm", "mountPath": "/etc/key", "subPath": "key"}

    def mounted():
        (mount,) = volumes.mounts({"name": "c", "volumeMounts": [entry]}, {"cm": volume}, {}, {})
        return Path(mount.host_path)

    first = mounted()
    volumes.write_atomically(volume, {"key": (b"new", 0o644)}, "2")
    assert first.read_bytes() == b"old" and Path(volume, "key").read_bytes() == b"new"
    assert mounted().read_bytes() == b"new"


def test_a_sub_path_expression_without_its_variable_is_refused(tmp_path):
    entry = {"name": "v", "mountPath": "/x", "subPathExpr": "$(A)/$(B)"}
    with pytest.raises(ConfigError, match="missing value for B"):
        volumes.mounts({"name": "c", "volumeMounts": [entry]}, {"v": str(tmp_path)}, {"A": "a"}, {})
