"""The pure halves of the controllers: objects in, decisions out."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshop.api import labels
from workshop.api.meta import Key, name
from workshop.clock import rfc3339
from workshop.controllers import (
    daemonset,
    disruption,
    endpoints,
    endpointslice,
    endpointslicemirroring,
    job_policies,
    job_tally,
    job_util,
    node_health,
    podgc,
    replicaset,
    resourcequota,
    statefulset,
    tainteviction,
)
from workshop.controllers.base import slow_start
from workshop.controllers.cron import Schedule
from workshop.controllers.expectations import Expectations
from workshop.controllers.gc_graph import Graph
from workshop.controllers.nodeipam import CidrSet
from workshop.controllers.ownership import claim
from workshop.controllers.pods import deletion_order

NOW = 1_800_000_000.0


def pod(name: str, *, ready: bool = True, node: str = "n1", phase: str = "Running", **more: Any) -> dict[str, Any]:
    ip = more.pop("ip", "10.0.0.1")
    spec = {"containers": [{"name": "c"}], **({"nodeName": node} if node else {}), **more.pop("spec", {})}
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": rfc3339(NOW - 100)}
    status = {"phase": phase, "conditions": [condition], "podIP": ip, "podIPs": [{"ip": ip}]}
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "creationTimestamp": rfc3339(NOW - 500)}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata | more, "spec": spec, "status": status}


def owner(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": "default", "uid": "owner", "generation": 2}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec}


# --- ReplicaSet


def test_a_replica_set_makes_what_is_missing_and_gives_up_what_is_too_much() -> None:
    assert replicaset.decide(owner(replicas=3), [pod("a")], [], NOW).create == 2
    assert replicaset.decide(owner(replicas=700), [], [], NOW).create == 500
    doomed = replicaset.decide(owner(replicas=1), [pod("a"), pod("b", ready=False), pod("c", node="")], [], NOW).delete
    assert [name(p) for p in doomed] == ["c", "b"]


def test_whom_a_controller_gives_up_first() -> None:
    costly = pod("costly", annotations={"controller.kubernetes.io/pod-deletion-cost": "100"})
    crowded = pod("crowded", node="full")
    pending = pod("pending", phase="Pending", ready=False)
    young = pod("young", creationTimestamp=rfc3339(NOW - 10))
    found = [costly, crowded, young, pod("old"), pending, pod("unscheduled", node="", phase="Pending", ready=False)]
    neighbours = [*found, *(pod(f"x{i}", node="full") for i in range(6))]
    order = [name(p) for p in deletion_order(found, neighbours, NOW)]
    assert order == ["unscheduled", "pending", "crowded", "young", "old", "costly"]


def test_the_status_of_a_replica_set() -> None:
    found = [pod("a"), pod("b", ready=False), pod("c", deletionTimestamp=rfc3339(NOW)), pod("d", phase="Failed")]
    template = {"metadata": {"labels": {}}}
    status = replicaset.compute_status(owner(replicas=2, template=template), found, ("FailedCreate", "no"), NOW, True)
    counts = {k: v for k, v in status.items() if k != "conditions"}
    assert counts == {
        "replicas": 2,
        "fullyLabeledReplicas": 2,
        "readyReplicas": 1,
        "availableReplicas": 1,
        "terminatingReplicas": 1,
        "observedGeneration": 2,
    }
    assert [(c["type"], c["reason"]) for c in status["conditions"]] == [("ReplicaFailure", "FailedCreate")]


async def test_slow_start_learns_from_one_failure_not_from_five_hundred() -> None:
    batches: list[int] = []

    async def works(i: int) -> None:
        batches.append(i)

    assert await slow_start(500, works) == (500, None)
    assert sorted(batches) == list(range(500))
    tried: list[int] = []

    async def fails(i: int) -> None:
        tried.append(i)
        await asyncio.sleep(0)
        if i >= 3:
            raise OSError("quota")

    done, failure = await slow_start(500, fails)
    assert (done, str(failure), len(tried)) == (3, "quota", 7)


def test_expectations_hold_until_seen_or_five_minutes_old() -> None:
    expectations, key = Expectations(), Key("default", "web")
    assert expectations.satisfied(key, NOW)
    expectations.expect_creations(key, 2, NOW)
    expectations.creation_observed(key)
    assert not expectations.satisfied(key, NOW)
    assert expectations.satisfied(key, NOW + 301)
    expectations.creation_observed(key)
    assert expectations.satisfied(key, NOW)
    expectations.expect_deletions(key, {"a"}, NOW)
    expectations.deletion_observed(key, "b")
    assert not expectations.satisfied(key, NOW)
    expectations.deletion_observed(key, "a")
    expectations.deletion_observed(key, "a")
    assert expectations.satisfied(key, NOW)


def test_claims() -> None:
    mine = {"uid": "owner", "controller": True}
    app = {"app": "web"}
    found = [
        pod("ours", labels=app, ownerReferences=[mine]),
        pod("relabelled", labels={}, ownerReferences=[mine]),
        pod("orphan", labels=app),
        pod("dying-orphan", labels=app, deletionTimestamp=rfc3339(NOW)),
        pod("foreign", labels=app, ownerReferences=[{"uid": "other", "controller": True}]),
        pod("stranger", labels={}),
    ]
    decided = claim(owner(), labels.from_set(app), found)
    names = [[name(p) for p in group] for group in (decided.owned, decided.adopt, decided.release)]
    assert names == [["ours"], ["orphan"], ["relabelled"]]
    dying = {**owner(), "metadata": {**owner()["metadata"], "deletionTimestamp": rfc3339(NOW)}}
    assert claim(dying, labels.from_set(app), found).adopt == []


# --- Endpoints and EndpointSlices


def service(**spec: Any) -> dict[str, Any]:
    ports = [{"port": 80, "targetPort": "http", "protocol": "TCP"}]
    metadata = {"name": "web", "namespace": "default", "uid": "svc", "labels": {"a": "b"}}
    return {"metadata": metadata, "spec": {"selector": {"app": "web"}, "ports": ports, **spec}}


def web(name: str, ip: str, port: int = 8080, **more: Any) -> dict[str, Any]:
    containers = [{"name": "c", "ports": [{"name": "http", "containerPort": port}]}]
    return pod(name, ip=ip, spec={"containers": containers}, **more)


def test_endpoints_group_by_ports_and_part_the_ready_from_the_others() -> None:
    found = [web("a", "10.0.0.2"), web("b", "10.0.0.1", ready=False), web("c", "10.0.0.3", 9090), web("d", "")]
    made = endpoints.subsets(service(), [*found, web("e", "10.0.0.9", deletionTimestamp=rfc3339(NOW))])
    assert [
        (
            [a["ip"] for a in s.get("addresses", [])],
            [a["ip"] for a in s.get("notReadyAddresses", [])],
            s["ports"][0]["port"],
        )
        for s in made
    ] == [(["10.0.0.2"], ["10.0.0.1"], 8080), (["10.0.0.3"], [], 9090)]


def test_more_than_a_thousand_endpoints_are_cut() -> None:
    found = [web(f"p{i}", f"10.0.{i // 250}.{i % 250}") for i in range(1100)]
    kept, cut = endpoints.truncate(endpoints.subsets(service(), found))
    assert cut
    assert sum(len(s["addresses"]) for s in kept) == 1000


def slices(found: list[dict[str, Any]], existing: list[dict[str, Any]]) -> endpointslice.Changes:
    return endpointslice.reconcile(service(), endpointslice.desired(service(), found, {"n1": "z"}), existing)


def stored(changes: endpointslice.Changes, start: int = 0) -> list[dict[str, Any]]:
    return [{**s, "metadata": {**s["metadata"], "name": f"s{start + i}"}} for i, s in enumerate(changes.create)]


def test_a_hundred_endpoints_a_slice_and_one_change_writes_one_slice() -> None:
    found = [web(f"p{i}", f"10.0.{i // 250}.{i % 250}") for i in range(250)]
    first = slices(found, [])
    assert [len(s["endpoints"]) for s in first.create] == [100, 100, 50]
    existing = stored(first)
    assert slices(found, existing) == endpointslice.Changes()
    found[120] = web("p120", "10.0.0.120", ready=False)
    changes = slices(found, existing)
    assert (len(changes.create), len(changes.update), len(changes.delete)) == (0, 1, 0)
    assert changes.update[0]["metadata"]["name"] == "s1"
    more = slices([*found, web("new", "10.9.9.9")], existing)
    assert (len(more.create), len(more.update)) == (0, 2)  # p120's; and the one with room, as s1 is full


def test_a_terminating_pod_serves_and_is_not_ready() -> None:
    (made,) = slices([web("a", "10.0.0.1", deletionTimestamp=rfc3339(NOW))], []).create
    assert made["endpoints"][0]["conditions"] == {"ready": False, "serving": True, "terminating": True}
    assert (made["endpoints"][0]["zone"], made["endpoints"][0]["nodeName"]) == ("z", "n1")


def test_the_last_slice_stays_empty() -> None:
    existing = stored(slices([web("a", "10.0.0.1")], []))
    changes = slices([], existing)
    assert (changes.create, changes.delete) == ([], [])
    assert [s["endpoints"] for s in changes.update] == [[]]
    assert slices([], changes.update) == endpointslice.Changes()


def test_endpoints_by_hand_become_slices_and_managed_ones_do_not() -> None:
    by_hand = {
        "metadata": {"name": "ext", "namespace": "default", "uid": "e"},
        "subsets": [{"addresses": [{"ip": "192.0.2.7"}, {"ip": "2001:db8::1"}], "ports": [{"port": 80}]}],
    }
    assert endpointslicemirroring.is_mirrored(by_hand)
    made = endpointslicemirroring.slices(by_hand)
    assert [(s["addressType"], s["endpoints"][0]["addresses"]) for s in made] == [
        ("IPv4", ["192.0.2.7"]),
        ("IPv6", ["2001:db8::1"]),
    ]
    by_hand["metadata"]["labels"] = {endpoints.MANAGED_BY: "endpoint-controller"}
    assert not endpointslicemirroring.is_mirrored(by_hand)


# --- nodes


def node(name: str = "n1", ready: str = "True", **spec: Any) -> dict[str, Any]:
    listed = [{"type": "Ready", "status": ready, "lastHeartbeatTime": rfc3339(NOW)}]
    return {"metadata": {"name": name, "labels": {}}, "spec": spec, "status": {"conditions": listed}}


def test_silence_is_measured_by_our_own_clock() -> None:
    lease = {"spec": {"renewTime": "2020-01-01T00:00:00.000000Z"}}  # the node's clock is years behind
    first = node_health.observe(node(), lease, None, 100.0)
    assert node_health.observe(node(), lease, first, 140.0).probed_at == 100.0
    moved = {"spec": {"renewTime": "2020-01-01T00:00:10.000000Z"}}
    assert node_health.observe(node(), moved, first, 140.0).probed_at == 140.0


def test_a_silent_node_becomes_unknown_and_is_tainted() -> None:
    silent = node()
    silent["status"]["conditions"] = node_health.unknown_conditions(silent, NOW)
    ready = silent["status"]["conditions"][0]
    assert (ready["status"], ready["message"]) == ("Unknown", "Kubelet stopped posting node status.")
    made = [(t["key"], t["effect"]) for t in node_health.taints(silent, evict=True, now=NOW)]
    key = "node.kubernetes.io/unreachable"
    assert made == [(key, "NoSchedule"), (key, "NoExecute")]
    assert [t["effect"] for t in node_health.taints(silent, evict=False, now=NOW)] == ["NoSchedule"]


def test_taints_of_others_stay_and_ours_go_with_their_cause() -> None:
    foreign = {"key": "gpu", "effect": "NoSchedule"}
    ours = {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}
    assert node_health.taints(node(taints=[foreign, ours]), evict=True, now=NOW) == [foreign]
    cordoned = node_health.taints(node(unschedulable=True), evict=True, now=NOW)
    assert [t["key"] for t in cordoned] == ["node.kubernetes.io/unschedulable"]


def test_when_most_are_silent_it_is_not_the_nodes() -> None:
    limits = node_health.Limits()
    assert node_health.zone_rate(9, 1, False, limits) == 0.1
    assert node_health.zone_rate(4, 6, False, limits) == 0.0
    assert node_health.zone_rate(40, 60, False, limits) == 0.01
    assert node_health.zone_rate(0, 3, True, limits) == 0.0


def test_how_long_a_pod_may_stay() -> None:
    taint = {"key": "k", "effect": "NoExecute", "timeAdded": rfc3339(NOW)}
    five_minutes = {"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    assert tainteviction.deadline([], [taint], NOW) == NOW
    assert tainteviction.deadline([five_minutes], [taint], NOW + 50) == NOW + 300
    assert tainteviction.deadline([{"operator": "Exists"}], [taint], NOW) is None
    assert tainteviction.deadline([five_minutes, {**five_minutes, "tolerationSeconds": 10}], [taint], NOW) == NOW + 10
    assert tainteviction.deadline([], [], NOW) is None


def test_ranges_of_nodes() -> None:
    pool = CidrSet("10.0.0.0/22", 24)
    pool.occupy("10.0.1.0/24")
    pool.occupy("192.168.0.0/24")
    assert [pool.allocate() for _ in range(4)] == ["10.0.0.0/24", "10.0.2.0/24", "10.0.3.0/24", None]
    pool.release("10.0.2.0/24")
    assert pool.allocate() == "10.0.2.0/24"
    with pytest.raises(ValueError, match="does not fit"):
        CidrSet("10.0.0.0/25", 24)


def test_which_pods_are_swept() -> None:
    found = [
        pod("done", phase="Succeeded", creationTimestamp=rfc3339(NOW - 900)),
        pod("failed", phase="Failed"),
        pod("orphan", node="gone"),
        pod("never", node="", deletionTimestamp=rfc3339(NOW)),
        pod("fine"),
    ]
    swept = podgc.doomed(found, {"n1": node()}, {"gone"}, 1)
    assert [(name(p), why) for p, why in swept] == [
        ("done", "terminated"),
        ("orphan", "orphaned"),
        ("never", "unscheduled"),
    ]


# --- StatefulSet, DaemonSet


def stateful(replicas: int, **spec: Any) -> dict[str, Any]:
    return {**owner(replicas=replicas, **spec), "kind": "StatefulSet"}


def member(i: int, revision: str = "r1", **more: Any) -> dict[str, Any]:
    return pod(f"web-{i}", labels={statefulset.HASH: revision}, **more)


def test_a_stateful_set_goes_one_by_one() -> None:
    assert statefulset.decide(stateful(3), [], "r1", "r1", NOW).create == [(0, "r1")]
    assert statefulset.decide(stateful(3), [member(0, ready=False)], "r1", "r1", NOW) == statefulset.Steps()
    assert statefulset.decide(stateful(3), [member(0)], "r1", "r1", NOW).create == [(1, "r1")]
    parallel = statefulset.decide(stateful(3, podManagementPolicy="Parallel"), [], "r1", "r1", NOW)
    assert parallel.create == [(0, "r1"), (1, "r1"), (2, "r1")]


def test_a_stateful_set_shrinks_and_updates_from_the_highest() -> None:
    four = [member(i) for i in range(4)]
    assert [name(p) for p in statefulset.decide(stateful(2), four, "r1", "r1", NOW).delete] == ["web-3"]
    assert [name(p) for p in statefulset.decide(stateful(4), four, "r1", "r2", NOW).delete] == ["web-3"]
    ill = [member(0, ready=False), member(1), member(2, ready=False)]
    assert statefulset.decide(stateful(0), ill, "r1", "r1", NOW) == statefulset.Steps()
    assert [name(p) for p in statefulset.decide(stateful(0), [*four[:2], ill[2]], "r1", "r1", NOW).delete] == ["web-2"]
    half = [member(0), member(1), member(2), member(3, "r2", ready=False)]
    assert statefulset.decide(stateful(4), half, "r1", "r2", NOW) == statefulset.Steps()
    split = stateful(4, updateStrategy={"rollingUpdate": {"partition": 3}})
    assert (
        statefulset.decide(split, [member(0), member(1), member(2), member(3, "r2")], "r1", "r2", NOW)
        == statefulset.Steps()
    )
    lost = [member(0), member(2), member(3, "r2")]
    assert statefulset.decide(split, lost, "r1", "r2", NOW).create == [(1, "r1")]
    stuck = statefulset.decide(stateful(2), [member(0, ready=False)], "r1", "r2", NOW)
    assert stuck == statefulset.Steps(), "the second waits for the first, which no rollout has come to"


def daemon(**spec: Any) -> dict[str, Any]:
    return {**owner(template={"metadata": {"labels": {}}, "spec": {"containers": [], **spec}}), "kind": "DaemonSet"}


def test_a_daemon_runs_where_it_may() -> None:
    cordoned = node("n2", taints=[{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}])
    gpu = node("n3", taints=[{"key": "gpu", "effect": "NoSchedule"}])
    changes = daemonset.decide(daemon(), [node(), cordoned, gpu], [pod("stays", node="n3"), pod("x", node="n9")])
    assert (changes.create, [name(p) for p in changes.delete]) == (["n1", "n2"], [])
    evicting = node("n3", taints=[{"key": "gpu", "effect": "NoExecute"}])
    assert [name(p) for p in daemonset.decide(daemon(), [evicting], [pod("goes", node="n3")]).delete] == ["goes"]
    assert daemonset.decide(daemon(nodeSelector={"disk": "ssd"}), [node()], []).create == []


def test_a_daemon_pod_is_meant_for_its_node() -> None:
    made = daemonset.new_pod(daemon(), "n7", "r1")
    assert daemonset.target_node(made) == "n7"
    assert {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"} in made["spec"][
        "tolerations"
    ]


def test_a_daemon_update_leaves_one_node_at_a_time_without() -> None:
    nodes = [node(f"n{i}") for i in range(3)]
    old = [pod(f"old{i}", node=f"n{i}", labels={daemonset.HASH: "r1"}) for i in range(3)]
    assert [name(p) for p in daemonset.decide_update(daemon(), nodes, old, "r2", NOW).delete] == ["old0"]
    coming = pod("new0", node="n0", ready=False, labels={daemonset.HASH: "r2"})
    assert daemonset.decide_update(daemon(), nodes, [coming, *old[1:]], "r2", NOW).delete == []


# --- Job, CronJob


def job(**spec: Any) -> dict[str, Any]:
    spec = {"parallelism": 2, "completions": 3, "backoffLimit": 6, **spec}
    return {**owner(**spec), "kind": "Job"}


def worker(name: str, phase: str = "Running", **more: Any) -> dict[str, Any]:
    return pod(name, phase=phase, finalizers=[job_tally.FINALIZER], **more)


def test_a_finished_pod_is_counted_once_whenever_we_crash() -> None:
    one = job()
    counted = job_tally.tally(one, [worker("a", "Succeeded")])
    assert (counted.all_succeeded, counted.succeeded) == (1, 0)
    status, _ = job_util.compute_status(one, counted, None, NOW)
    assert status["uncountedTerminatedPods"] == {"succeeded": ["uid-a"]}
    one["status"] = status
    again = job_tally.tally(one, [worker("a", "Succeeded")])  # crashed before the finalizer was taken
    assert (again.all_succeeded, [name(p) for p in again.release]) == (1, ["a"])
    released = job_tally.tally(one, [pod("a", phase="Succeeded")])
    assert (released.all_succeeded, released.succeeded, released.release) == (1, 1, [])


def test_how_many_workers() -> None:
    assert len(job_util.plan(job(), job_tally.tally(job(), []), False, NOW).create) == 2
    counted = job_tally.tally(job(), [worker("a", "Succeeded"), worker("b", "Succeeded")])
    assert len(job_util.plan(job(), counted, False, NOW).create) == 1
    suspended = job(suspend=True)
    assert len(job_util.plan(suspended, job_tally.tally(suspended, [worker("a")]), False, NOW).delete) == 1


def test_a_failed_worker_is_replaced_after_a_pause() -> None:
    failed = worker("a", "Failed", creationTimestamp=rfc3339(NOW - 4))
    plan = job_util.plan(job(), job_tally.tally(job(), [failed]), False, NOW)
    assert (plan.create, plan.wait) == ([], 6.0)


def test_the_end_of_a_job() -> None:
    done = job_tally.tally(job(), [worker(n, "Succeeded") for n in "abc"])
    assert (job_util.verdict(job(), done, NOW) or ("",))[0] == "SuccessCriteriaMet"
    failed = job_tally.tally(job(backoffLimit=0), [worker("a", "Failed")])
    assert (job_util.verdict(job(backoffLimit=0), failed, NOW) or ("", ""))[:2] == (
        "FailureTarget",
        "BackoffLimitExceeded",
    )
    late = {**job(activeDeadlineSeconds=5), "status": {"startTime": rfc3339(NOW - 6)}}
    assert (job_util.verdict(late, job_tally.tally(late, []), NOW) or ("", ""))[1] == "DeadlineExceeded"


def failing(name: str, index: int, code: int = 1, failures: int = 0, **more: Any) -> dict[str, Any]:
    annotations = {job_tally.INDEX: str(index), job_policies.FAILURES: str(failures)}
    found = worker(name, "Failed", annotations=annotations, creationTimestamp=rfc3339(NOW - 60), **more)
    ended = {"terminated": {"exitCode": code, "finishedAt": rfc3339(NOW - 60)}}
    found["status"]["containerStatuses"] = [{"name": "c", "state": ended}]
    return found


def test_a_policy_about_failed_pods() -> None:
    exits = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    disrupted = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    one = job(podFailurePolicy={"rules": [exits, disrupted]}, podReplacementPolicy="Failed")
    counted = job_tally.tally(one, [failing("a", 0, code=42)])
    assert job_util.verdict(one, counted, NOW) == (
        "FailureTarget", "PodFailurePolicy",
        "Container c for pod default/a failed with exit code 42 matching FailJob rule at index 0",
    )  # fmt: skip
    evicted = failing("b", 0)
    evicted["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True"}]
    ignored = job_tally.tally(one, [evicted])
    assert (ignored.all_failed, [name(p) for p in ignored.release]) == (0, ["b"])
    assert job_tally.tally(one, [failing("c", 0)]).all_failed == 1


def test_each_index_has_its_own_limit() -> None:
    one = job(completionMode="Indexed", backoffLimitPerIndex=1, backoffLimit=2**31 - 1, maxFailedIndexes=1)
    first = job_tally.tally(one, [failing("a", 1)])
    assert (first.failed_indexes, first.all_failed, first.release) == (set(), 0, [])  # kept until another takes over
    plan = job_util.plan(one, first, False, NOW)
    assert plan.create == [0, 1] and job_util.verdict(one, first, NOW) is None
    again = job_util.new_pod(
        {**one, "spec": {**one["spec"], "template": {"spec": {"containers": []}}}}, 1, plan.replaced[1]
    )
    assert again["metadata"]["annotations"][job_policies.FAILURES] == "1"
    soon = job_util.plan(one, job_tally.tally(one, [failing("a", 1)]), False, NOW - 55)
    assert (soon.create, soon.wait) == ([0, 2], 5.0)
    last = job_tally.tally(one, [failing("b", 1, failures=1)])
    assert (last.failed_indexes, last.all_failed) == ({1}, 1)
    status, _ = job_util.compute_status(one, last, None, NOW)
    assert (status["failedIndexes"], status.get("completedIndexes", "")) == ("1", "")
    both = job_tally.tally(one, [failing("b", 1, failures=1), failing("c", 2, failures=1)])
    assert (job_util.verdict(one, both, NOW) or ("", ""))[1] == "MaxFailedIndexesExceeded"
    fail_index = {"rules": [{"action": "FailIndex", "onExitCodes": {"operator": "NotIn", "values": [1]}}]}
    hasty = job(completionMode="Indexed", backoffLimitPerIndex=5, podFailurePolicy=fail_index)
    assert job_tally.tally(hasty, [failing("a", 0, code=42)]).failed_indexes == {0}


def test_a_job_that_has_succeeded_enough() -> None:
    def met(**rule: Any) -> str:
        one = job(completionMode="Indexed", completions=5, successPolicy={"rules": [rule]})
        pods = [worker(f"p{i}", "Succeeded", annotations={job_tally.INDEX: str(i)}) for i in (0, 2)]
        return (job_util.verdict(one, job_tally.tally(one, pods), NOW) or ("", "", ""))[2]

    assert met(succeededCount=2) == met(succeededIndexes="0,2") == "Matched rules at index 0"
    assert met(succeededIndexes="0-3", succeededCount=2) == "Matched rules at index 0"
    assert met(succeededCount=3) == met(succeededIndexes="0-1") == ""


@given(st.sets(st.integers(0, 60)))
def test_indexes_are_written_short_and_read_back(indexes: set[int]) -> None:
    assert job_policies.indexes(job_tally.compress(indexes)) == indexes


def test_indexes_as_upstream_writes_them() -> None:
    assert job_tally.compress({1, 3, 4, 5, 7, 8}) == "1,3-5,7,8"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*/5 * * * *", "2026-01-30T17:55:00"),
        ("0 9 * * mon-fri", "2026-02-02T09:00:00"),
        ("30 0 29 2 *", "2028-02-29T00:30:00"),
        ("0 0 13 * fri", "2026-02-06T00:00:00"),
        ("@hourly", "2026-01-30T18:00:00"),
        ("0 0 1 jan *", "2027-01-01T00:00:00"),
    ],
)
def test_schedules(text: str, expected: str) -> None:
    found = Schedule.parse(text).next(datetime(2026, 1, 30, 17, 50, 30, tzinfo=UTC))
    assert found is not None
    assert found.strftime("%Y-%m-%dT%H:%M:%S") == expected


@pytest.mark.parametrize("text", ["* * * *", "60 * * * *", "a * * * *", "*/0 * * * *", "5-2 * * * *"])
def test_schedules_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"cron|fields|number"):
        Schedule.parse(text)


# --- the rest


def test_a_budget_allows_what_leaves_enough() -> None:
    budget = {"metadata": {"generation": 1}, "spec": {"minAvailable": 2}}
    three = [pod("a"), pod("b"), pod("c")]
    assert disruption.compute(budget, three, 3, NOW)["disruptionsAllowed"] == 1
    assert disruption.compute(budget, [*three[:2], pod("c", ready=False)], 3, NOW)["disruptionsAllowed"] == 0
    budget["status"] = {"disruptedPods": {"a": rfc3339(NOW)}}
    assert disruption.compute(budget, three, 3, NOW)["currentHealthy"] == 2
    percent = {"metadata": {}, "spec": {"maxUnavailable": "34%"}}
    assert disruption.compute(percent, three, 3, NOW)["desiredHealthy"] == 1


def test_what_a_namespace_uses() -> None:
    container = {"name": "c", "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}}}
    init = {"name": "i", "resources": {"requests": {"cpu": "250m"}}}
    busy = pod("a", spec={"containers": [container, container], "initContainers": [init]})
    quota = {"spec": {"hard": {"pods": "5", "requests.cpu": "1", "limits.memory": "4Gi", "count/jobs.batch": "1"}}}
    used = resourcequota.usage(quota, {"pods": [busy, pod("b", phase="Succeeded")], "jobs": [{}, {}]})
    assert used == {"pods": "1", "requests.cpu": "250m", "limits.memory": "2Gi", "count/jobs.batch": "2"}
    whole = {"containers": [container], "resources": {"limits": {"memory": "3Gi"}}, "overhead": {"cpu": "10m"}}
    used = resourcequota.usage(
        {"spec": {"hard": quota["spec"]["hard"] | {"limits.cpu": "9"}}}, {"pods": [pod("c", spec=whole)]}
    )
    assert (used["requests.cpu"], used["limits.memory"], used["limits.cpu"]) == ("110m", "3Gi", "0")


def thing(uid: str, *owners: str, finalizers: tuple[str, ...] = (), deleting: bool = False) -> dict[str, Any]:
    refs = [{"apiVersion": "v1", "kind": "Thing", "name": o, "uid": o, "blockOwnerDeletion": True} for o in owners]
    metadata: dict[str, Any] = {"name": uid, "namespace": "default", "uid": uid, "ownerReferences": refs}
    metadata |= {"finalizers": list(finalizers)} | ({"deletionTimestamp": rfc3339(NOW)} if deleting else {})
    return {"apiVersion": "v1", "kind": "Thing", "metadata": metadata}


def test_the_graph_of_owners() -> None:
    graph = Graph()
    assert [n.ref.uid for n in graph.put(thing("child", "parent"))] == ["parent"]
    assert graph.nodes["parent"].virtual
    assert graph.put(thing("second", "parent")) == []  # that look is under way
    assert graph.remove("second") == []
    assert graph.put(thing("parent")) == []
    assert graph.put(thing("third", "parent")) == []  # its owner is known: nothing to ask the server
    assert graph.remove("third") == []
    assert not graph.nodes["parent"].virtual
    waiting = graph.put(thing("parent", finalizers=("foregroundDeletion",), deleting=True))
    assert {n.ref.uid for n in waiting} == {"parent", "child"}
    assert [n.ref.uid for n in graph.nodes["parent"].blocking_dependents()] == ["child"]
    assert [n.ref.uid for n in graph.remove("child")] == ["parent"]
    assert graph.nodes["parent"].blocking_dependents() == []
    graph.put(thing("late", "parent"))
    assert [n.ref.uid for n in graph.remove("parent")] == ["late"]
    assert ("parent", "default") in graph.absent


def test_references_that_do_not_name_what_bears_the_uid_are_looked_at() -> None:
    graph = Graph()
    graph.put(thing("parent"))
    wrong = thing("child", "parent")
    wrong["metadata"]["ownerReferences"][0]["name"] = "other"
    assert [n.ref.uid for n in graph.put(wrong)] == ["child"]
    early = thing("early", "late")
    early["metadata"]["ownerReferences"][0]["kind"] = "Other"
    assert [n.ref.uid for n in graph.put(early)] == ["late"]
    assert [n.ref.uid for n in graph.put(thing("late"))] == ["early"]


def test_an_owner_known_to_be_absent_is_no_reason_to_wait() -> None:
    graph = Graph()
    graph.put(thing("child", "parent"))
    graph.mark_absent(graph.nodes["parent"].ref)
    assert [n.ref.uid for n in graph.put(thing("second", "parent"))] == ["second"]


def test_an_owner_in_the_foreground_is_looked_at_when_a_dependent_blocks_it_no_longer() -> None:
    graph = Graph()
    graph.put(thing("child", "parent"))
    graph.put(thing("parent", finalizers=("foregroundDeletion",), deleting=True))
    free = thing("child", "parent")
    free["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = False
    assert "parent" in {n.ref.uid for n in graph.put(free)}
    assert graph.nodes["parent"].blocking_dependents() == []


@pytest.mark.parametrize(
    ("wanted", "hints"),
    [
        (None, None),
        ("PreferClose", {"forZones": [{"name": "a"}]}),
        ("PreferSameZone", {"forZones": [{"name": "a"}]}),
        ("PreferSameNode", {"forZones": [{"name": "a"}], "forNodes": [{"name": "n1"}]}),
    ],
)
def test_for_whom_an_endpoint_is(wanted, hints):
    spec = {"ipFamilies": ["IPv4"], **({"trafficDistribution": wanted} if wanted else {})}
    service = {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}
    ready = [{"type": "Ready", "status": "True"}]
    pod = {
        "metadata": {"name": "p", "namespace": "default", "uid": "u"},
        "spec": {"nodeName": "n1", "containers": []},
        "status": {"podIP": "10.0.0.1", "conditions": ready},
    }

    def made(pod):
        ((one,),) = endpointslice.desired(service, [pod], {"n1": "a"}).values()
        return one

    assert made(pod).get("hints") == hints
    assert "hints" not in made({**pod, "status": {"podIP": "10.0.0.1"}})
