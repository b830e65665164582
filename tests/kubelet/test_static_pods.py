"""Static pods: from manifests to pods and mirrors."""

from __future__ import annotations

import asyncio

import pytest

from tests.virtual_clock import VirtualClock
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


async def test_a_mirror_that_is_being_deleted_goes_at_once_and_comes_again(tmp_path):
    """It waits for no grace period; the new one is told all of the status, and the pod itself goes on."""
    (tmp_path / "a.yaml").write_text("kind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: pause}]}\n")
    client, clock, begun, ended, told = Mirrors(), VirtualClock(), [], [], []
    node = {"metadata": {"name": "n", "uid": "n1"}}
    them = static_pods.StaticPods(client, str(tmp_path), lambda: node, clock, begun.append, ended.append, told.append)
    following = asyncio.ensure_future(them.run())
    await clock.advance(1)
    (mirror,) = client.pods.values()
    assert static_pods.static_uid(mirror) == begun[0]["metadata"]["uid"] and len(told) == 1
    them.mirror_ends(mirror)
    await clock.advance(1)
    assert client.pods == {} and client.graces == [0]
    them.mirror_removed(mirror)
    await clock.advance(1)
    assert [pod["metadata"]["uid"] for pod in client.pods.values()] == ["mirror-1"]
    assert (len(begun), len(ended), len(told)) == (1, 0, 2)
    following.cancel()


class Mirrors:
    """An API server that has pods."""

    def __init__(self):
        self.pods, self.graces, self.made = {}, [], 0

    async def create(self, resource, pod, namespace):
        made = {**pod, "metadata": {**pod["metadata"], "uid": f"mirror-{self.made}"}}
        self.made += 1
        self.pods[made["metadata"]["name"]] = made
        return made

    async def delete(self, resource, name, namespace, *, grace_period_seconds, uid):
        assert self.pods.pop(name)["metadata"]["uid"] == uid
        self.graces.append(grace_period_seconds)
