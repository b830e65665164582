"""A thread with an event loop of its own that follows one cluster, so that a busy notebook cell holds up nothing.

    watch streams ─┐
    the observer ──┼─▶ Model ─▶ steps ─▶ batches, at most BATCHES_A_SECOND ─▶ whoever listens
    trace lines ───┘     │
                         └─▶ causes, kept for whoever asks how an object came to be

The API is watched, never polled. Two changes of one object never melt into one step, however fast they come: a batch
carries all its steps, and a front end can show them one by one later.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from workshop.api.meta import Obj
from workshop.api.resources import resource
from workshop.client.informer import Informer, InformerFactory
from workshop.client.rest import Client
from workshop.clock import SYSTEM
from workshop.cluster.board import World
from workshop.cluster.facade import Cluster
from workshop.cluster.layout import ClusterError
from workshop.cluster.leaders import members
from workshop.cluster.plan import Plan
from workshop.cluster.tracing import listening
from workshop.cluster.watcher import Watcher

from .causes import Journal
from .graph import key_of
from .kinds import EVENTS, KINDS, LEASES, unreadable
from .model import Model, Step
from .rows import WORKLOADS

log = logging.getLogger(__name__)

BATCHES_A_SECOND = 30
BEAT_SECONDS = 1.0
"""A listener hears at least this often; a front end that hears nothing for longer knows that it is stale."""
MANY = 2000
QUIET_SECONDS = 60.0
"""A listener that has said nothing for so long is taken to be gone. One that lives asks again by itself."""

Message = dict[str, Any]
Send = Callable[[Message], None]


class Listener:
    """One view. `send` is called on the feed's thread. `greet`: it has not been able to ask yet, send it the whole."""

    def __init__(self, send: Send, greet: bool = False) -> None:
        self.send, self.greet = send, greet
        self.heard = SYSTEM.monotonic()


