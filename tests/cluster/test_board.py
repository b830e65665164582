import pytest

from workshop.cluster.board import World, rows

ALL = frozenset({"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet-node-1"})
OWNED = {"apiVersion": "apps/v1", "controller": True}


def deployment(replicas=1, ready=1):
    meta = {"name": "web", "namespace": "default", "uid": "d"}
    return {"kind": "Deployment", "metadata": meta, "spec": {"replicas": replicas}, "status": {"readyReplicas": ready}}


def replicaset():
    owner = {**OWNED, "kind": "Deployment", "name": "web", "uid": "d"}
    meta = {"name": "web-1", "namespace": "default", "uid": "r", "ownerReferences": [owner]}
    return {"kind": "ReplicaSet", "metadata": meta, "spec": {"replicas": 1}}


def pod(name="web-1-a", node="node-1", ready=True, waiting=None, ending=False):
    owner = {**OWNED, "kind": "ReplicaSet", "name": "web-1", "uid": "r"}
    meta = {"name": name, "namespace": "default", "uid": name, "ownerReferences": [owner]}
    if ending:
        meta["deletionTimestamp"] = "2026-01-31T09:00:00Z"
    status = {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
    if waiting:
        status["containerStatuses"] = [{"state": {"waiting": {"reason": waiting}}}]
    return {"kind": "Pod", "metadata": meta, "spec": {"nodeName": node} if node else {}, "status": status}


def board(*pods, replicas=1, ready=1, observed=("web-1-a",), running=ALL):
    world = World((deployment(replicas, ready), replicaset()), pods, dict.fromkeys(observed, 1), running)
    (row,) = rows(world)
    return row


def test_all_three_agree():
    row = board(pod())
    assert (row.desired, row.reported, row.observed, row.next) == (1, 1, 1, "")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (lambda: board(), "kube-controller-manager (1 pod to create)"),
        (lambda: board(pod(), pod("web-1-b")), "kube-controller-manager (1 pod to delete)"),
        (lambda: board(pod(node=None)), "kube-scheduler (web-1-a has no node)"),
        (lambda: board(pod(), observed=()), "kubelet-node-1 (web-1-a has no process)"),
        (
            lambda: board(pod(ready=False, waiting="ImagePullBackOff"), observed=()),
            "kubelet-node-1 (web-1-a has no process: ImagePullBackOff)",
        ),
        (lambda: board(pod(ready=False)), "kubelet-node-1 (web-1-a is not ready)"),
        (lambda: board(pod(), pod("web-1-b", ending=True)), "kubelet-node-1 (web-1-b has to end)"),
        (lambda: board(pod(), ready=0), "kube-controller-manager (the status is not up to date)"),
        (
            lambda: board(pod(node=None), running=ALL - {"kube-scheduler"}),
            "kube-scheduler is down (web-1-a has no node)",
        ),
        (lambda: board(pod(), running=ALL - {"etcd"}), "etcd (it is down: nothing can be written)"),
    ],
)
def test_who_acts_next(row, words):
    assert row().next == words


def test_a_killed_container_is_seen_before_it_is_reported():
    row = board(pod(), observed=())
    assert (row.reported, row.observed) == (1, 0)
