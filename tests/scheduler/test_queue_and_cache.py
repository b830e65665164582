from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshop.api import labels
from workshop.api.meta import Key, Obj
from workshop.api.scheduling.requests import pod_requests
from workshop.scheduler import events
from workshop.scheduler.cache import Cache
from workshop.scheduler.framework import Event, schedule
from workshop.scheduler.node_info import NodeInfo, PodInfo
from workshop.scheduler.plugins import default_framework
from workshop.scheduler.queue import SchedulingQueue

FRAMEWORK = default_framework()


def pod(name: str, priority: int = 0, node: str = "", cpu: str = "1", **labels: str) -> PodInfo:
    spec = {"priority": priority, "containers": [{"resources": {"requests": {"cpu": cpu}}}]}
    if node:
        spec["nodeName"] = node
    return PodInfo({"metadata": {"name": name, "namespace": "default", "uid": name, "labels": labels}, "spec": spec})


def node(name: str = "n", cpu: str = "4", **labels: str) -> Obj:
    return {"metadata": {"name": name, "labels": labels}, "status": {"allocatable": {"cpu": cpu, "pods": "110"}}}


def queue() -> SchedulingQueue:
    return SchedulingQueue(FRAMEWORK.interested)


def names(q: SchedulingQueue, now: float) -> list[str]:
    found = []
    while (queued := q.pop(now)) is not None:
        found.append(queued.pod.key.name)
    return found


def test_the_most_important_first_then_who_waited_longest() -> None:
    q = queue()
    for at, (name, priority) in enumerate([("a", 0), ("b", 5), ("c", 0), ("d", 5)]):
        q.add(pod(name, priority), at)
    assert names(q, 10) == ["b", "d", "a", "c"]


def test_a_refused_pod_waits_for_an_event_that_concerns_its_refusal() -> None:
    q = queue()
    q.add(pod("a", cpu="3"), 0)
    queued = q.pop(0)
    assert queued is not None
    q.failed(queued, 0, frozenset({"NodeResourcesFit"}))
    assert q.counts()["unschedulable"] == 1
    q.event(Event("Node/Label", node(), node()), 0.5)
    q.event(Event("Node/Add", None, node(cpu="2")), 0.5)
    assert q.counts()["unschedulable"] == 1
    q.event(Event("Node/Add", None, node(cpu="8")), 0.5)
    assert q.counts()["backoff"] == 1 and q.next_time() == 1.0
    assert names(q, 0.9) == [] and names(q, 1.0) == ["a"]


def test_an_event_after_the_pause_makes_it_ready_at_once() -> None:
    q = queue()
    q.add(pod("a"), 0)
    queued = q.pop(0)
    assert queued is not None
    q.failed(queued, 0, frozenset({"NodeResourcesFit"}))
    q.event(Event("Pod/Delete", {}, None), 30)
    assert names(q, 30) == ["a"]


def test_the_pause_doubles_up_to_ten_seconds() -> None:
    q = queue()
    q.add(pod("a"), 0)
    now, pauses = 0.0, []
    for _ in range(6):
        queued = q.pop(now)
        assert queued is not None
        q.failed(queued, now, frozenset())
        at = q.next_time()
        assert at is not None
        pauses.append(at - now)
        now = at
    assert pauses == [1, 2, 4, 8, 10, 10]


def test_nobody_waits_for_ever() -> None:
    q = queue()
    q.add(pod("a"), 0)
    queued = q.pop(0)
    assert queued is not None
    q.failed(queued, 0, frozenset({"NodeName"}))
    assert q.next_time() == 300 and names(q, 299) == [] and names(q, 300) == ["a"]


def test_gates() -> None:
    q = queue()
    q.add(pod("a"), 0, "SchedulingGates")
    assert q.counts()["gated"] == 1 and names(q, 999) == [] and q.next_time() is None
    q.ungate(pod("a"), 5)
    assert names(q, 5) == ["a"]


def test_deleted_pods_do_not_come_up() -> None:
    q = queue()
    q.add(pod("a"), 0)
    q.remove(Key("default", "a"))
    assert names(q, 0) == [] and Key("default", "a") not in q


def test_an_update_keeps_one_place() -> None:
    q = queue()
    q.add(pod("a"), 0)
    q.update(pod("a", priority=9), 1, [])
    assert names(q, 1) == ["a"]


# --- cache


def test_an_assumed_pod_takes_room_until_it_is_forgotten() -> None:
    cache = Cache()
    cache.set_node(node(cpu="2"))
    first = cache.snapshot()
    cache.assume(pod("a", cpu="2"), "n")
    assert schedule(FRAMEWORK, pod("b"), cache.snapshot(), Random(0)).node == ""
    assert first.nodes["n"].requested.get("cpu", 0) == 0, "a snapshot does not change"
    cache.forget(Key("default", "a"))
    assert schedule(FRAMEWORK, pod("b"), cache.snapshot(), Random(0)).node == "n"


