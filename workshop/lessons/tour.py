"""Lab 00: one cluster, each component opened once, then each one stopped in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workshop.api.meta import Obj
from workshop.cluster.board import rows
from workshop.proxy.balance import Balance
from workshop.proxy.rules import Endpoint, Target

from .exercise import Exercise, Finding, Scenario, Section, Sight, Swap
from .lab import Lab

NEWCOMER = "late"
CONTROL = frozenset(("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"))


def three_truths(sight: Sight) -> Finding:
    """A Deployment `web` whose three truths are all 3."""
    row = next((row for row in rows(sight.world) if row.kind == "Deployment" and row.name == "web"), None)
    if row is None:
        names = [found.name for found in rows(sight.world) if found.kind == "Deployment"]
        return Finding(
            f"the Deployments in the API: {', '.join(names) or 'none'}",
            "there is no Deployment web in the namespace default",
            "did kubectl print an error? It names what it did not understand",
        )
    looked = f"Deployment web: desired {row.desired}, reported {row.reported}, observed {row.observed}"
    if row.desired != 3:
        return Finding(looked, f"it asks for {row.desired} replicas, not for 3", "what is asked for is .spec.replicas")
    if (row.reported, row.observed) != (3, 3):
        return Finding(looked, f"the three do not agree yet; next: {row.next}", "a stopped component cannot act")
    return Finding(looked)


def favourite(sight: Sight) -> Finding:
    """kube-proxy runs the learner's `pick`: a connection has come in since."""
    states = {str(row["component"]): str(row["state"]) for row in sight.swapped if row["hook"] == "pick"}
    looked = f"your pick in {', '.join(f'{name}: {state}' for name, state in states.items()) or 'no kube-proxy'}"
    if "in use" not in states.values():
        return Finding(
            looked, "no connection has come in yet, so no kube-proxy has called it", 'lab.ask("hello") sends some'
        )
    return Finding(looked)


def without_scheduler(sight: Sight) -> Finding:
    """A pod that has no node because kube-scheduler, and nothing else, is stopped."""
    world = sight.world
    down = sorted(CONTROL - set(world.running))
    pod = next((pod for pod in world.pods if pod["metadata"]["name"] == NEWCOMER), None)
    looked = f"stopped: {', '.join(down) or 'nothing'}; pod {NEWCOMER}: {_place(pod)}"
    if pod is None:
        return Finding(looked, f"there is no pod {NEWCOMER}", f"%kubectl run {NEWCOMER} --image=nginx makes one")
    if pod["spec"].get("nodeName"):
        how = f"%kubectl delete pod {NEWCOMER}, then stop first and make it after"
        return Finding(
            looked, f"pod {NEWCOMER} has a node already: whoever gives nodes was running when it was made", how
        )
    if down != ["kube-scheduler"]:
        return Finding(looked, "exactly one component has to be stopped: the one that gives pods their nodes")
    return Finding(looked)


def _place(pod: Obj | None) -> str:
    if pod is None:
        return "is not there"
    node = pod["spec"].get("nodeName")
    return f"on {node}" if node else "has no node"


# -- cases for `pick` that the learner does not see --

ADDRESSES = ("10.7.0.9", "10.7.0.5", "10.7.1.2")


def _case(story: str, addresses: Sequence[str], client: str, wanted: str | None, affinity: int = 0) -> Scenario:
    endpoints = tuple(Endpoint(address, 9376) for address in addresses)

    def given() -> tuple[Any, ...]:
        return Balance(), Target("default/hello:", endpoints, affinity), client, 0.0

    def judge(result: Any, _: tuple[Any, ...]) -> str:
        got = result.address if result is not None else None
        return "" if got == wanted else f"it picked {got}, and {wanted} was to be picked"

    return Scenario(story, given, judge)


PICKS = (
    _case("one pod", ADDRESSES[:1], "10.7.0.77", "10.7.0.9"),
    _case("three pods, in no order", ADDRESSES, "10.7.0.77", "10.7.0.5"),
    _case("another client comes", ADDRESSES, "10.7.1.88", "10.7.0.5"),
    _case("the same pods in another order", ADDRESSES[::-1], "10.7.0.77", "10.7.0.5"),
    _case("the favourite pod is gone", (ADDRESSES[0], ADDRESSES[2]), "10.7.0.77", "10.7.0.9"),
    _case("a Service with ClientIP affinity", ADDRESSES, "10.7.0.77", "10.7.0.5", affinity=10800),
    _case("no pod is ready", (), "10.7.0.77", None),
)


