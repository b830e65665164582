"""The loop around the cycle, on an API server made of two lists, with a clock that the test turns."""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from workshop.api import errors, meta
from workshop.api.meta import Key, Obj
from workshop.scheduler.plugins import default_framework
from workshop.scheduler.scheduler import Scheduler, refusal


class TurnedClock:
    def __init__(self) -> None:
        self.time = 0.0
        self.asleep = asyncio.Event()
        self.sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self.time

    monotonic = now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self.sleepers, (self.time + seconds, id(future), future))
        self.asleep.set()
        await future

    def turn(self, to: float) -> None:
        self.time = to
        while self.sleepers and self.sleepers[0][0] <= to:
            _, _, future = heapq.heappop(self.sleepers)
            if not future.done():
                future.set_result(None)


class Server:
    """Notes what is written; a binding comes back through the scheduler's own informer handler."""

    def __init__(self) -> None:
        self.written: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self.refuse: Exception | None = None
        self.scheduler: Scheduler | None = None
        self.pods: dict[str, Obj] = {}

    async def create(self, res: Any, obj: Obj, namespace: str, *, name: str, subresource: str) -> Obj:
        if self.refuse is not None:
            refusal, self.refuse = self.refuse, None
            self.written.put_nowait(("refused", name))
            raise refusal
        node = obj["target"]["name"]
        old = self.pods[name]
        self.pods[name] = {**old, "spec": {**old["spec"], "nodeName": node}}
        assert self.scheduler is not None
        self.scheduler.pod_changed(old, self.pods[name])
        self.written.put_nowait(("bind", name, node))
        return obj

    async def patch(self, res: Any, name: str, body: Obj, namespace: str, *, subresource: str) -> Obj:
        self.written.put_nowait(("status", name, body["status"]))
        return body

    async def delete(self, res: Any, name: str, namespace: str, *, uid: str) -> Obj:
        self.written.put_nowait(("delete", name))
        return {}


class Events:
    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    def event(
        self, obj: Obj, type: str, reason: str, message: str, *, action: str = "", related: Obj | None = None
    ) -> None:
        self.told.append((meta.name(obj), reason, message))


