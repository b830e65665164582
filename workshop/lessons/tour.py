"""Lab 00: one cluster, each component opened once, then each one stopped in turn."""

from __future__ import annotations

from workshop.cluster.board import World, rows

from .exercise import Exercise, Finding
from .lab import Lab

NEWCOMER = "late"


def three_truths(world: World) -> Finding:
    """A Deployment `web` whose three truths are all 3."""
    row = next((row for row in rows(world) if row.kind == "Deployment" and row.name == "web"), None)
    if row is None:
        return Finding("the Deployments in the API", "there is no Deployment web")
    looked = f"Deployment web: desired {row.desired}, reported {row.reported}, observed {row.observed}"
    if row.desired != 3:
        return Finding(looked, f"it asks for {row.desired} replicas, not for 3")
    if (row.reported, row.observed) != (3, 3):
        return Finding(looked, f"the three do not agree yet; next: {row.next}")
    return Finding(looked)


def without_scheduler(world: World) -> Finding:
    """A pod that has no node because kube-scheduler, and nothing else, is stopped."""
    down = sorted({"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"} - set(world.running))
    pod = next((pod for pod in world.pods if pod["metadata"]["name"] == NEWCOMER), None)
    looked = f"stopped: {', '.join(down) or 'nothing'}; pod {NEWCOMER}: {_place(pod)}"
    if pod is None:
        return Finding(looked, f"there is no pod {NEWCOMER}")
    if pod["spec"].get("nodeName"):
        return Finding(looked, f"pod {NEWCOMER} has a node already: whoever gives nodes was running when it was made")
    if down != ["kube-scheduler"]:
        return Finding(looked, "exactly one component has to be stopped: the one that gives pods their nodes")
    return Finding(looked)


def _place(pod: dict[str, object] | None) -> str:
    if pod is None:
        return "is not there"
    spec = pod["spec"]
    assert isinstance(spec, dict)
    return f"on {spec['nodeName']}" if spec.get("nodeName") else "has no node"


EXERCISES = (
    Exercise(
        name="three truths",
        task="Make a Deployment web of the image nginx with 3 replicas, and watch the three columns meet.",
        judge=three_truths,
        where="kubectl create deployment --help shows how many replicas are asked for, and of which image",
        half="%kubectl create deployment web --image=nginx makes one with a single replica; scale changes that",
        solution="%kubectl create deployment web --image=nginx --replicas=3",
        explanation="Desired was right at once; reported and observed followed, each by its own loop.",
    ),
    Exercise(
        name="no node",
        task=f"Stop exactly one component so that a new pod {NEWCOMER} is stored, but never gets a node.",
        judge=without_scheduler,
        where="the board's last column names who acts next for a pod without a node",
        half=f"lab.stop(...) that component first; then %kubectl run {NEWCOMER} --image=nginx",
        solution=f'lab.stop("kube-scheduler")\n%kubectl run {NEWCOMER} --image=nginx',
        explanation="Pods that have a node run on; only new ones wait. Start it, and it picks up where it left.",
    ),
)


def open_lab() -> Lab:
    """The tour, with its cluster up."""
    lab = Lab("tour", EXERCISES)
    lab.up()
    return lab
