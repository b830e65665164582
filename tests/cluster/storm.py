"""`python -m tests.cluster.storm`: many writers of one object, while API servers and etcd's leader are killed.

Each writer counts in a field of its own of the one ConfigMap: half of them read, add one and write back under the
condition that nobody was faster, the others patch. So each version of the object differs from the one before in one
field, by one; whoever follows it can see a lost update, a lost event, and one that came twice. Every API server has a
follower, and so has the load balancer; they go on after a break from nothing but the last version that they saw.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from typing import Any

from workshop.api import errors
from workshop.api.resources import resource
from workshop.client import kubeconfig
from workshop.client.rest import Client
from workshop.clock import SYSTEM
from workshop.cluster.facade import Cluster
from workshop.cluster.leaders import leaders

MAPS = resource("configmaps")
NAME = "storm"
RETRY = 0.02
MERGE = "application/merge-patch+json"


class Writer:
    """Counts in its field until `goal`. What got no answer is found out by reading."""

    def __init__(self, client: Client, number: int) -> None:
        self.client, self.field, self.patches = client, f"w{number}", bool(number % 2)
        self.count = self.conflicts = self.unanswered = 0

    async def run(self, goal: int) -> None:
        while self.count < goal:
            await self._write(str(self.count + 1))
            self.count += 1

    async def _write(self, wanted: str) -> None:
        """Returns once the field has the value `wanted` for sure."""
        while True:
            try:
                if self.patches:
                    await self.client.patch(MAPS, NAME, {"data": {self.field: wanted}}, "default", type=MERGE)
                    return
                found = await self.client.get(MAPS, NAME, "default")
                have = (found.get("data") or {}).get(self.field, "0")
                assert int(have) in (self.count, self.count + 1), (
                    f"{self.field} is {have}, not {self.count}: a lost update"
                )
                if have == wanted:
                    return
                found["data"] = {**(found.get("data") or {}), self.field: wanted}
                await self.client.update(MAPS, found)
                return
            except errors.ApiError as error:
                if errors.is_conflict(error):
                    self.conflicts += 1
                    continue
                if error.code < 500 and error.code != 429:
                    raise
            except OSError:
                pass
            self.unanswered += 1
            await SYSTEM.sleep(RETRY)


class Follower:
    """A watch that is taken up again where it broke off; `counts` is what the last version said."""

    def __init__(self, client: Client, version: str) -> None:
        self.client, self.version = client, int(version)
        self.counts: Counter[str] = Counter()
        self.breaks = self.events = 0
        self._moved = asyncio.Condition()

    async def follow(self) -> None:
        while True:
            watch = self.client.watch(
                MAPS, "default", resource_version=str(self.version), field_selector=f"metadata.name={NAME}",
                bookmarks=False,
            )  # fmt: skip
            try:
                async with contextlib.aclosing(watch):
                    async for kind, obj in watch:
                        await self._see(kind, obj)
            except errors.ApiError as error:
                assert error.code >= 500 or error.code == 429, error
            except OSError:
                pass
            self.breaks += 1
            await SYSTEM.sleep(RETRY)

    async def _see(self, kind: str, obj: dict[str, Any]) -> None:
        version = int(obj["metadata"]["resourceVersion"])
        assert kind == "MODIFIED" and version > self.version, f"{kind} of {version} after {self.version}"
        counts = Counter({field: int(value) for field, value in (obj.get("data") or {}).items()})
        step = counts - self.counts
        assert step.total() == 1 and not self.counts - counts, f"from {self.version} to {version}: {step}"
        self.version, self.counts = version, counts
        self.events += 1
        async with self._moved:
            self._moved.notify_all()

    async def until(self, version: int) -> None:
        async with self._moved:
            await self._moved.wait_for(lambda: self.version >= version)


def access(cluster: Cluster, master: int | None) -> kubeconfig.Access:
    """How to reach the API server of one master, or the load balancer."""
    found = kubeconfig.load(str(cluster.kubeconfig()))
    return found if master is None else replace(found, server=f"https://{cluster.plan().addresses.master(master)}:6443")


def leading(cluster: Cluster) -> str | None:
    """The member of etcd that leads, if one does."""
    running = [row["name"] for row in cluster.ps() if row["state"] == "running"]
    found = leaders(cluster.plan(), cluster.layout, running)
    return next((name for name, leads in found.items() if leads and name.startswith("etcd")), None)


async def victim(cluster: Cluster, turn: int) -> str:
    """API servers in turn, and the leader of etcd in between."""
    if turn % 2 == 0:
        return f"kube-apiserver-master-{turn // 2 % 3 + 1}"
    async with asyncio.timeout(60):
        while (found := await asyncio.to_thread(leading, cluster)) is None:
            await SYSTEM.sleep(RETRY)
    return found


async def storm(cluster: Cluster, writers: int, goal: int, kills: int) -> dict[str, Any]:
    """On a cluster of three masters. Raises AssertionError for a lost update or event, TimeoutError if it stands still."""
    begun = time.monotonic()
    async with contextlib.AsyncExitStack() as stack:

        async def client(master: int | None) -> Client:
            return await stack.enter_async_context(Client.from_access(access(cluster, master)))

        front = await client(None)
        made = await front.create(MAPS, {"metadata": {"name": NAME}}, "default")
        version = made["metadata"]["resourceVersion"]
        followers = [Follower(await client(master), version) for master in (None, 1, 2, 3)]
        doors = itertools.cycle([front, *[each.client for each in followers[1:]]])
        hands = [Writer(next(doors), number) for number in range(writers)]
        async with asyncio.TaskGroup() as group:
            following = [group.create_task(each.follow()) for each in followers]
            working = [group.create_task(each.run(goal)) for each in hands]
            killed = []
            for turn in range(kills):
                target = (turn + 1) * writers * goal // (kills + 1)
                async with asyncio.timeout(120):  # the storm has gone on by so much
                    while sum(each.count for each in hands) < target:
                        await SYSTEM.sleep(RETRY)
                name = await victim(cluster, turn)
                await asyncio.to_thread(cluster.kill, name)
                killed.append(name)
            async with asyncio.timeout(120):
                await asyncio.gather(*working)
                last = await front.get(MAPS, NAME, "default")
                await asyncio.gather(*(each.until(int(last["metadata"]["resourceVersion"])) for each in followers))
            for task in following:
                task.cancel()
        await front.delete(MAPS, NAME, "default")
    assert last["data"] == {each.field: str(goal) for each in hands}, "an update was lost"
    assert all(each.events == writers * goal and each.counts.total() == writers * goal for each in followers)
    return {
        "updates": writers * goal, "seconds": round(time.monotonic() - begun, 1), "killed": killed,
        "conflicts": sum(each.conflicts for each in hands), "unanswered": sum(each.unanswered for each in hands),
        "breaks": [each.breaks for each in followers],
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.cluster.storm", description=__doc__.partition("\n")[0])
    parser.add_argument("--writers", type=int, default=50)
    parser.add_argument("--goal", type=int, default=60, help="updates of each writer")
    parser.add_argument("--kills", type=int, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ws-") as home:
        os.environ["WORKSHOP_HOME"] = home
        cluster = Cluster(f"storm-{os.getpid()}")
        try:
            cluster.up(masters=3, nodes=0, mode="plain")
            told = asyncio.run(storm(cluster, options.writers, options.goal, options.kills))
        finally:
            cluster.down(purge=True)
    for name, value in told.items():
        print(f"{name:12} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