EXERCISES = (
    Exercise(
        name="three truths",
        task="Make a Deployment web of the image nginx with 3 replicas, and watch the three columns meet.",
        judge=three_truths,
        where="kubectl create deployment --help shows how many replicas are asked for, and of which image",
        half="%kubectl create deployment web --image=nginx makes one with a single replica; scale changes that",
        solution="%kubectl create deployment web --image=nginx --replicas=3",
        explanation="Desired was right at once; reported and observed followed, each by its own loop.",
        mistake="%kubectl create deployment wbe --image=nginx --replicas=3",
        builds_on="three truths",
    ),
    Exercise(
        name="no node",
        task=f"Stop exactly one component so that a new pod {NEWCOMER} is stored, but never gets a node.",
        judge=without_scheduler,
        where="the board's last column names who acts next for a pod without a node",
        half=f"lab.stop(...) that component first; then %kubectl run {NEWCOMER} --image=nginx",
        solution=f'lab.stop("kube-scheduler")\n%kubectl run {NEWCOMER} --image=nginx',
        explanation="Pods that have a node run on; only new ones wait. Start it, and it picks up where it left.",
        builds_on="stop kube-scheduler",
    ),
    Exercise(
        name="a favourite pod",
        task=(
            "kube-proxy asks `pick` for each connection which pod gets it. Write your own: always the endpoint with "
            "the smallest address (compare .address as text), None when there is no endpoint. Put it in, and send "
            "requests."
        ),
        judge=favourite,
        where="the stock one is above: target.endpoints holds the ready pods, each has .address and .port",
        half="def pick(state, target, client, now): … min(target.endpoints, key=…) …; and what if there are none?",
        solution=(
            "def pick(state, target, client, now):\n"
            "    if not target.endpoints:\n"
            "        return None\n"
            "    return min(target.endpoints, key=lambda endpoint: endpoint.address)\n"
            "\n"
            'lab.swap("kube-proxy", pick)\n'
            'print(lab.ask("hello"))'
        ),
        explanation="The process is the same one as before; only its decision is yours. lab.unswap() gives it back.",
        builds_on="who answers?",
        swap=Swap("kube-proxy", "pick", "workshop.lessons.tour:PICKS"),
    ),
)


def deployment(name: str, replicas: int, **container: Any) -> Obj:
    """A Deployment of one container a pod."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": name, **container}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


HELLO = deployment(
    "hello",
    3,
    image="agnhost",
    command=["/agnhost", "serve-hostname"],
    ports=[{"containerPort": 9376}],
)
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "hello", "namespace": "default"},
    "spec": {"selector": {"app": "hello"}, "ports": [{"port": 80, "targetPort": 9376}]},
}
WEB = deployment("web", 3, image="nginx")
TWO = (WEB, HELLO, SERVICE)

SECTIONS = (
    Section("open each one", "Which of them talk to etcd?"),
    Section("three truths", "How does what you ask for become what is?", absent=("deployment/web",)),
    Section("who answers?", "Who takes a request to a Service to a pod?", objects=(WEB,)),
    Section(
        "stop kube-controller-manager", "Who turns a Deployment into pods?", objects=TWO, absent=("deployment/orphan",)
    ),
    Section("stop kube-scheduler", "Who gives a pod its node?", objects=TWO, absent=(f"pod/{NEWCOMER}",)),
    Section("stop a kubelet", "Who knows whether a container runs?", objects=TWO),
    Section("stop kube-proxy", "What is left of a Service without it?", objects=TWO),
    Section("stop etcd", "What can you still do without the memory of it all?", objects=TWO),
    Section("stop kube-apiserver", "Who notices when the front door is shut?", objects=TWO),
)


def open_lab() -> Lab:
    """The tour, with its cluster up."""
    lab = Lab("tour", EXERCISES, SECTIONS)
    lab.up()
    return lab
