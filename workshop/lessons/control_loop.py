"""Lab 01: a control loop of twenty lines against the real API, then a decision inside the real one.

`pod_of`, `mine`, `is_ready` and `changes` are what the learner's loop may use; all else is judged here.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from workshop.api.meta import Obj, controller_of
from workshop.cluster.board import World, rows

from .exercise import Exercise, Finding, Scenario, Section, Sight, Swap
from .lab import Lab

MANAGER = "kube-controller-manager"
OWN = "my-controller"
RESYNC = 10.0
"""Seconds after which a loop looks even though nothing was said: what was missed is found then."""


# -- what the learner's loop stands on --


def pod_of(replicaset: Any) -> Obj:
    """A pod as the template of a V1ReplicaSet asks for, owned by it."""
    import kubernetes

    serialize = kubernetes.client.ApiClient().sanitize_for_serialization
    metadata = replicaset.metadata
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": metadata.name, "uid": metadata.uid}
    template = replicaset.spec.template
    return {
        "metadata": {
            "generateName": f"{metadata.name}-",
            "labels": dict(template.metadata.labels),
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
        },
        "spec": serialize(template.spec),
    }


def mine(core: Any, replicaset: Any) -> list[Any]:
    """The pods that this ReplicaSet owns and that are not on their way out, from the API."""
    found = core.list_namespaced_pod(replicaset.metadata.namespace).items
    uid = replicaset.metadata.uid
    return [
        pod
        for pod in found
        if any(owner.uid == uid for owner in pod.metadata.owner_references or ())
        and pod.metadata.deletion_timestamp is None
        and pod.status.phase not in ("Succeeded", "Failed")
    ]


def is_ready(pod: Any) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or ())


def changes(core: Any, apps: Any) -> Iterator[None]:
    """Yields at once, then after each change of a ReplicaSet or a pod. It does not say which: look for yourself."""
    news: queue.SimpleQueue[None] = queue.SimpleQueue()
    for list_ in (apps.list_namespaced_replica_set, core.list_namespaced_pod):
        threading.Thread(target=_follow, args=(list_, news), daemon=True).start()
    while True:
        yield
        try:
            news.get(timeout=RESYNC)
            while True:
                news.get_nowait()  # ten changes at once are one reason to look
        except queue.Empty:
            continue


def _follow(list_: Callable[..., Any], news: queue.SimpleQueue[None]) -> None:
    import kubernetes

    while True:
        try:
            for _ in kubernetes.watch.Watch().stream(list_, "default"):
                news.put(None)
        except Exception as error:  # noqa: BLE001  the API server was away, or its history is too short
            print(f"the watch ended ({type(error).__name__}); trying again", flush=True)
            time.sleep(1)


# -- the judges --


def _web(world: World) -> Obj | None:
    named = (obj for obj in world.workloads if obj["metadata"]["name"] == "web" and obj["kind"] == "ReplicaSet")
    return next(named, None)


def _pods(world: World, owner: Obj) -> list[Obj]:
    uid = owner["metadata"]["uid"]
    return [
        pod
        for pod in world.pods
        if (controller_of(pod) or {}).get("uid") == uid
        and not pod["metadata"].get("deletionTimestamp")
        and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
    ]


def _alone(sight: Sight, looked: str) -> Finding | None:
    """Whether the learner's loop, and nobody else, is at work."""
    if MANAGER in sight.world.running:
        how = f'lab.stop("{MANAGER}") takes it out of the way'
        return Finding(looked, f"{MANAGER} runs: who can tell which of you two did it?", how)
    if OWN not in sight.own:
        how = f'lab.log("{OWN}") shows how it ended; lab.run("{OWN}", control_loop) starts it'
        return Finding(looked, f"{OWN} does not run", how)
    return None


