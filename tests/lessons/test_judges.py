"""The judges of state, on worlds that are made up here; nothing green that should not be."""

from workshop.cluster.board import World
from workshop.lessons import stage
from workshop.lessons.control_loop import converges, reports, spares
from workshop.lessons.exercise import Sight
from workshop.lessons.tour import SECTIONS, favourite, three_truths, without_scheduler

CONTROL = frozenset(("etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager"))
WITHOUT = CONTROL - {"kube-controller-manager"}


def see(workloads=(), pods=(), observed=None, running=CONTROL, **rest):
    return Sight(World(tuple(workloads), tuple(pods), observed or {}, running), **rest)


def late(node=None):
    return {"kind": "Pod", "metadata": {"name": "late", "uid": "1"}, "spec": {"nodeName": node} if node else {}}


def test_no_node_is_judged_by_state():
    down = CONTROL - {"kube-scheduler"}
    assert without_scheduler(see(pods=[late()], running=down)).passed
    assert "has a node already" in without_scheduler(see(pods=[late("n")], running=down)).wrong
    assert "exactly one" in without_scheduler(see(pods=[late()])).wrong
    assert "exactly one" in without_scheduler(see(pods=[late()], running=down - {"etcd"})).wrong
    assert "no pod" in without_scheduler(see(running=down)).wrong


def test_three_truths_have_to_agree():
    web = {"kind": "Deployment", "metadata": {"name": "web", "namespace": "default", "uid": "w"}}
    web |= {"spec": {"replicas": 3}, "status": {"readyReplicas": 3}}
    assert "no Deployment" in three_truths(see()).wrong
    finding = three_truths(see([web]))
    assert "observed 0" in finding.looked_at and "do not agree" in finding.wrong
    web["spec"]["replicas"] = 2
    assert "asks for 2" in three_truths(see([web])).wrong


def test_a_favourite_needs_a_connection():
    row = {"component": "kube-proxy-node-1", "hook": "pick", "state": "waiting"}
    assert "no connection" in favourite(see(swapped=[row])).wrong
    assert favourite(see(swapped=[row, {**row, "component": "kube-proxy-node-2", "state": "in use"}])).passed


def replicaset(wanted=3, **status):
    meta = {"name": "web", "namespace": "default", "uid": "w", "generation": 2}
    return {"kind": "ReplicaSet", "metadata": meta, "spec": {"replicas": wanted}, "status": status}


def pods(count, **labels):
    owner = {"kind": "ReplicaSet", "name": "web", "uid": "w", "controller": True}
    return [
        {
            "kind": "Pod",
            "metadata": {"name": f"p{n}", "uid": f"p{n}", "ownerReferences": [owner], "labels": labels},
            "spec": {"nodeName": "node-1"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }
        for n in range(count)
    ]


def test_converging_counts_only_when_nobody_else_did_it():
    mine = {"running": WITHOUT, "own": ("my-controller",)}
    assert converges(see([replicaset()], pods(3), **mine)).passed
    assert "1 pods are missing" in converges(see([replicaset()], pods(2), **mine)).wrong
    assert "3 pods are too many" in converges(see([replicaset()], pods(6), **mine)).wrong
    assert "kube-controller-manager runs" in converges(see([replicaset()], pods(3), own=("my-controller",))).wrong
    assert "my-controller does not run" in converges(see([replicaset()], pods(3), running=WITHOUT)).wrong
    assert "no ReplicaSet" in converges(see(**mine)).wrong
    going = pods(3)
    going[0]["metadata"]["deletionTimestamp"] = "2026-01-31T09:00:00Z"
    assert "1 pods are missing" in converges(see([replicaset()], going, **mine)).wrong


def test_a_report_has_to_tell_all():
    mine = {"running": WITHOUT, "own": ("my-controller",), "observed": {f"p{n}": 1 for n in range(3)}}
    right = {"replicas": 3, "readyReplicas": 3, "observedGeneration": 2}
    assert reports(see([replicaset(**right)], pods(3), **mine)).passed
    assert "readyReplicas" in reports(see([replicaset()], pods(3), **mine)).wrong
    assert "status.replicas is 0" in reports(see([replicaset(**right | {"replicas": 0})], pods(3), **mine)).wrong
    assert (
        "observedGeneration" in reports(see([replicaset(**right | {"observedGeneration": 1})], pods(3), **mine)).wrong
    )


def test_sparing_is_seen_by_the_labels_of_those_left():
    assert spares(see([replicaset(2)], pods(2, keep="yes"))).passed
    assert "given up" in spares(see([replicaset(2)], pods(2))).wrong
    assert "asks for 3" in spares(see([replicaset(3)], pods(2, keep="yes"))).wrong
    assert "3 pods are there" in spares(see([replicaset(2)], pods(3, keep="yes"))).wrong
    assert "does not run" in spares(see([replicaset(2)], pods(2, keep="yes"), running=WITHOUT)).wrong


def test_a_section_says_what_is_in_the_way():
    section = next(one for one in SECTIONS if one.name == "stop kube-scheduler")
    world = see(pods=[{**late(), "metadata": {"name": "late", "namespace": "default"}}]).world
    found = stage.differences(section, stage.Standing({"etcd": True, "kube-scheduler": False}, ["a row"], []), world)
    assert found == [
        "kube-scheduler does not run",
        "there is no Deployment web",
        "there is no Deployment hello",
        "pod/late is still there",
        "a function is swapped in",
    ]
