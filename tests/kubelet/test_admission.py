"""Who may run on the node, and what a resize in place does: pure questions, then workers on the simulated runtime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.kubelet.builders import container, pod
from workshop.clock import SYSTEM
from workshop.kubelet import admission
from workshop.kubelet.admission import Held, NoVictims, failures, refusal
from workshop.kubelet.config import KubeletConfig
from workshop.kubelet.image_manager import ImageManager
from workshop.kubelet.pod_parts import Parts
from workshop.kubelet.pod_worker import PodWorkers
from workshop.kubelet.runtimes.simulated import SimulatedRuntime

ALLOCATABLE = {"cpu": "2", "memory": "1Gi", "pods": "3"}
NODE: dict[str, Any] = {"metadata": {"name": "n", "labels": {"disk": "ssd"}}, "status": {"allocatable": ALLOCATABLE}}
TAINTED = {**NODE, "spec": {"taints": [{"key": "gone", "effect": "NoExecute"}]}}


def asking(cpu: str = "", **more: Any) -> dict[str, Any]:
    return pod(container(resources={"requests": {"cpu": cpu}} if cpu else {}, **more))


def on_port(number: int) -> dict[str, Any]:
    return pod(container(ports=[{"containerPort": 80, "hostPort": number}]))


@pytest.mark.parametrize(
    ("asked", "others", "node", "reason", "message"),
    [
        (asking("1500m"), [asking("1")], NODE, "OutOfcpu",
         "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000"),
        (pod(), [pod(), pod(), pod()], NODE, "OutOfpods",
         "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3"),
        (pod(nodeSelector={"disk": "hdd"}), [], NODE, "NodeAffinity",
         "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"),
        (pod(nodeName="other"), [], NODE, "NodeName",
         "Predicate NodeName failed: node(s) didn't match the requested node name"),
        (on_port(8080), [on_port(8080)], NODE, "NodePorts",
         "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"),
        (pod(), [], TAINTED, "TaintToleration",
         "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"),
    ],
)  # fmt: skip
def test_a_refusal_in_upstreams_words(asked, others, node, reason, message):
    found = refusal(failures(asked, [Held(other) for other in others], node))
    assert (found.reason, found.message) == (reason, message)


def test_what_fits():
    assert not failures(asking("1"), [Held(asking("1")), Held(on_port(1))], NODE)
    assert not failures(on_port(8080), [Held(on_port(8081))], NODE)
    assert not failures(pod(tolerations=[{"operator": "Exists"}]), [], TAINTED)
    unknown = pod(container(resources={"requests": {"example.com/gpu": "1"}}))
    assert not failures(unknown, [], NODE)  # not the node's to give: the cluster's


def test_a_critical_pod_takes_the_room_of_the_least_important():
    effort, burst = Held(pod()), Held(asking("1"))
    sure = {"cpu": "1", "memory": "1Mi"}
    guaranteed = Held(pod(container(resources={"requests": sure, "limits": sure})))
    critical = pod(container(resources={"requests": {"cpu": "1"}}), priority=admission.SYSTEM_CRITICAL)
    short = failures(critical, [effort, burst, guaranteed], NODE)
    assert {f.resource for f in short} == {"pods", "cpu"}
    assert admission.victims(critical, [effort, burst, guaranteed], short) == [burst]
    assert admission.victims(critical, [effort, burst, guaranteed], short[:1]) == [effort]
    with pytest.raises(NoVictims, match=r"\[\(res: cpu, q: 1000\), \]"):
        admission.victims(critical, [effort], [f for f in short if f.resource == "cpu"])


# -- workers ---------------------------------------------------------------------------------------------------------


class Statuses:
    """Where the workers' statuses go: kept, and told to whom waits for one."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}
        self.changed = asyncio.Condition()
        self.tasks: set[asyncio.Task[None]] = set()

    def set(self, of: dict[str, Any], new: dict[str, Any]) -> None:
        self.found[of["metadata"]["uid"]] = new
        task = asyncio.get_running_loop().create_task(self._tell())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    def last(self, uid: str) -> dict[str, Any] | None:
        return self.found.get(uid)

    async def finish(self, of: dict[str, Any]) -> None:
        return None

    async def until(self, uid: str, true: Any) -> dict[str, Any]:
        async with asyncio.timeout(60), self.changed:
            await self.changed.wait_for(lambda: uid in self.found and true(self.found[uid]))
        return self.found[uid]


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[SimpleNamespace]:
    runtime = SimulatedRuntime("10.0.0.1")
    await runtime.set_pod_cidr("10.1.0.0/24")
    found = SimpleNamespace(runtime=runtime, statuses=Statuses(), events=[], node=NODE, fresh=NODE)

    def event(of: dict[str, Any], kind: str, reason: str, message: str, name: str) -> None:
        found.events.append((of["metadata"]["name"], reason, message))

    async def fresh() -> dict[str, Any]:
        return found.fresh

    async def nothing(_: dict[str, Any]) -> None:
        return None

    parts: Any = Parts(
        config=KubeletConfig("", "n", "10.0.0.1", str(tmp_path)),
        runtime=runtime, clock=SYSTEM, volumes=None, images=ImageManager(runtime, SYSTEM, event, lambda: None),
        statuses=found.statuses, event=event, lookup=None, fetch=nothing, services=list, allocatable=ALLOCATABLE,
        memory=1 << 30, shift=lambda port: port, simulated=True, runtime_name="simulated",
        annotate=lambda *_: None, node=lambda: found.node, fresh_node=fresh,
    )  # type: ignore[arg-type]  # fmt: skip
    found.workers = PodWorkers(parts)
    yield found
    await found.workers.close()


