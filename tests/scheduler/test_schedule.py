"""The cycle on four nodes. Every outcome and every sentence here is that of a real kube-scheduler (v1.36.2)."""

from random import Random
from typing import Any

import pytest

from workshop.api.meta import Key, Obj
from workshop.scheduler.framework import Decision, Framework, fit_error, nodes_to_find, schedule
from workshop.scheduler.node_info import PodInfo, Snapshot, snapshot_of
from workshop.scheduler.plugins import default_framework
from workshop.scheduler.plugins.dynamic_resources import DynamicResources
from workshop.scheduler.plugins.volume_binding import VolumeBinding
from workshop.scheduler.preemption import Victims, preempt, violating

HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
FRAMEWORK = default_framework()


def node(name: str, taints: list[dict[str, str]] | None = None, **labels: str) -> Obj:
    named = {
        HOST: name,
        "kubernetes.io/os": "linux",
        **{key.replace("__", "/"): value for key, value in labels.items()},
    }
    return {
        "metadata": {"name": name, "labels": named},
        "spec": {"taints": taints or []},
        "status": {"allocatable": {"cpu": "32", "memory": "64Gi", "pods": "500"}},
    }


def pod(name: str = "p", spec: dict[str, Any] | None = None, on: str = "", labels: dict[str, str] | None = None) -> Obj:
    whole = {"containers": [{"name": "c", "image": "i"}], **(spec or {})}
    if on:
        whole["nodeName"] = on
    return {"metadata": {"name": name, "namespace": "default", "uid": name, "labels": labels or {}}, "spec": whole}


def asks(cpu: str, memory: str = "0", **more: Any) -> dict[str, Any]:
    requests = {"cpu": cpu, "memory": memory} if memory != "0" else {"cpu": cpu}
    return {"containers": [{"name": "c", "image": "i", "resources": {"requests": requests}}], **more}


def on_host(name: str) -> dict[str, Any]:
    return {"nodeSelector": {HOST: name}}


def terms(kind: str, key: str, labels: dict[str, str], required: bool = True) -> dict[str, Any]:
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": key}
    if required:
        return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}
    weighted = [{"weight": 50, "podAffinityTerm": term}]
    return {"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": weighted}}}


def node_terms(*expressions: dict[str, Any], fields: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    term = {"matchExpressions": list(expressions), "matchFields": fields or []}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {"affinity": {"nodeAffinity": required}}


def spread(key: str, when: str, **more: Any) -> dict[str, Any]:
    rule = {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": when, "labelSelector": {"matchLabels": {"app": "x"}}}
    return {"topologySpreadConstraints": [{**rule, **more}]}


HOST_PORT = {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 80}]}]}
NODES = [
    node("node-0", zone="a", disk="ssd", **{ZONE.replace("/", "__"): "z1"}),
    node("node-1", zone="a", **{ZONE.replace("/", "__"): "z1"}),
    node("node-2", [{"key": "soft", "value": "x", "effect": "PreferNoSchedule"}], zone="b", disk="hdd",
         **{ZONE.replace("/", "__"): "z2"}),
    node("node-3", [{"key": "a", "value": "b", "effect": "NoSchedule"}]),
]  # fmt: skip
PODS = [
    pod("fix0", asks("10"), "node-0", {"app": "x"}),
    pod("fix1", asks("1", "30Gi"), "node-1", {"app": "y"}),
    pod("fix2", asks("4", **terms("podAntiAffinity", HOST, {"app": "loner"})), "node-2", {"app": "z"}),
    pod("fixp", HOST_PORT, "node-1"),
]
SNAPSHOT = snapshot_of(NODES, PODS)


def decide(spec: dict[str, Any], labels: dict[str, str] | None = None, snapshot: Snapshot = SNAPSHOT) -> Decision:
    return schedule(FRAMEWORK, PodInfo(pod("new", spec, labels=labels)), snapshot, Random(0))


