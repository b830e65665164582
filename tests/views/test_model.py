"""The board's model: which change makes which row anew, and that the steps lead to the picture."""

import random

import pytest

from workshop.views.graph import Graph
from workshop.views.lanes import UNPLACED, WIDTH, Lanes
from workshop.views.model import FRAME, Model


def obj(kind, name, owner=None, spec=None, status=None, uid=None, **metadata):
    found = {
        "kind": kind,
        "metadata": {"name": name, "namespace": "default", "uid": uid or name, "resourceVersion": "1", **metadata},
        "spec": spec or {},
        "status": status or {},
    }
    if owner:
        reference = {"kind": owner["kind"], "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
        found["metadata"]["ownerReferences"] = [{**reference, "controller": True}]
    return found


def ready(value="True"):
    return {"phase": "Running", "conditions": [{"type": "Ready", "status": value}]}


def pod(name, owner=None, node="node-1", state="True", **more):
    return obj("Pod", name, owner, {"nodeName": node, "containers": [{}]}, ready(state), **more)


PROCESSES = [
    {"name": name, "program": name.removesuffix("-node-1"), "node": None, "pid": 7, "state": "running"}
    for name in ("etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager", "kubelet-node-1")
]
WEB = obj("Deployment", "web", spec={"replicas": 1}, status={"readyReplicas": 1})
SET = obj("ReplicaSet", "web-1", WEB, spec={"replicas": 1})


@pytest.fixture
def model():
    found = Model(observes=True)
    found.see(PROCESSES)
    for one in (WEB, SET, pod("web-1-a", SET)):
        found.put(one)
    found.observe({"web-1-a": 1})
    found.flush(0.0)
    return found


def test_all_three_truths_agree(model):
    row = model.rows["Deployment/default/web"]
    assert (row["desired"], row["reported"], row["observed"], row["next"]) == (1, 1, 1, "")
    assert model.rows["Pod/default/web-1-a"]["root"] == "Deployment/default/web"
    assert model.rows["Pod/default/web-1-a"]["owner"] == "ReplicaSet/default/web-1"


def test_a_killed_container_shows_in_observed_first(model):
    model.observe({})
    step = model.flush(1.0)
    assert set(step.put) == {"Deployment/default/web", "Pod/default/web-1-a"}
    row = step.put["Deployment/default/web"]
    assert (row["desired"], row["reported"], row["observed"]) == (1, 1, 0)
    assert row["next"] == "kubelet-node-1 (web-1-a has no process)"


def test_what_changes_nothing_is_no_step(model):
    model.put(pod("web-1-a", SET))
    model.observe({"web-1-a": 1})
    model.see(PROCESSES)
    assert model.flush(1.0) is None


def test_a_process_that_stops_is_named_by_whoever_waits_for_it(model):
    down = [{**row, "state": "stopped", "pid": None} if row["name"] == "kubelet-node-1" else row for row in PROCESSES]
    model.observe({})
    model.see(down)
    step = model.flush(1.0)
    assert step.put["Process//kubelet-node-1"]["state"] == "stopped"
    assert step.put["Deployment/default/web"]["next"] == "kubelet-node-1 is stopped (web-1-a has no process)"


def test_where_nothing_can_be_seen_observed_is_empty_not_zero():
    model = Model(observes=False)
    model.put(pod("a"))
    model.put(pod("b", state="False"))
    model.flush(0.0)
    assert (model.rows["Pod/default/a"]["observed"], model.rows["Pod/default/a"]["next"]) == (None, "")
    assert model.rows["Pod/default/b"]["next"] == "kubelet-node-1 (b is not ready)", "told from the API alone"


def slice_of(service, *pods):
    endpoints = [
        {"addresses": ["127.7.0.9"], "conditions": {"ready": True},
         "targetRef": {"kind": "Pod", "namespace": "default", "name": name}} for name in pods
    ]  # fmt: skip
    found = obj("EndpointSlice", f"{service}-x", labels={"kubernetes.io/service-name": service})
    return {**found, "endpoints": endpoints, "ports": [{"port": 80}]}


def test_a_service_shows_its_endpoints_and_its_connections(model):
    model.put(obj("Service", "web", spec={"clusterIP": "127.7.128.9", "ports": [{"port": 80}]}))
    model.put(slice_of("web", "web-1-a"))
    model.flush(1.0)
    row = model.rows["Service/default/web"]
    assert [one["pod"] for one in row["endpoints"]] == ["Pod/default/web-1-a"]
    assert (row["open"], row["recent"]) == (0, 0)
    model.hear({("127.7.128.9", 80): (2, 1), ("127.7.0.9", 10080): (2, 0)})
    assert set(model.flush(2.0).put) == {"Service/default/web"}
    row = model.rows["Service/default/web"]
    assert (row["open"], row["recent"], row["endpoints"][0]["open"]) == (2, 1, 2)
    model.remove(slice_of("web", "web-1-a"))
    model.flush(3.0)
    assert model.rows["Service/default/web"]["endpoints"] == []
    assert list(model.graph.targets("serves", "Service/default/web")) == []


def test_who_leads_is_read_off_the_lease(model):
    lease = obj("Lease", "kube-scheduler", spec={"holderIdentity": "me", "leaseDurationSeconds": 15,
                "renewTime": "2026-01-31T09:00:00.000000Z"}, namespace="kube-system")  # fmt: skip
    model.put(lease)
    model.flush(1769850005.0)
    assert model.rows["Process//kube-scheduler"]["leader"] is True
    assert model.rows["Process//etcd"]["leader"] is None
    model.put({**lease, "spec": {**lease["spec"], "holderIdentity": ""}})
    model.flush(1769850006.0)
    assert model.rows["Process//kube-scheduler"]["leader"] is False


def test_of_several_masters_any_may_run_a_program_and_one_member_of_etcd_leads():
    def process(name, program, state="running"):
        return {
            "name": name,
            "program": program,
            "node": name[-8:],
            "pid": 1,
            "state": state,
            "restarts": 0,
            "exit": None,
        }

    model = Model(observes=True)
    model.see([process("etcd-master-1", "etcd", "stopped"), process("etcd-master-2", "etcd")])
    assert {"etcd", "etcd-master-2"} <= model.running and "etcd-master-1" not in model.running
    model.lead({"etcd-master-1": False, "etcd-master-2": True})
    model.flush(0.0)
    leads = {key: row["leader"] for key, row in model.rows.items() if row["type"] == "process"}
    assert leads == {"Process//etcd-master-1": False, "Process//etcd-master-2": True}


def test_a_job_wants_no_pods_once_it_is_complete():
    job = obj("Job", "sum", spec={"completions": 2, "parallelism": 2}, status={"succeeded": 1, "ready": 1})
    model = Model(observes=True)
    model.see(PROCESSES)
    model.put(job)
    model.flush(0.0)
    assert model.rows["Job/default/sum"]["desired"] == 1
    model.put({**job, "status": {"succeeded": 2, "conditions": [{"type": "Complete", "status": "True"}]}})
    model.flush(1.0)
    assert (model.rows["Job/default/sum"]["desired"], model.rows["Job/default/sum"]["next"]) == (0, "")


def test_steps_applied_in_order_are_the_picture_whatever_happens():
    rng = random.Random(7)
    model, shown = Model(observes=True), {}
    model.see(PROCESSES)
    living: dict[str, dict] = {}
    for turn in range(600):
        name = f"web-1-{rng.randrange(40)}"
        if name in living and rng.random() < 0.4:
            model.remove(living.pop(name))
        else:
            node = rng.choice([None, "node-1", "node-2"])
            living[name] = pod(name, SET, node, rng.choice(["True", "False"]), resourceVersion=str(turn))
            model.put(living[name])
        if rng.random() < 0.1:
            model.put(rng.choice([WEB, SET]))
        if rng.random() < 0.3:
            model.observe({name: 1 for name in living if rng.random() < 0.7})
        if rng.random() < 0.5 and (step := model.flush(float(turn))) is not None:
            for key in step.drop:
                del shown[key]
            shown |= step.put
    if (step := model.flush(601.0)) is not None:
        shown = {key: row for key, row in shown.items() if key not in step.drop} | step.put
    assert shown == model.rows
    assert {key for key in shown if key.startswith("Pod/")} == {f"Pod/default/{name}" for name in living}
    fresh = Model(observes=True)
    fresh.see(PROCESSES)
    for one in (*living.values(), WEB, SET):
        fresh.put(one)
    fresh.observe(model.observed)
    fresh.flush(0.0)

    def without_places(rows):
        return {key: {k: v for k, v in row.items() if k != "box"} for key, row in rows.items() if key != FRAME}

    assert without_places(fresh.rows) == without_places(model.rows)


def test_two_owners_that_own_each_other_end_no_search():
    graph = Graph()
    graph.link("owns", ["A//a"], "B//b")
    graph.link("owns", ["B//b"], "A//a")
    assert graph.owners("A//a") == ["B//b", "A//a"]
    assert graph.below("A//a", "B") == ["B//b"]


def test_a_pod_keeps_its_slot_and_a_new_one_takes_the_first_that_is_free():
    lanes = Lanes()
    for name in "abc":
        lanes.enter(name, "Node//n")
    lanes.arrange([], ["Node//n"], [])
    before = {name: lanes.pod(name) for name in "abc"}
    lanes.leave("b")
    lanes.enter("d", "Node//n")
    lanes.arrange([], ["Node//n"], [])
    assert (lanes.pod("a"), lanes.pod("c"), lanes.pod("d")) == (before["a"], before["c"], before["b"])
    assert lanes.pod("b") is None


@pytest.mark.parametrize("count", [1, 3, 12, 13, 61, 400])
def test_nothing_on_the_map_overlaps_or_leaves_its_card(count):
    lanes = Lanes()
    nodes = [f"Node//node-{n}" for n in range(1, 6)]
    for number in range(count):
        lanes.enter(f"p{number}", nodes[number % 2] if number % 7 else UNPLACED)
    lanes.arrange(["etcd", "api"], nodes, [f"s{n}" for n in range(9)])
    boxes = list(lanes.frame.values())
    assert all(x >= 0 and x + w <= WIDTH and y + h <= lanes.height for _, x, y, w, h in boxes)
    assert not _overlapping(boxes)
    cards: dict[str, list] = {}
    for number in range(count):
        box = lanes.pod(f"p{number}")
        cards.setdefault(box[0], []).append(box)
    for card, pods in cards.items():
        _, _, _, width, height = lanes.frame[card]
        assert all(x >= 0 and x + w <= width and y + h <= height for _, x, y, w, h in pods)
        assert not _overlapping(pods)


def _overlapping(boxes):
    return [
        (a, b) for i, a in enumerate(boxes) for b in boxes[:i]
        if a[1] < b[1] + b[3] and b[1] < a[1] + a[3] and a[2] < b[2] + b[4] and b[2] < a[2] + a[4]
    ]  # fmt: skip