def converges(sight: Sight) -> Finding:
    """As many pods as the ReplicaSet asks for, by the learner's loop alone."""
    web = _web(sight.world)
    if web is None:
        return Finding("the ReplicaSets in the API", "there is no ReplicaSet web", "run the cell that applies it")
    have, wanted = len(_pods(sight.world, web)), int(web["spec"].get("replicas", 1))
    looked = (
        f"ReplicaSet web asks for {wanted} pods and has {have}; {MANAGER} {_runs(sight)}; your programs: {_own(sight)}"
    )
    if (problem := _alone(sight, looked)) is not None:
        return problem
    if have < wanted:
        return Finding(
            looked, f"{wanted - have} pods are missing", "decide returns a pair: how many to create, and a list"
        )
    if have > wanted:
        return Finding(
            looked, f"{have - wanted} pods are too many", "the second part of the pair are the pods to delete"
        )
    return Finding(looked)


def reports(sight: Sight) -> Finding:
    """The three truths of the ReplicaSet agree, and the learner's loop said so."""
    web = _web(sight.world)
    row = next((row for row in rows(sight.world) if row.kind == "ReplicaSet" and row.name == "web"), None)
    if web is None or row is None:
        return Finding("the ReplicaSets in the API", "there is no ReplicaSet web", "run the cell that applies it")
    status, generation = web.get("status") or {}, web["metadata"].get("generation", 0)
    looked = f"ReplicaSet web: desired {row.desired}, reported {row.reported}, observed {row.observed}; "
    looked += f"generation {generation}, observedGeneration {status.get('observedGeneration', 'not told')}"
    if (problem := _alone(sight, looked)) is not None:
        return problem
    if row.observed != row.desired:
        return Finding(looked, "the pods themselves are not as asked for yet", f'lab.log("{OWN}") shows what it says')
    if row.reported != row.desired:
        return Finding(looked, "status.readyReplicas does not tell how many pods are ready", "is_ready(pod) says it")
    if status.get("replicas") != row.desired:
        return Finding(looked, f"status.replicas is {status.get('replicas')}", "it counts all pods, ready or not")
    if status.get("observedGeneration") != generation:
        how = "write replicaset.metadata.generation into it"
        return Finding(looked, "status.observedGeneration does not say which wish this answers", how)
    return Finding(looked)


def spares(sight: Sight) -> Finding:
    """Two pods are left, and they are those labelled keep=yes."""
    web = _web(sight.world)
    if web is None:
        return Finding("the ReplicaSets in the API", "there is no ReplicaSet web", "run the cell that applies it")
    pods, wanted = _pods(sight.world, web), int(web["spec"].get("replicas", 1))
    kept = [pod for pod in pods if _keep(pod)]
    states = (
        ", ".join(str(row["state"]) for row in sight.swapped if row["hook"] == "replicaset.decide") or "not swapped in"
    )
    looked = f"ReplicaSet web asks for {wanted}, has {len(pods)} pods, {len(kept)} of them with keep=yes; "
    looked += f"your decide: {states}"
    if MANAGER not in sight.world.running:
        return Finding(looked, f"{MANAGER} does not run", f'lab.start("{MANAGER}")')
    if OWN in sight.own:
        return Finding(looked, f"{OWN} runs as well, and knows nothing of keep", f'lab.stop("{OWN}")')
    if wanted != 2:
        return Finding(looked, f"web asks for {wanted} pods, not for 2", "%kubectl scale replicaset web --replicas=2")
    if len(pods) != 2:
        return Finding(looked, f"{len(pods)} pods are there", "the controller has not finished")
    if len(kept) != 2:
        how = "scale to 5, label two of the pods again, then scale to 2 while your function is in"
        return Finding(looked, "a pod with keep=yes was given up, or none had the label", how)
    return Finding(looked)


def _keep(pod: Obj) -> bool:
    return (pod["metadata"].get("labels") or {}).get("keep") == "yes"


def _runs(sight: Sight) -> str:
    return "runs" if MANAGER in sight.world.running else "is stopped"


def _own(sight: Sight) -> str:
    return ", ".join(sight.own) or "none runs"


# -- cases for `decide` that the learner does not see --


