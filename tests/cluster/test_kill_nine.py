"""kill -9 of each process under load: no acknowledged write is lost, no watch has a gap, no container is touched.

One cluster for the module. Writers create ConfigMaps and count in others, a watch follows them all; meanwhile one
process after the other is killed. Every process is killed while the writers are at work.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.test_supervisor import end, rows, started_again
from workshop.api import errors
from workshop.api.resources import resource
from workshop.client.rest import Client, Unreachable
from workshop.clock import SYSTEM
from workshop.cluster import blocks, observer, procfs, sweep
from workshop.cluster.facade import Cluster
from workshop.cluster.network import choose

pytestmark = pytest.mark.cluster

MAPS, PODS, DEPLOYMENTS = resource("configmaps"), resource("pods"), resource("deployments.apps")
LOAD = {"load": "kill-nine"}
SELECTOR = "load=kill-nine"
WRITERS = 3
RETRY = 0.02
PROGRESS = 4
"""Writes that each writer must get acknowledged after each kill."""
VICTIMS = [
    "kube-scheduler",
    "kube-proxy-node-1",
    "kube-controller-manager",
    "kubelet-node-1",
    "kube-apiserver",
    "etcd",
    "zygote",
    "supervisor",
]


class Load:
    """Writers at work; `acknowledged` maps each created name to its revision, `counted` each counter to its values."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.acknowledged: dict[str, int] = {}
        self.counted: dict[str, int] = {}
        self.refused = 0
        self.stopping = False
        self._moved = asyncio.Condition()

    async def write(self, number: int) -> None:
        """Create a ConfigMap, add one to the counter, again. What got no answer is asked for until there is one."""
        counter = f"counter-{number}"
        await self._create(counter, {"n": "0"})
        self.counted[counter] = 0
        turn = 0
        while not self.stopping:
            turn += 1
            await self._create(f"made-{number}-{turn}", {"turn": str(turn)})
            await self._count(counter)
            async with self._moved:
                self._moved.notify_all()

    async def _create(self, name: str, data: dict[str, str]) -> None:
        obj = {"metadata": {"name": name, "labels": LOAD}, "data": data}
        while True:
            try:
                made = await self.client.create(MAPS, obj, "default")
            except errors.ApiError as error:
                if errors.is_already_exists(error):  # the answer was lost, the write was not
                    made = await self._get(name)
                elif error.code < 500:
                    raise
                else:
                    await self._again()
                    continue
            except OSError:
                await self._again()
                continue
            self.acknowledged[name] = int(made["metadata"]["resourceVersion"])
            return

    async def _count(self, name: str) -> None:
        """From n to n + 1, under the condition that it is n: a lost answer is found out by reading."""
        wanted = self.counted[name] + 1
        while True:
            current = await self._get(name)
            found = int(current["data"]["n"])
            assert found in (wanted - 1, wanted), f"{name} is {found}: an acknowledged {wanted - 1} was lost"
            if found == wanted:
                break
            try:
                await self.client.update(MAPS, {**current, "data": {"n": str(wanted)}})
                break
            except errors.ApiError as error:
                if error.code < 500 and not errors.is_conflict(error):
                    raise
                await self._again()
            except OSError:
                await self._again()
        self.counted[name] = wanted

    async def _get(self, name: str) -> dict[str, Any]:
        while True:
            try:
                return await self.client.get(MAPS, name, "default")
            except errors.ApiError as error:
                if error.code < 500:
                    raise
            except OSError:
                pass
            await self._again()

    async def _again(self) -> None:
        self.refused += 1
        await SYSTEM.sleep(RETRY)

    async def progress(self) -> None:
        """Return when every writer has got on by PROGRESS turns."""
        goal = {f"counter-{number}": self.counted.get(f"counter-{number}", 0) + PROGRESS for number in range(WRITERS)}
        async with self._moved:
            await self._moved.wait_for(lambda: all(self.counted.get(name, 0) >= n for name, n in goal.items()))


class Follower:
    """A watch that is taken up again where it broke off, by nothing but the last resourceVersion."""

    def __init__(self, client: Client, version: str) -> None:
        self.client = client
        self.version = int(version)
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.broken = 0
        self._moved = asyncio.Condition()

    async def follow(self) -> None:
        while True:
            watch = self.client.watch(
                MAPS, "default", resource_version=str(self.version), label_selector=SELECTOR, bookmarks=False
            )
            try:
                async with contextlib.aclosing(watch):
                    async for kind, obj in watch:
                        revision = int(obj["metadata"]["resourceVersion"])
                        assert revision > self.version, f"{kind} of {revision} after {self.version}"
                        self.version = revision
                        self.seen.append((kind, obj["metadata"]["name"], obj["data"]))
                        async with self._moved:
                            self._moved.notify_all()
            except errors.ApiError as error:
                assert error.code >= 500 or error.code == 429, error
            except OSError:
                pass
            self.broken += 1
            await SYSTEM.sleep(RETRY)

    async def until(self, revision: int) -> None:
        async with self._moved:
            await self._moved.wait_for(lambda: self.version >= revision)


def deployment(name: str, replicas: int) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}}
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


async def roll_out(client: Client, name: str, replicas: int) -> list[dict[str, Any]]:
    """A new Deployment; its pods, when all are ready."""
    made = await client.create(DEPLOYMENTS, deployment(name, replicas), "default")
    watch = client.watch(
        DEPLOYMENTS, "default", resource_version=made["metadata"]["resourceVersion"],
        field_selector=f"metadata.name={name}",
    )  # fmt: skip
    async with asyncio.timeout(60), contextlib.aclosing(watch):
        async for _, obj in watch:
            if obj.get("status", {}).get("readyReplicas") == replicas:
                break
        else:
            raise AssertionError("the watch ended first")
    return (await client.list(PODS, "default", label_selector=f"app={name}"))["items"]