class Feed:
    """Any thread may call these methods. `world` is a picture of one moment, made when it is asked for."""

    def __init__(self, kubeconfig: str, cluster: Cluster | None = None) -> None:
        self.kubeconfig = kubeconfig
        self.cluster = cluster
        self.model = Model(observes=cluster is not None)
        self.journal = Journal()
        self.sequence = 0
        self.synced = False
        self.problem = ""
        """Why there is nothing to show, when the API server cannot be followed."""
        self.blind: dict[str, str] = {}
        """Kinds that cannot be read, with the server's word for it."""
        self.client: Client | None = None
        self.attached_version = 0
        self.watcher: Watcher | None = None
        self._waiting = 0
        self._steps: list[Step] = []
        self._since: float | None = None
        """When the oldest change came that no step shows yet."""
        self._listeners: dict[str, Listener] = {}
        self._changed = threading.Condition()
        self._lock = threading.RLock()
        self._trace_lost = asyncio.Event()
        """Processes have changed: look whether the socket for trace lines is still there."""
        self._informers: list[Informer] = []
        self._stop: asyncio.Event | None = None
        self._dirty: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running = threading.Event()
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)

    def start(self, wait: float = 5.0) -> Feed:
        """Follow it; `wait` seconds for a first whole picture. Without one the board says what it knows."""
        self._thread.start()
        self._running.wait(wait)
        with self._changed:
            self._changed.wait_for(lambda: self.synced or bool(self.problem), wait)
        return self

    def close(self, why: str = "this board is closed; run its cell again") -> None:
        """Follow no more. Whoever looks is told `why`: what he sees is not true any more."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(5.0)
        with self._lock:
            self.synced, self.problem = False, why
            listeners = list(self._listeners.values())
        for listener in listeners:
            listener.send({"seq": self.sequence, "synced": False, "problem": why})

    def take_over(self, old: Feed) -> None:
        """Whoever looked at `old`, which is closed, looks at this one."""
        with old._lock:
            listeners, old._listeners = old._listeners, {}
        for name, listener in listeners.items():
            self.listen(name, listener.send, greet=listener.greet)
            listener.send(self.whole())

    # -- who looks --

    def listen(self, name: str, send: Send, *, greet: bool = False) -> None:
        """Send all batches to the view `name` from now on, until `leave`, or it is silent for QUIET_SECONDS."""
        with self._lock:
            if name in self._listeners:
                self._listeners[name].heard = SYSTEM.monotonic()
            else:
                self._listeners[name] = Listener(send, greet)
                # a view of the same widget has asked: it no longer needs to be greeted
                self._listeners.pop(f"{name.partition('/')[0]}/", None) if not greet else None
        self._looked_at()

    def leave(self, name: str) -> None:
        with self._lock:
            self._listeners.pop(name, None)
        self._looked_at()

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def _looked_at(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):  # it closes at this moment
                self._loop.call_soon_threadsafe(self._set_looking)

    def _set_looking(self) -> None:
        if self.watcher is not None:
            before, self.watcher.looking = self.watcher.looking, bool(self._listeners or self._waiting)
            if self.watcher.looking and not before:
                self.watcher.look_soon()
        if self._dirty is not None:
            self._dirty.set()

    def look(self, wait: float = 1.0) -> None:
        """Look at the processes now, for somebody who reads `world` or the text form once."""
        if self._loop is None or self.watcher is None or not self._thread.is_alive():
            return

        async def once() -> None:
            if self.watcher is not None:
                self.watcher.look()
                self._flush()

        with contextlib.suppress(TimeoutError, RuntimeError):
            asyncio.run_coroutine_threadsafe(once(), self._loop).result(wait)

    def run(self, work: Coroutine[Any, Any, Any], timeout: float = 10.0) -> Any:
        """Run a coroutine on the feed's loop, for another thread. Raises what it raises, TimeoutError."""
        if self._loop is None or not self._thread.is_alive():
            work.close()
            raise RuntimeError("the board is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """The same without waiting."""
        if self._loop is None or not self._thread.is_alive():
            work.close()
            return
        asyncio.run_coroutine_threadsafe(work, self._loop)

    # -- what there is --

    def truth(self) -> Message:
        """Whether what is on show is true now; if not, why not."""
        lost = next((informer.unreachable for informer in self._informers if informer.unreachable), "")
        problem = self.problem
        if lost and self.synced and not problem:
            problem = f"the API server cannot be reached ({lost}): this is its last word"
        return {"synced": self.synced and not problem, "problem": problem}

    def whole(self) -> Message:
        """A whole picture, from which batches lead on."""
        with self._lock:
            self._flush()
            if self._steps:
                self._send()
            return {
                "whole": dict(self.model.rows),
                "seq": self.sequence,
                "at": SYSTEM.now() * 1000,
                "version": self.attached_version,
                **self.truth(),
                "writes": self.journal.newest_writes(),
            }

    @property
    def picture(self) -> dict[str, dict[str, Any]]:
        """The rows on show by key."""
        with self._lock:
            self._flush()
            return dict(self.model.rows)

    @property
    def world(self) -> World:
        """What is known at this moment, whole: for a check that judges it."""
        with self._lock:
            objects = list(self.model.objects.values())
            observed, running = dict(self.model.observed), self.model.running
        workloads = tuple(obj for obj in objects if obj["kind"] in WORKLOADS)
        return World(workloads, tuple(obj for obj in objects if obj["kind"] == "Pod"), observed, running)

    def wait_for_change(self, after: int, timeout: float) -> bool:
        """Block until something newer than `after` is on show; False when `timeout` seconds brought nothing."""
        with self._changed:
            self._waiting += 1
        self._looked_at()
        try:
            with self._changed:
                return self._changed.wait_for(lambda: self.sequence > after, timeout)
        finally:
            with self._changed:
                self._waiting -= 1
            self._looked_at()

    # -- on the thread --

    def _run(self) -> None:
        asyncio.run(self._follow())

    async def _follow(self) -> None:
        self._loop, self._stop, self._dirty = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        stopped = asyncio.ensure_future(self._stop.wait())
        tasks: list[asyncio.Future[Any]] = []
        try:
            if self.cluster is not None:
                self.watcher = Watcher(self.cluster.layout, self._plan, self._observed)
                self._set_looking()
                tasks.append(asyncio.create_task(self.watcher.run()))
                tasks.append(asyncio.create_task(self._listen_to_traces()))
                tasks.append(asyncio.create_task(self._ask_members()))
            tasks.append(asyncio.create_task(self._follow_api()))
            tasks.append(asyncio.create_task(self._publish()))
            self._running.set()
            done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            stopped.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(stopped, *tasks, return_exceptions=True)
            self._running.set()

    def _plan(self) -> Plan | None:
        with contextlib.suppress(ClusterError):  # it is being written or removed at this moment
            return self.cluster.plan_or_none() if self.cluster is not None else None
        return None

    async def _follow_api(self) -> None:
        try:
            self.client = Client.from_kubeconfig(self.kubeconfig, user_agent="workshop-board")
        except (OSError, ValueError) as error:
            self.problem = f"{self.kubeconfig} cannot be used: {error}"
            with self._changed:
                self._changed.notify_all()
            await asyncio.get_running_loop().create_future()
            return
        factory = InformerFactory(self.client)
        self.blind = await unreadable(self.client)
        informers = [factory.informer(resource(kind)) for kind in (*KINDS, EVENTS) if kind not in self.blind]
        if LEASES not in self.blind:
            informers.append(factory.informer(resource(LEASES), namespace="kube-system"))
        self._informers = informers
        for informer in informers:
            informer.add_handler(self._put, lambda old, new: self._put(new), self._remove)
        factory.start()
        try:
            await factory.wait_for_sync()
            self.attached_version = max((int(i.last_resource_version or 0) for i in informers), default=0)
            if len(self.model.objects) > MANY:
                gc.freeze()  # what was there at the start stays; walking it again and again would hold up the batches
            with self._changed:
                self.synced = True
                self.sequence += 1
                self._changed.notify_all()
            assert self._dirty is not None
            self._dirty.set()
            await asyncio.get_running_loop().create_future()
        finally:
            await factory.stop()
            await self.client.close()

    async def _listen_to_traces(self) -> None:
        """Again from the start when the cluster's directory was removed and made anew."""
        assert self.cluster is not None
        root = self.cluster.layout.root
        while True:
            try:
                async with listening(root, self.journal.hear) as address:
                    while address.exists():
                        self._trace_lost.clear()
                        await self._trace_lost.wait()
            except OSError as error:  # the directory is not there yet, or not ours: no causes until it is
                log.debug("no trace lines: %s", error)
                self._trace_lost.clear()
                await self._trace_lost.wait()

    async def _ask_members(self) -> None:
        """Of several etcd members, who leads: nobody tells it, so they are asked, while somebody looks."""
        assert self.cluster is not None and self.watcher is not None
        loop = asyncio.get_running_loop()
        while True:
            plan = self._plan()
            if plan is not None and plan.masters > 1 and self._listeners:
                running = {row["name"] for row in self.watcher.processes if row["state"] == "running"}
                found = await loop.run_in_executor(None, members, plan, self.cluster.layout, running)
                with self._lock:
                    self.model.lead(found)
                if self._dirty is not None:
                    self._dirty.set()
            await SYSTEM.sleep(BEAT_SECONDS)

    def _put(self, obj: Obj) -> None:
        with self._lock:
            if self.synced and self.model.marked(key_of(obj)):
                self._flush()
            self._since = self._since or SYSTEM.now()
            self.model.put(obj)
        if self._dirty is not None:
            self._dirty.set()

    def _remove(self, obj: Obj) -> None:
        with self._lock:
            if self.model.marked(key_of(obj)):
                self._flush()
            self._since = self._since or SYSTEM.now()
            self.model.remove(obj)
        if self._dirty is not None:
            self._dirty.set()

    def _observed(self) -> None:
        """What the operating system shows is a step of its own: it comes before anybody has reacted."""
        assert self.watcher is not None
        self._trace_lost.set()
        with self._lock:
            self._flush()
            self.model.see(self.watcher.processes)
            self.model.observe(self.watcher.observed())
            self.model.hear(self.watcher.traffic)
            self._flush()
        if self._dirty is not None:
            self._dirty.set()

    def _flush(self) -> None:
        with self._lock:
            step = self.model.flush(self._since or SYSTEM.now())
            self._since = None
            if step is not None:
                self._steps.append(step)

    async def _publish(self) -> None:
        """Send what has gathered, then wait a thirtieth of a second at least; a beat when nothing happens."""
        assert self._dirty is not None
        while True:
            self._dirty.clear()
            self._send()
            await SYSTEM.sleep(1 / BATCHES_A_SECOND)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._dirty.wait(), BEAT_SECONDS if self._listeners else None)

    def _send(self) -> None:
        with self._lock:
            self._flush()
            steps, self._steps = self._steps, []
            base = self.sequence
            if steps:
                with self._changed:
                    self.sequence += 1
                    self._changed.notify_all()
            listeners = list(self._listeners.items())
        now = SYSTEM.monotonic()
        message: Message = {"seq": self.sequence, "at": SYSTEM.now() * 1000, **self.truth()}
        if writes := self.journal.take_writes():
            message["writes"] = writes
        if steps:
            message |= {"base": base, "steps": [step.to_json() for step in steps]}
        for name, listener in listeners:
            if now - listener.heard > QUIET_SECONDS:
                self.leave(name)
            else:
                listener.send(self.whole() if listener.greet else message)