def _pod(number: int, labels: dict[str, str] | None) -> Obj:
    metadata: Obj = {"name": f"web-{number}", "namespace": "default", "uid": f"uid-{number}"}
    if labels is not None:
        metadata["labels"] = labels
    return {"metadata": metadata, "spec": {"nodeName": "node-1"}, "status": {"phase": "Running"}}


def _case(
    story: str,
    replicas: int | None,
    pods: list[dict[str, str] | None],
    create: int = 0,
    delete: int = 0,
    spared: tuple[int, ...] = (),
) -> Scenario:
    def given() -> tuple[Any, ...]:
        spec = {} if replicas is None else {"replicas": replicas}
        owner = {"kind": "ReplicaSet", "metadata": {"name": "web", "namespace": "default", "uid": "u"}, "spec": spec}
        active = [_pod(number, labels) for number, labels in enumerate(pods)]
        return owner, active, list(active), 1_800_000_000.0

    def judge(result: Any, _: tuple[Any, ...]) -> str:
        gone = [pod["metadata"]["uid"] for pod in result.delete]
        if result.create != create:
            return f"it creates {result.create} pods, {create} was right"
        if len(set(gone)) != delete or len(gone) != delete:
            return f"it gives up {len(gone)} pods, {delete} was right"
        wrong = [number for number in spared if f"uid-{number}" in gone]
        return f"it gives up web-{wrong[0]}, which says keep=yes, and others were there" if wrong else ""

    return Scenario(story, given, judge)


YES, NO = {"app": "web", "keep": "yes"}, {"app": "web", "keep": "no"}
PLAIN = {"app": "web"}
DECISIONS = (
    _case("three wanted, three there", 3, [PLAIN, PLAIN, PLAIN]),
    _case("three wanted, none there", 3, [], create=3),
    _case("two wanted, five there, the last two say keep", 2, [PLAIN, PLAIN, PLAIN, YES, YES], delete=3, spared=(3, 4)),
    _case(
        "two wanted, five there, the first two say keep", 2, [YES, YES, PLAIN, PLAIN, PLAIN], delete=3, spared=(0, 1)
    ),
    _case("keep=no is not keep=yes", 1, [NO, YES], delete=1, spared=(1,)),
    _case("a pod without any label", 1, [None, YES], delete=1, spared=(1,)),
    _case("all say keep, but only one is wanted", 1, [YES, YES, YES], delete=2),
    _case("none wanted: keep or not, all go", 0, [YES, PLAIN], delete=2),
    _case("nobody said how many: one is meant", None, [], create=1),
    _case("2,000 wanted: 500 at most in one round", 2000, [], create=500),
    _case("600 too many: 500 at most in one round", 0, [PLAIN] * 600, delete=500),
)


SOLUTION_DECIDE = """def decide(replicaset, pods):
    difference = replicaset.spec.replicas - len(pods)
    return max(0, difference), pods[:max(0, -difference)]"""

SOLUTION_REPORT = """def report(apps, replicaset, pods):
    status = {
        "replicas": len(pods),
        "readyReplicas": sum(is_ready(pod) for pod in pods),
        "observedGeneration": replicaset.metadata.generation,
    }
    apps.patch_namespaced_replica_set_status(replicaset.metadata.name, "default", {"status": status})"""

SOLUTION_SPARE = """def decide(owner, active, neighbours, now):
    difference = len(active) - replicas(owner)
    if difference < 0:
        return Decision(create=min(-difference, BURST))
    order = sorted(active, key=lambda pod: pod["metadata"].get("labels", {}).get("keep") == "yes")
    return Decision(delete=tuple(order[:min(difference, BURST)]))

lab.swap("kube-controller-manager", decide)
pods = lab.pods("app=web")
%kubectl label pod {pods[0]} {pods[1]} keep=yes
%kubectl scale replicaset web --replicas=5
lab.settle()
%kubectl scale replicaset web --replicas=2"""