def containers(cluster: Cluster) -> set[tuple[int, int]]:
    """(pid, start time) of each container's process: a process that was started again is another."""
    pids = [row["pid"] for row in observer.containers(cluster.plan(), cluster.layout)]
    return {(pid, found.start) for pid in pids if (found := procfs.stat(pid)) is not None}


async def kill(cluster: Cluster, victim: str) -> None:
    """kill -9, and wait until it is there again."""
    before = await asyncio.to_thread(rows, cluster)
    old = before[victim]["pid"]
    await asyncio.to_thread(end, old)
    if victim == "supervisor":
        await asyncio.to_thread(lambda: cluster.up(wait=60))
        after = await asyncio.to_thread(rows, cluster)
        components = [c.name for c in cluster.plan().components]
        assert {n: after[n]["pid"] for n in components} == {n: before[n]["pid"] for n in components}, "adopted"
        assert after["supervisor"]["pid"] not in (None, old)
        return
    if victim == "zygote":  # its heir is known by its children
        victim = "kube-scheduler"
        old = before[victim]["pid"]
        await asyncio.to_thread(end, old)
    await asyncio.to_thread(started_again, cluster, victim, old)


@pytest.fixture(scope="module")
def mode() -> str:
    """What `up` would choose for whoever runs this."""
    return choose.choose(None).mode


@pytest.fixture(scope="module")
def cluster(mode: str) -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="ws-kill-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKSHOP_HOME", folder)
        cluster = Cluster(f"kill-{os.getpid()}")
        try:
            yield cluster.up(mode=mode, nodes=2)
        finally:
            cluster.down(purge=True)


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    async with Client.from_kubeconfig(cluster.kubeconfig()) as client:
        yield client


async def test_nothing_acknowledged_is_lost(cluster: Cluster, client: Client) -> None:
    pods = await roll_out(client, "before", 2)
    touched = {pod["metadata"]["uid"]: pod["status"]["containerStatuses"][0]["containerID"] for pod in pods}
    living = containers(cluster)
    assert len(living) >= 2
    load = Load(client)
    follower = Follower(client, (await client.list(MAPS, "default"))["metadata"]["resourceVersion"])
    async with asyncio.TaskGroup() as group:
        following = group.create_task(follower.follow())
        writers = [group.create_task(load.write(number)) for number in range(WRITERS)]
        for victim in VICTIMS:
            async with asyncio.timeout(150):
                await load.progress()
                await kill(cluster, victim)
        async with asyncio.timeout(120):
            await load.progress()
            load.stopping = True
            await asyncio.gather(*writers)
            listed = await client.list(MAPS, "default", label_selector=SELECTOR)
            await follower.until(max(int(item["metadata"]["resourceVersion"]) for item in listed["items"]))
        following.cancel()

    assert load.refused and follower.broken, "somebody noticed"
    stored = {item["metadata"]["name"]: item for item in listed["items"]}
    assert stored.keys() == load.acknowledged.keys()
    assert {name: int(stored[name]["data"]["n"]) for name in load.counted} == load.counted
    created = [name for kind, name, _ in follower.seen if kind == "ADDED"]
    assert sorted(created) == sorted(stored), "each creation came once"
    for counter, last in load.counted.items():
        steps = [int(data["n"]) for _, name, data in follower.seen if name == counter]
        assert steps == list(range(last + 1)), "each step came once, in order"

    assert containers(cluster) >= living, "no container was touched"
    now = (await client.list(PODS, "default", label_selector="app=before"))["items"]
    statuses = {pod["metadata"]["uid"]: pod["status"]["containerStatuses"][0] for pod in now}
    assert {uid: status["containerID"] for uid, status in statuses.items()} == touched
    assert [status["restartCount"] for status in statuses.values()] == [0, 0]


async def test_what_comes_afterwards_works(cluster: Cluster, client: Client) -> None:
    pods = await roll_out(client, "after", 2)
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}


def test_down_leaves_nothing(cluster: Cluster) -> None:
    plan, layout = cluster.plan(), cluster.layout
    pids = {row["pid"] for row in cluster.ps() if row["pid"]} | {pid for pid, _ in containers(cluster)}
    pids |= set(sweep.survivors(layout, plan))
    assert len(pids) > 12, "components, helpers, shims and containers"
    cluster.down()
    assert [pid for pid in pids if (found := procfs.stat(pid)) is not None and found.state not in "ZX"] == []
    assert sweep.survivors(layout, plan) == []
    assert str(layout.root) not in Path("/proc/self/mountinfo").read_text()
    assert sorted(entry.name for entry in (layout.root / "run").iterdir()) == ["up.lock"]
    assert [name for name in os.listdir("/sys/class/net") if name.split("-")[0] == plan.bridge] == []
    spaces = os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
    assert [name for name in spaces if name.startswith(f"{plan.bridge}-")] == []
    with contextlib.closing(blocks.lock(plan.block)) as guard:
        assert guard is not None, "the lock on its addresses is free"
        assert blocks.free(plan.block), "its ports are free"
    with pytest.raises(Unreachable):
        asyncio.run(_ask(cluster))


async def _ask(cluster: Cluster) -> None:
    async with Client.from_kubeconfig(cluster.kubeconfig()) as client:
        await client.request("GET", "/version")