class House:
    def __init__(self) -> None:
        self.clock, self.server, self.events = TurnedClock(), Server(), Events()
        self.scheduler = Scheduler(
            self.server,  # type: ignore[arg-type]
            {"default-scheduler": default_framework()},
            {"default-scheduler": self.events},
            self.clock,
            Random(0),
        )
        self.server.scheduler = self.scheduler

    def pod(self, name: str, cpu: str = "1", **spec: Any) -> Obj:
        container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
        obj = {
            "metadata": {"name": name, "namespace": "default", "uid": name},
            "spec": {"containers": [container], **spec},
        }
        self.server.pods[name] = obj
        self.scheduler.pod_added(obj)
        return obj

    def node(self, name: str, cpu: str = "4") -> Obj:
        obj = {"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "pods": "110"}}}
        self.scheduler.node_added(obj)
        return obj

    async def next(self) -> tuple[Any, ...]:
        return await asyncio.wait_for(self.server.written.get(), 60)


@asynccontextmanager
async def running() -> AsyncIterator[House]:
    house = House()
    task = asyncio.ensure_future(house.scheduler.run())
    try:
        yield house
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_pod_is_bound_and_told_of() -> None:
    async with running() as house:
        house.node("n")
        house.pod("a")
        assert await house.next() == ("bind", "a", "n")
        assert house.events.told == [("a", "Scheduled", "Successfully assigned default/a to n")]
        assert house.scheduler.results == {"scheduled": 1}


async def test_a_refused_pod_gets_its_condition_and_then_the_room_that_comes() -> None:
    async with running() as house:
        house.node("small", cpu="1")
        house.pod("a", cpu="2")
        kind, name, status = await house.next()
        assert (kind, name) == ("status", "a")
        message = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        assert status["conditions"] == [
            {
                "lastTransitionTime": "1970-01-01T00:00:00Z",
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": message,
            }
        ]
        assert house.events.told == [("a", "FailedScheduling", message)]
        house.clock.time = 5.0
        house.node("large")
        assert await house.next() == ("bind", "a", "large")


async def test_the_first_node_ends_the_wait_at_once() -> None:
    async with running() as house:
        house.pod("a")
        _, _, status = await house.next()
        assert status["conditions"][0]["message"] == "no nodes available to schedule pods"
        house.node("n")
        assert await house.next() == ("bind", "a", "n")


async def test_a_pod_that_ends_makes_room() -> None:
    async with running() as house:
        house.node("n", cpu="1")
        house.pod("a")
        await house.next()
        house.pod("b")
        assert (await house.next())[:2] == ("status", "b")
        house.clock.time = 5.0
        house.scheduler.pod_removed(house.server.pods["a"])
        assert await house.next() == ("bind", "b", "n")


async def test_a_failed_binding_is_tried_again_after_a_pause() -> None:
    async with running() as house:
        house.server.refuse = errors.internal("no")
        house.node("n")
        house.pod("a")
        assert await house.next() == ("refused", "a")
        await asyncio.wait_for(house.clock.asleep.wait(), 60)
        assert house.events.told[0][1:] == ("FailedScheduling", "binding rejected: Internal error occurred: no")
        assert house.scheduler.cache.sizes()["assumed_pods"] == 0
        house.clock.turn(1.0)
        assert await house.next() == ("bind", "a", "n")


async def test_a_pod_deleted_while_it_is_bound_is_let_go() -> None:
    async with running() as house:
        house.server.refuse = errors.not_found("pods", "a")
        house.node("n")
        house.pod("a")
        assert await house.next() == ("refused", "a")
        await asyncio.sleep(0)
        assert Key("default", "a") not in house.scheduler.queue and house.scheduler.cache.sizes()["pods"] == 0


async def test_preemption_evicts_nominates_and_binds() -> None:
    async with running() as house:
        house.node("n", cpu="2")
        house.pod("low", cpu="2", priority=1)
        assert await house.next() == ("bind", "low", "n")
        house.pod("high", cpu="2", priority=10)
        first = await house.next()
        assert first[:2] == ("status", "high") and first[2]["nominatedNodeName"] == "n"
        marked = await house.next()
        assert marked[:2] == ("status", "low") and marked[2]["conditions"][0]["reason"] == "PreemptionByScheduler"
        assert await house.next() == ("delete", "low")
        house.pod("late", cpu="1", priority=1)
        assert (await house.next())[:2] == ("status", "late"), "the room was promised"
        house.clock.time = 5.0
        house.scheduler.pod_removed(house.server.pods["low"])
        assert await house.next() == ("bind", "high", "n")
        assert ("low", "Preempted", "Preempted by pod high on node n") in house.events.told


async def test_other_schedulers_pods_and_gated_pods_are_left_alone() -> None:
    async with running() as house:
        house.node("n")
        house.pod("theirs", schedulerName="other")
        gated = house.pod("gated", schedulingGates=[{"name": "g"}])
        house.pod("ours")
        assert await house.next() == ("bind", "ours", "n")
        assert house.scheduler.queue.counts()["gated"] == 1
        open_ = {**gated, "spec": {**gated["spec"], "schedulingGates": []}}
        house.server.pods["gated"] = open_
        house.scheduler.pod_changed(gated, open_)
        assert await house.next() == ("bind", "gated", "n")
        assert house.server.written.empty()


async def test_five_hundred_pods_are_spread_evenly() -> None:
    async with running() as house:
        for i in range(4):
            house.node(f"n{i}", cpu="64")
        for i in range(300):
            house.pod(f"p{i}", cpu="10m")
        bound = [await house.next() for _ in range(300)]
        per_node = [sum(node == f"n{i}" for _, _, node in bound) for i in range(4)]
        assert sum(per_node) == 300 and max(per_node) - min(per_node) <= 40


def test_the_condition_is_not_written_twice() -> None:
    pod: Obj = {"metadata": {"uid": "u"}, "status": {}}
    patch = refusal(pod, "m", "", 0)
    assert patch is not None and patch["metadata"] == {"uid": "u"}
    pod["status"]["conditions"] = patch["status"]["conditions"]
    assert refusal(pod, "m", "", 99) is None
    again = refusal(pod, "other", "", 99)
    assert again is not None and again["status"]["conditions"][0]["lastTransitionTime"] == "1970-01-01T00:00:00Z"