PLACED = {
    "room for the memory": (asks("1", "50Gi"), {}, "node-0"),
    "node selector": ({"nodeSelector": {"disk": "ssd"}}, {}, "node-0"),
    "node affinity In": (node_terms({"key": "zone", "operator": "In", "values": ["b"]}), {}, "node-2"),
    "node affinity NotIn, Exists": (
        node_terms({"key": "zone", "operator": "NotIn", "values": ["a"]}, {"key": "disk", "operator": "Exists"}), {}, "node-2"),
    "by the node's name": (
        node_terms(fields=[{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]), {}, "node-1"),
    "tolerated taint": ({**on_host("node-3"), "tolerations": [{"key": "a", "value": "b"}]}, {}, "node-3"),
    "near another pod": (terms("podAffinity", HOST, {"app": "y"}), {}, "node-1"),
    "the first of its kind": (
        {**terms("podAffinity", HOST, {"app": "self"}), "nodeSelector": {"zone": "b"}}, {"app": "self"}, "node-2"),
    "far from another pod": (terms("podAntiAffinity", "zone", {"app": "x"}), {}, "node-2"),
    "hard spreading within the selected nodes": (
        {**spread(ZONE, "DoNotSchedule"), "nodeSelector": {"disk": "ssd"}}, {"app": "x"}, "node-0"),
    "hard spreading": (spread(ZONE, "DoNotSchedule"), {"app": "x"}, "node-2"),
    "soft spreading": (spread(HOST, "ScheduleAnyway"), {"app": "x"}, "node-1"),
    "preferred affinity against a soft taint": (terms("podAffinity", HOST, {"app": "z"}, False), {}, "node-0"),
    "preferred anti-affinity against a soft taint": (terms("podAntiAffinity", "zone", {"app": "y"}, False), {}, "node-0"),
    "the emptier node": (asks("100m", "100Mi"), {}, "node-0"),
    "cpu where memory is taken": (asks("8", "1Gi"), {}, "node-1"),
    "memory where cpu is taken": (asks("100m", "20Gi"), {}, "node-0"),
}  # fmt: skip


@pytest.mark.parametrize("what", PLACED)
def test_placed(what: str) -> None:
    spec, labels, expected = PLACED[what]
    assert decide(spec, labels).node == expected


TAINTED = "1 node(s) had untolerated taint(s)"
NO_HELP = (
    "no new claims to deallocate, preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling."
)
REFUSED = {
    "too much of it": (asks("100"), {}, f"{TAINTED}, 3 Insufficient cpu. {NO_HELP}"),
    "no such label": (
        {"nodeSelector": {"disk": "nope"}}, {}, f"{TAINTED}, 3 node(s) didn't match Pod's node affinity/selector. {NO_HELP}"),
    "its node is too small": (
        asks("100", **node_terms(fields=[{"key": "metadata.name", "operator": "In", "values": ["node-1"]}])), {},
        f"1 Insufficient cpu, 3 node(s) didn't satisfy plugin(s) [NodeAffinity]. {NO_HELP}"),
    "no such node": (
        node_terms(fields=[{"key": "metadata.name", "operator": "In", "values": ["nowhere"]}]), {},
        f"4 node(s) didn't satisfy plugin(s) [NodeAffinity]. {NO_HELP}"),
    "port taken": (
        {**HOST_PORT, **on_host("node-1")}, {},
        f"1 node(s) didn't have free ports for the requested pod ports, {TAINTED}, "
        "2 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: 0/4 nodes are "
        "available: 1 No preemption victims found for incoming pod, 3 Preemption is not helpful for scheduling."),
    "nobody to be near": (
        terms("podAffinity", HOST, {"app": "none"}), {}, f"{TAINTED}, 3 node(s) didn't match pod affinity rules. {NO_HELP}"),
    "too near everywhere": (
        terms("podAntiAffinity", "kubernetes.io/os", {"app": "x"}), {},
        f"{TAINTED}, 3 node(s) didn't match pod anti-affinity rules. no new claims to deallocate, preemption: 0/4 nodes are "
        "available: 1 Preemption is not helpful for scheduling, 3 No preemption victims found for incoming pod."),
    "not wanted there": (
        {"nodeSelector": {"zone": "b"}}, {"app": "loner"},
        f"1 node(s) didn't satisfy existing pods anti-affinity rules, {TAINTED}, 2 node(s) didn't match Pod's node "
        "affinity/selector. no new claims to deallocate, preemption: 0/4 nodes are available: 1 No preemption victims "
        "found for incoming pod, 3 Preemption is not helpful for scheduling."),
    "nowhere to spread": (
        spread("nolabel", "DoNotSchedule"), {"app": "x"},
        f"{TAINTED}, 3 node(s) didn't match pod topology spread constraints (missing required label). {NO_HELP}"),
    "may not preempt": (
        asks("100", preemptionPolicy="Never", priority=1000), {},
        f"{TAINTED}, 3 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never."),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    spec, labels, expected = REFUSED[what]
    info = PodInfo(pod("new", spec, labels=labels))
    decision = schedule(FRAMEWORK, info, SNAPSHOT, Random(0))
    outcome = preempt(FRAMEWORK, info, decision, SNAPSHOT)
    assert decision.node == "" and outcome.victims is None
    assert decision.message(outcome.message) == f"0/4 nodes are available: {expected}"


def test_no_nodes_at_all() -> None:
    assert decide({}, snapshot=snapshot_of([])).message() == "no nodes available to schedule pods"


def test_cordoned_node() -> None:
    cordoned = {**node("n"), "spec": {"unschedulable": True}}
    decision = decide({}, snapshot=snapshot_of([cordoned]))
    assert decision.message() == "0/1 nodes are available: 1 node(s) were unschedulable."
    key = "node.kubernetes.io/unschedulable"
    assert decide({"tolerations": [{"key": key, "operator": "Exists"}]}, snapshot=snapshot_of([cordoned])).node == "n"


def test_too_many_pods() -> None:
    full = node("n")
    full["status"]["allocatable"]["pods"] = "1"
    decision = decide({}, snapshot=snapshot_of([full], [pod("a", on="n")]))
    assert decision.message() == "0/1 nodes are available: 1 Too many pods."


def test_scores_are_told_by_plugin() -> None:
    scores = decide(asks("100m", "100Mi")).scores
    assert set(scores) == {"node-0", "node-1", "node-2"}
    assert scores["node-0"]["TaintToleration"] == 300 and scores["node-2"]["TaintToleration"] == 0
    assert scores["node-0"]["NodeResourcesFit"] == (68 + 99) // 2


def test_images_draw_pods_to_them() -> None:
    with_image = node("n1")
    with_image["status"]["images"] = [{"names": ["big:latest"], "sizeBytes": 2 * 10**9}]
    spec = {"containers": [{"name": "c", "image": "big"}]}
    assert decide(spec, snapshot=snapshot_of([node("n0"), with_image])).node == "n1"


def test_ties_are_broken_by_the_random_source_given() -> None:
    equal = snapshot_of([node(f"n{i}") for i in range(3)])
    info = PodInfo(pod())
    chosen = [schedule(FRAMEWORK, info, equal, Random(seed)).node for seed in range(20)]
    assert set(chosen) == {"n0", "n1", "n2"}
    assert chosen == [schedule(FRAMEWORK, info, equal, Random(seed)).node for seed in range(20)]


def test_gates_keep_a_pod_from_being_tried() -> None:
    status = FRAMEWORK.pre_enqueue(PodInfo(pod(spec={"schedulingGates": [{"name": "a"}, {"name": "b"}]})))
    assert status is not None and status.reasons == ("waiting for scheduling gates: [a b]",)


def test_many_nodes_are_not_all_looked_at() -> None:
    assert [nodes_to_find(n) for n in (50, 100, 1000, 5000)] == [50, 100, 420, 500]


def test_reasons_are_counted_and_sorted() -> None:
    decision = decide(asks("100"))
    assert fit_error(4, decision.diagnosis.values()).endswith(f"{TAINTED}, 3 Insufficient cpu.")


# --- preemption


def important(**spec: Any) -> PodInfo:
    return PodInfo(pod("vip", {**asks("30"), "priority": 1000, **spec}))


def outcome_of(info: PodInfo, snapshot: Snapshot, budgets: list[Obj] | None = None) -> Victims | None:
    decision = schedule(FRAMEWORK, info, snapshot, Random(0))
    assert decision.node == ""
    return preempt(FRAMEWORK, info, decision, snapshot, budgets or []).victims


def test_the_least_important_go_and_no_more_than_needed() -> None:
    small = [
        pod("low", asks("10", priority=1), "n0"),
        pod("mid", asks("10", priority=5), "n0"),
        pod("tiny", asks("1", priority=0), "n0"),
        pod("equal", asks("1", priority=1000), "n0"),
    ]
    victims = outcome_of(important(containers=asks("20")["containers"]), snapshot_of([node("n0")], small))
    assert victims is not None
    assert [victim.key.name for victim in victims.pods] == ["low"]


def test_the_node_with_the_smaller_loss_is_chosen() -> None:
    pods = [pod("a", asks("10", priority=7), "n0"), pod("b", asks("10", priority=3), "n1")]
    victims = outcome_of(important(), snapshot_of([node("n0"), node("n1")], pods))
    assert victims is not None and victims.node == "n1"


def test_budgets_are_kept_where_possible() -> None:
    budget = {
        "metadata": {"namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "guarded"}}},
        "status": {"disruptionsAllowed": 0},
    }
    pods = [
        pod("guarded", asks("10", priority=1), "n0", {"app": "guarded"}),
        pod("free", asks("10", priority=5), "n1", {"app": "free"}),
    ]
    snapshot = snapshot_of([node("n0"), node("n1")], pods)
    assert violating([PodInfo(p) for p in pods], [budget]) == {"guarded"}
    victims = outcome_of(important(), snapshot, [budget])
    assert victims is not None and victims.node == "n1" and victims.violations == 0


def test_a_promised_place_is_kept_for_whom_it_was_promised_to() -> None:
    base = snapshot_of([node("n0")])
    vip = important()
    promised = Snapshot(base.nodes, base.namespaces, {"n0": (vip,)})
    assert schedule(FRAMEWORK, PodInfo(pod("late", asks("10"))), promised, Random(0)).node == ""
    assert schedule(FRAMEWORK, PodInfo(pod("later", asks("10", priority=2000))), promised, Random(0)).node == "n0"
    assert schedule(FRAMEWORK, vip, promised, Random(0)).node == "n0"


# --- volumes


class Shelf(dict[Key, Obj]):
    """Objects by key, as an informer's store has them."""


def claim(name: str, volume: str = "", storage_class: str = "", **metadata: Any) -> tuple[Key, Obj]:
    done = {"pv.kubernetes.io/bind-completed": "yes"} if volume else {}
    spec = {"volumeName": volume, "storageClassName": storage_class}
    return Key("default", name), {"metadata": {"name": name, "annotations": done, **metadata}, "spec": spec}


def on_zone(zone: str) -> Obj:
    term = {"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}
    return {"metadata": {}, "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}}}


VOLUMES = VolumeBinding(
    Shelf(
        [
            claim("bound", "near"),
            claim("lost", "gone"),
            claim("free"),
            claim("late", "", "later"),
            claim("ending", "near", deletionTimestamp="2026-01-01T00:00:00Z"),
        ]
    ),
    Shelf({Key("", "near"): on_zone("b")}),
    Shelf({Key("", "later"): {"volumeBindingMode": "WaitForFirstConsumer"}}),
)


def judge(framework: Framework, spec: Obj, outcome: str, ending: str = "") -> None:
    """A new pod with this in its spec goes to the node `outcome`, or to none, for the reason `outcome`."""
    info = PodInfo(pod("new", {**asks("100m"), **spec}))
    decision = schedule(framework, info, SNAPSHOT, Random(0))
    if decision.node:
        assert decision.node == outcome
    else:
        message = decision.message(preempt(framework, info, decision, SNAPSHOT).message)
        assert message == f"0/4 nodes are available: {outcome}{ending}"


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("bound", "node-2"),
        ("late", "node-0"),
        ("free", "pod has unbound immediate PersistentVolumeClaims"),
        ("none", 'persistentvolumeclaim "none" not found'),
        ("ending", 'persistentvolumeclaim "ending" is being deleted'),
        ("lost", 'persistentvolume "gone" not found'),
    ],
)
def test_claims(name: str, outcome: str) -> None:
    spec = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": name}}]}
    judge(default_framework(volume_binding=VOLUMES), spec, outcome, ". not found")


# --- devices. The sentences are those of kube-scheduler 1.36.2.


def device_claim(name: str, on_node: str = "", of_class: str = "known", **metadata: Any) -> tuple[Key, Obj]:
    fields = [{"key": "metadata.name", "operator": "In", "values": [on_node]}]
    allocation = {"devices": {}, "nodeSelector": {"nodeSelectorTerms": [{"matchFields": fields}]}}
    spec = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": of_class}}]}}
    status = {"allocation": allocation} if on_node else {}
    return Key("default", name), {"metadata": {"name": name, **metadata}, "spec": spec, "status": status}


DEVICES = DynamicResources(
    Shelf(
        [
            device_claim("here", "node-2"),
            device_claim("free"),
            device_claim("strange", of_class="other"),
            device_claim("ending", "node-2", deletionTimestamp="2026-01-01T00:00:00Z"),
        ]
    ),
    Shelf({Key("", "known"): {}}),
)
NO_HELP = "preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling."


@pytest.mark.parametrize(
    ("asked", "outcome"),
    [
        ({"resourceClaimName": "here"}, "node-2"),
        (
            {"resourceClaimName": "free"},
            f"1 node(s) had untolerated taint(s), 3 cannot allocate all claims. still not schedulable, {NO_HELP}",
        ),
        (
            {"resourceClaimName": "strange"},
            f"request r: device class other does not exist. no new claims to deallocate, {NO_HELP}",
        ),
        (
            {"resourceClaimName": "ending"},
            f'resourceclaim "ending" is being deleted. no new claims to deallocate, {NO_HELP}',
        ),
        (
            {"resourceClaimTemplateName": "t"},
            f'pod "default/new": ResourceClaim not created yet. no new claims to deallocate, {NO_HELP}',
        ),
    ],
)
def test_devices(asked: dict[str, str], outcome: str) -> None:
    spec = {"resourceClaims": [{"name": "gpu", **asked}]}
    judge(default_framework(dynamic_resources=DEVICES), spec, outcome)