def named(name: str, cpu: str = "", limit: str = "", **spec: Any) -> dict[str, Any]:
    resources = {"requests": {"cpu": cpu}, **({"limits": {"cpu": limit}} if limit else {})} if cpu else {}
    made = pod(container(resources=resources, **spec.pop("container", {})), **spec)
    return {**made, "metadata": {"name": name, "namespace": "default", "uid": name, "generation": 1}}


def resized(of: dict[str, Any], cpu: str) -> dict[str, Any]:
    generation = of["metadata"]["generation"] + 1
    again = named(of["metadata"]["name"], cpu, container={k: v for k, v in of["spec"]["containers"][0].items()
                                                         if k == "resizePolicy"})  # fmt: skip
    return {**again, "metadata": {**again["metadata"], "generation": generation}}


def running(status: dict[str, Any]) -> bool:
    return bool(status["phase"] == "Running")


def in_force(status: dict[str, Any]) -> str:
    return str(status["containerStatuses"][0]["resources"]["requests"]["cpu"])


async def test_a_pod_that_does_not_fit_fails_and_the_next_one_runs(node: SimpleNamespace) -> None:
    for made in (named("a", "1500m"), named("b", "1"), named("c", "500m")):
        node.workers.update(made)
    await node.statuses.until("c", running)
    await node.statuses.until("a", running)
    status = await node.statuses.until("b", lambda s: s["phase"] == "Failed")
    assert status["reason"] == "OutOfcpu" and status["message"].startswith("Pod was rejected: Node didn't have enough")
    assert "containerStatuses" not in status and not await node.runtime.list_pod_sandbox("b")
    assert ("b", "OutOfcpu", status["message"].removeprefix("Pod was rejected: ")) in node.events


async def test_labels_that_are_newer_than_our_view_of_the_node_are_asked_for(node: SimpleNamespace) -> None:
    node.fresh = {**NODE, "metadata": {"name": "n", "labels": {"disk": "hdd"}}}
    node.workers.update(named("a", nodeSelector={"disk": "hdd"}))
    await node.statuses.until("a", running)


async def test_a_critical_pod_makes_room_for_itself(node: SimpleNamespace) -> None:
    node.workers.update(named("a", "1500m"))
    await node.statuses.until("a", running)
    node.workers.update(named("vip", "1", priority=admission.SYSTEM_CRITICAL))
    await node.statuses.until("vip", running)
    status = node.statuses.found["a"]
    assert (status["phase"], status["reason"]) == ("Failed", "Preempting")
    disrupted = [c for c in status["conditions"] if c["type"] == "DisruptionTarget"]
    assert disrupted[0]["reason"] == "TerminationByKubelet"


async def test_a_resize_waits_for_room_and_is_then_done_in_place(node: SimpleNamespace) -> None:
    small, hog = named("small", "500m"), named("hog", "1")
    node.workers.update(small)
    node.workers.update(hog)
    await node.statuses.until("small", running)
    await node.statuses.until("hog", running)
    node.workers.update(resized(small, "1500m"))
    waiting = await node.statuses.until(
        "small", lambda s: any(c["type"] == "PodResizePending" for c in s["conditions"])
    )
    condition = next(c for c in waiting["conditions"] if c["type"] == "PodResizePending")
    assert condition["reason"] == "Deferred" and "requested: 1500, used: 1000" in condition["message"]
    assert in_force(waiting) == "500m" and waiting["containerStatuses"][0]["allocatedResources"] == {"cpu": "500m"}
    node.workers.removed(hog)
    done = await node.statuses.until("small", lambda s: in_force(s) == "1500m")
    assert not [c for c in done["conditions"] if c["type"].startswith("PodResize")]
    assert done["containerStatuses"][0]["restartCount"] == 0
    reasons = [reason for name, reason, _ in node.events if name == "small" and reason.startswith("Resize")]
    assert reasons == ["ResizeDeferred", "ResizeStarted", "ResizeCompleted"]


async def test_a_container_that_asks_for_it_is_restarted_by_a_resize(node: SimpleNamespace) -> None:
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    app = named("app", "500m", container={"resizePolicy": policy})
    node.workers.update(app)
    await node.statuses.until("app", running)
    node.workers.update(resized(app, "1"))
    done = await node.statuses.until("app", lambda s: in_force(s) == "1" and s["containerStatuses"][0]["restartCount"])
    assert done["containerStatuses"][0]["restartCount"] == 1
    assert ("app", "Killing", "Container app resize requires restart") in node.events


async def test_a_new_kubelet_takes_over_what_is_in_force(node: SimpleNamespace) -> None:
    """The last one died while a resize was waiting: the spec asks for more than the status says is there."""
    entry = {"name": "app", "resources": {"requests": {"cpu": "500m"}}, "allocatedResources": {"cpu": "500m"}}
    before = {"phase": "Running", "startTime": "2026-01-01T00:00:00Z", "containerStatuses": [entry]}
    node.workers.update(named("hog", "1"))
    await node.statuses.until("hog", running)
    node.workers.update({**named("app", "1500m"), "status": before})
    found = await node.statuses.until("app", lambda s: any(c["type"] == "PodResizePending" for c in s["conditions"]))
    assert found["phase"] != "Failed" and node.workers.workers["app"].held.requests == {"cpu": 500}
