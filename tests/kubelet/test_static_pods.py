"""Static pods: from manifests to pods and mirrors."""

from __future__ import annotations

import pytest

from workshop.kubelet import static_pods

MANIFEST = {"kind": "Pod", "metadata": {"name": "etcd"}, "spec": {"containers": [{"name": "c", "image": "pause"}]}}


def test_a_static_pod_is_named_after_its_node_and_its_content():
    pod = static_pods.static_pod(MANIFEST, "node-1")
    assert pod["metadata"]["name"] == "etcd-node-1" and pod["spec"]["nodeName"] == "node-1"
    changed = {**MANIFEST, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    assert static_pods.static_pod(changed, "node-1")["metadata"]["uid"] != pod["metadata"]["uid"]
    with pytest.raises(ValueError, match="not a Pod"):
        static_pods.static_pod({"kind": "Service"}, "node-1")


def test_the_mirror_belongs_to_the_node():
    pod = static_pods.static_pod(MANIFEST, "node-1")
    mirror = static_pods.mirror_of(pod, {"metadata": {"name": "node-1", "uid": "n1"}})
    assert static_pods.is_mirror(mirror) and not static_pods.is_mirror(pod)
    assert mirror["metadata"]["ownerReferences"][0]["uid"] == "n1" and "uid" not in mirror["metadata"]


def test_what_is_no_manifest_is_passed_over(tmp_path):
    (tmp_path / "bad.yaml").write_text("a: [")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "good.yaml").write_text(
        "kind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: pause}]}\n"
    )
    found = static_pods.read(str(tmp_path), "n")
    assert [pod["metadata"]["name"] for pod in found.values()] == ["a-n"]