def test_the_informer_confirms_an_assumption_once() -> None:
    cache = Cache()
    cache.set_node(node())
    cache.assume(pod("a"), "n")
    cache.set_pod(pod("a", node="n"))
    assert cache.sizes() == {"nodes": 1, "pods": 1, "assumed_pods": 0}
    assert cache.snapshot().nodes["n"].requested["cpu"] == 1000
    cache.forget(Key("default", "a"))
    assert cache.sizes()["pods"] == 1, "what the server says is not forgotten"


def test_pods_may_come_before_their_node() -> None:
    cache = Cache()
    cache.set_pod(pod("a", node="n"))
    cache.set_node(node())
    assert set(cache.snapshot().nodes["n"].pods) == {"a"}


def test_only_what_changed_is_copied() -> None:
    cache = Cache()
    cache.set_node(node("n0"))
    cache.set_node(node("n1"))
    before = cache.snapshot()
    cache.assume(pod("a"), "n0")
    after = cache.snapshot()
    assert after.nodes["n1"] is before.nodes["n1"] and after.nodes["n0"] is not before.nodes["n0"]
    cache.remove_node("n1")
    assert set(cache.snapshot().nodes) == {"n0"}


steps = st.lists(st.tuples(st.sampled_from(["assume", "confirm", "remove", "count"]), st.integers(0, 4), st.booleans()))


@given(steps)
def test_sums_and_counts_are_those_of_the_pods(sequence: list[tuple[str, int, bool]]) -> None:
    cache = Cache()
    cache.set_node(node())
    selector = labels.parse("app=x")
    for what, number, matching in sequence:
        info = pod(f"p{number}", node="n" if what == "confirm" else "", app="x" if matching else "y")
        if what == "assume":
            if cache.pod(info.key) is None:
                cache.assume(info, "n")
        elif what == "confirm":
            cache.set_pod(info)
        elif what == "remove":
            cache.remove_pod(info.key)
        seen = cache.snapshot().nodes["n"]
        anew = NodeInfo(node())
        for held in seen.pods.values():
            anew.add_pod(held)
        assert seen.requested.get("cpu", 0) == anew.requested.get("cpu", 0)
        assert seen.count("default", selector) == anew.count("default", selector)


# --- what is asked for, what has changed


@pytest.mark.parametrize(
    ("spec", "requests"),
    [
        ({"containers": [{}, {}]}, {}),
        ({"containers": [{"resources": {"requests": {"cpu": "1"}}}, {"resources": {"requests": {"cpu": "500m"}}}]}, {"cpu": 1500}),
        (
            {"containers": [{"resources": {"requests": {"cpu": "1"}}}], "initContainers": [{"resources": {"requests": {"cpu": "3"}}}]},
            {"cpu": 3000},
        ),
        (
            {
                "containers": [{"resources": {"requests": {"cpu": "1"}}}],
                "initContainers": [
                    {"restartPolicy": "Always", "resources": {"requests": {"cpu": "2"}}},
                    {"resources": {"requests": {"cpu": "2"}}},
                ],
                "overhead": {"cpu": "100m"},
            },
            {"cpu": 4100},
        ),
        ({"containers": [{"resources": {"requests": {"cpu": "1"}}}], "resources": {"requests": {"cpu": "5"}}}, {"cpu": 5000}),
    ],
)  # fmt: skip
def test_requests(spec: Obj, requests: dict[str, int]) -> None:
    assert pod_requests({"spec": spec}) == requests


def test_while_a_pod_is_resized_it_counts_with_the_most_that_it_may_use() -> None:
    spec = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "64Mi"}}}]}
    told = {"name": "c", "allocatedResources": {"cpu": "1500m"}, "resources": {"requests": {"cpu": "2", "pods": "9"}}}
    shrinking: Obj = {"spec": spec, "status": {"containerStatuses": [told]}}
    assert pod_requests(shrinking) == {"cpu": 1000, "memory": 64 << 20}
    assert pod_requests(shrinking, reported=True) == {"cpu": 2000, "memory": 64 << 20}


def test_a_heartbeat_is_no_event() -> None:
    old = node()
    beat = {**old, "status": {**old["status"], "conditions": [{"type": "Ready", "lastHeartbeatTime": "later"}]}}
    assert events.node_changed(old, beat) == []
    cordoned = {**old, "spec": {"unschedulable": True}}
    assert [event.what for event in events.node_changed(old, cordoned)] == ["Node/Taint"]
    assert [event.what for event in events.node_changed(old, node(cpu="9", a="b"))] == [
        "Node/Allocatable",
        "Node/Label",
    ]