EXERCISES = (
    Exercise(
        name="converge",
        task=(
            "Write decide(replicaset, pods): how many pods to create, and a list of those to delete, so that web has "
            "what it asks for, whatever was there before. Then run the loop."
        ),
        judge=converges,
        where="replicaset.spec.replicas is what is wanted, len(pods) what is there; one of the two answers is empty",
        half="difference = replicaset.spec.replicas - len(pods); if it is negative, pods[:-difference] are too many",
        solution=SOLUTION_DECIDE,
        explanation=(
            "Your loop never asks what happened. It compares two numbers, so it does not matter how they came to "
            "differ: level-triggered."
        ),
        mistake="def decide(replicaset, pods):\n    return max(0, replicaset.spec.replicas - len(pods)), []",
        builds_on="make it level-triggered",
    ),
    Exercise(
        name="report",
        task=(
            "Write report(apps, replicaset, pods): put replicas, readyReplicas and observedGeneration into the status "
            "of web, through its status door. Then run the loop again."
        ),
        judge=reports,
        where="apps.patch_namespaced_replica_set_status(name, namespace, body) writes .status and nothing else",
        half='body is {"status": {"replicas": len(pods), …}}; sum(is_ready(pod) for pod in pods) counts the ready ones',
        solution=SOLUTION_REPORT,
        explanation=(
            "Status is a report that somebody writes. A second report that says the same changes nothing in the store, "
            "so the loop comes to rest: idempotent."
        ),
        builds_on="report what is",
    ),
    Exercise(
        name="spare what says keep",
        task=(
            "Write decide(owner, active, neighbours, now) for the ReplicaSet controller itself: as the stock one, but "
            "pods labelled keep=yes go last. Put it in, label two pods of web keep=yes, scale web to 5, then to 2."
        ),
        judge=spares,
        where=(
            "the stock one is above: it returns Decision(create=…) or Decision(delete=(…)), BURST at most; owner and "
            'pods are dicts here: pod["metadata"]["labels"]'
        ),
        half="sorted(active, key=f) puts first what f calls False: let f say whether the pod has the label keep=yes",
        solution=SOLUTION_SPARE,
        explanation=(
            "The rest of the controller (watch, cache, queue, retries) did not change: a controller is that, around "
            "one pure decision. lab.unswap() gives the stock one back."
        ),
        builds_on="inside the real one",
        swap=Swap(MANAGER, "replicaset.decide", "workshop.lessons.control_loop:DECISIONS"),
    ),
)

WEB = {
    "apiVersion": "apps/v1",
    "kind": "ReplicaSet",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "nginx"}]},
        },
    },
}

LOOP = f"""from workshop.lessons.control_loop import changes, is_ready, mine, pod_of

{SOLUTION_DECIDE}

{SOLUTION_REPORT}

def control_loop(core, apps):
    for _ in changes(core, apps):
        for replicaset in apps.list_namespaced_replica_set("default").items:
            pods = mine(core, replicaset)
            create, delete = decide(replicaset, pods)
            for _ in range(create):
                core.create_namespaced_pod("default", pod_of(replicaset))
            for pod in delete:
                core.delete_namespaced_pod(pod.metadata.name, "default")
            report(apps, replicaset, mine(core, replicaset))
"""

NOTHING = ("replicaset/web", "pods -l app=web")
SECTIONS = (
    Section("nobody acts", "Who acts on a wish that is stored?", absent=NOTHING),
    Section(
        "a loop that believes events", "Is it enough to do what an event says?", stopped=(MANAGER,), absent=NOTHING
    ),
    Section("make it level-triggered", "What must a loop look at?", stopped=(MANAGER,), objects=(WEB,)),
    Section("report what is", "Who writes the status?", stopped=(MANAGER,), objects=(WEB,)),
    Section("break it", "What does a loop forget when it dies?", stopped=(MANAGER,), objects=(WEB,), own={OWN: LOOP}),
    Section("inside the real one", "What is left of a controller when you take its decision out?", objects=(WEB,)),
)


def open_lab() -> Lab:
    """The lab, with its cluster up."""
    lab = Lab("control-loop", EXERCISES, SECTIONS)
    lab.up()
    return lab
