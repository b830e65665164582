"""A thread with an event loop of its own that follows one cluster, so that a busy notebook cell holds up nothing.

The API is watched, never polled. `/proc` tells of no change by itself, so it is looked at every LOOK_SECONDS, and only
while a feed runs. Changes are coalesced: at most BATCHES_A_SECOND pictures are published.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

from workshop.api.meta import Obj
from workshop.api.resources import resource
from workshop.client.informer import InformerFactory
from workshop.client.rest import Client
from workshop.clock import SYSTEM
from workshop.cluster import observer
from workshop.cluster.board import World
from workshop.cluster.facade import Cluster

from .picture import Picture, delta, picture

KINDS = ("deployments.apps", "replicasets.apps", "statefulsets.apps", "daemonsets.apps")
LOOK_SECONDS = 0.25
BATCHES_A_SECOND = 30
ASSUMED_RUNNING = frozenset(("etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager"))

Listener = Callable[[dict[str, Any]], None]


class Feed:
    """`world` and `picture` are replaced as a whole, never changed: any thread may read them."""

    def __init__(self, kubeconfig: str, cluster: Cluster | None = None) -> None:
        self.kubeconfig = kubeconfig
        self.cluster = cluster
        self.world = World((), (), {}, frozenset())
        self.picture: Picture = {}
        self.sequence = 0
        self.synced = False
        self._listeners: list[Listener] = []
        self._changed = threading.Condition()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)

    def start(self, wait: float = 5.0) -> Feed:
        """Follow it; `wait` seconds for a first whole picture. Without one the board says what it knows."""
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self.synced, wait)
        return self

    def close(self) -> None:
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(5.0)

    def listen(self, listener: Listener) -> None:
        """Called on the feed's thread with each batch."""
        self._listeners.append(listener)

    def whole(self) -> dict[str, Any]:
        return {"full": True, "base": 0, "seq": self.sequence, "put": self.picture, "drop": []}

    def wait_for_change(self, after: int, timeout: float) -> bool:
        """Block until a picture newer than `after` is there; False when `timeout` seconds brought none."""
        with self._changed:
            return self._changed.wait_for(lambda: self.sequence > after, timeout)

    # -- on the thread --

    def _run(self) -> None:
        asyncio.run(self._follow())

    async def _follow(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        client = Client.from_kubeconfig(self.kubeconfig)
        factory = InformerFactory(client)
        dirty = asyncio.Event()
        informers = [factory.informer(resource(kind)) for kind in (*KINDS, "pods")]
        for informer in informers:
            informer.add_handler(lambda _: dirty.set(), lambda _old, _new: dirty.set(), lambda _: dirty.set())
        factory.start()
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            while not stopped.done():
                dirty.clear()
                processes, observed = await asyncio.to_thread(self._observe)
                *workloads, pods = (tuple(informer.store.list()) for informer in informers)
                self._publish(
                    tuple(obj for kind in workloads for obj in kind),
                    pods,
                    processes,
                    observed,
                    all(informer.synced.is_set() for informer in informers),
                )
                await SYSTEM.sleep(1 / BATCHES_A_SECOND)
                woken = asyncio.ensure_future(dirty.wait())
                await asyncio.wait((woken, stopped), timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
        finally:
            stopped.cancel()
            await factory.stop()
            await client.close()

    def _observe(self) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """The cluster's processes, and how many containers of each pod live."""
        plan = self.cluster.plan_or_none() if self.cluster is not None else None
        if self.cluster is None or plan is None:
            return [], {}
        observed: dict[str, int] = {}
        for container in observer.containers(plan, self.cluster.layout):
            if container["pod"]:
                observed[container["pod"]] = observed.get(container["pod"], 0) + 1
        with contextlib.suppress(OSError):  # a supervisor that ends while it is asked
            return observer.processes(plan, self.cluster.layout), observed
        return [], observed

    def _publish(
        self,
        workloads: tuple[Obj, ...],
        pods: tuple[Obj, ...],
        processes: list[dict[str, Any]],
        observed: dict[str, int],
        synced: bool,
    ) -> None:
        mine = self.cluster is not None
        running = frozenset(row["name"] for row in processes if row["state"] == "running")
        self.world = World(workloads, pods, observed, running if mine else ASSUMED_RUNNING)
        new = picture(self.world, processes, can_observe=mine)
        change = delta(self.picture, new)
        if change is None and synced == self.synced:
            return
        with self._changed:
            base, self.picture, self.synced = self.sequence, new, synced
            self.sequence += 1
            self._changed.notify_all()
        batch = {"base": base, "seq": self.sequence, **(change or {"put": {}, "drop": []})}
        for listener in list(self._listeners):
            listener(batch)
