"""kubelet's wiring: the parts, the loops, and their end."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from workshop.api.errors import ApiError
from workshop.api.meta import Key
from workshop.api.resources import resource
from workshop.client.events import Recorder
from workshop.client.informer import Informer
from workshop.client.rest import Client
from workshop.client.transport import Unreachable
from workshop.clock import SYSTEM, Clock
from workshop.kubelet import node_status, pods, volumes
from workshop.kubelet.config import KubeletConfig
from workshop.kubelet.image_manager import ImageManager
from workshop.kubelet.local_storage import LocalStorage
from workshop.kubelet.node import NodeAgent, machine
from workshop.kubelet.objects import Objects
from workshop.kubelet.pod_parts import Parts
from workshop.kubelet.pod_worker import PodWorkers
from workshop.kubelet.pods import Obj
from workshop.kubelet.runtimes.process import ProcessRuntime
from workshop.kubelet.runtimes.simulated import SimulatedRuntime
from workshop.kubelet.static_pods import StaticPods, is_mirror, static_uid
from workshop.kubelet.status_manager import StatusManager
from workshop.kubelet.tokens import Tokens
from workshop.kubelet.unheeded import Abilities
from workshop.kubelet.volumes import Volumes

if TYPE_CHECKING:
    from workshop.kubelet.runtimes.docker import DockerRuntime

log = logging.getLogger(__name__)

PODS, SERVICES, NODES = resource("pods"), resource("services"), resource("nodes")


def private_directories(config: KubeletConfig) -> tuple[str, ...]:
    """What containers may not see beside the root directory: the folder that also holds our credentials."""
    paths = [config.root_dir, config.kubeconfig, config.tls_private_key_file]
    common = os.path.commonpath([os.path.abspath(path) for path in paths if path])
    return (common,) if common.count("/") >= 3 else ()


def make_runtime(config: KubeletConfig, clock: Clock) -> ProcessRuntime | SimulatedRuntime | DockerRuntime:
    """By `--container-runtime-endpoint`. Raises ValueError for one that we have not."""
    kind = config.runtime_endpoint.split(":")[0]
    if kind == "docker":
        from workshop.kubelet.runtimes.docker import DockerRuntime
        from workshop.kubelet.runtimes.docker_engine import endpoint_of

        url = endpoint_of(config.runtime_endpoint)
        return DockerRuntime(url, config.root_dir, config.cni_conf_dir, config.node_ip, clock=clock)
    if kind == "simulated":
        return SimulatedRuntime(config.node_ip, config.root_dir, clock)
    if kind == "process":
        hidden = private_directories(config)
        return ProcessRuntime(config.root_dir, config.cni_conf_dir, config.node_ip, hide=hidden, clock=clock)
    raise ValueError(
        f'unknown container runtime endpoint "{config.runtime_endpoint}"; there are process:, docker: and simulated:'
    )


class Kubelet:
    """All parts of one node's agent."""

    def __init__(self, config: KubeletConfig, client: Client, clock: Clock = SYSTEM) -> None:
        self.config, self.client, self.clock = config, client, clock
        self.runtime = make_runtime(config, clock)
        self.simulated = isinstance(self.runtime, SimulatedRuntime)
        self.machine = machine(config)
        self.recorder = Recorder(client, "kubelet", host=config.node_name, clock=clock)
        self.node = NodeAgent(client, config, self.runtime, self.machine, clock)
        self.pod_informer = Informer(client, PODS, field_selector=f"spec.nodeName={config.node_name}", clock=clock)
        self.service_informer = Informer(client, SERVICES, clock=clock)
        self.statuses = StatusManager(client, clock, self.pod_informer.store.get)
        self.objects = Objects(client, self._refresh)
        self.tokens = Tokens(client, clock, self._refresh)
        capacity = node_status.capacity(self.machine, config.max_pods)
        self.workers = PodWorkers(
            Parts(
                config=config,
                runtime=self.runtime,
                clock=clock,
                volumes=Volumes(
                    config.root_dir, self.objects.lookup, self.tokens.get, node_status.allocatable(capacity)
                ),
                images=ImageManager(self.runtime, clock, self._event, self.node.poke),
                statuses=self.statuses,
                event=self._event,
                lookup=self.objects.lookup,
                fetch=self._fetch,
                services=self.service_informer.store.list,
                allocatable=node_status.allocatable(capacity),
                memory=self.machine.memory_bytes,
                shift=self.port_shift,
                simulated=self.simulated,
                runtime_name=config.runtime_endpoint.split(":")[0],
                annotate=self._annotate,
                node=lambda: self.node.node,
                fresh_node=self.node.fresh,
                abilities=self._abilities,
            )
        )
        self.static: StaticPods | None = None
        if config.pod_manifest_path:
            do = self.workers.update, self.workers.removed, self.statuses.again
            self.static = StaticPods(client, config.pod_manifest_path, lambda: self.node.node, clock, *do)
            self.statuses.mirror = self._mirror
        self._tasks: list[asyncio.Task[None]] = []
        self._background: set[asyncio.Task[None]] = set()

    def _abilities(self) -> Abilities | None:
        return self.runtime.abilities() if isinstance(self.runtime, ProcessRuntime) else None

    def port_shift(self, port: int) -> int:
        return port if isinstance(self.runtime, SimulatedRuntime) else self.runtime.port_shift(port)

    def _event(self, pod: Obj, kind: str, reason: str, message: str, container: str) -> None:
        path = pods.field_path(pod, container) if container else ""
        if self.simulated and kind == "Normal":
            return
        self.recorder.event(pod, kind, reason, message, field_path=path)

    def _node_event(self, reason: str, message: str) -> None:
        """Upstream's kubelet names its node in the place of the uid."""
        name = self.config.node_name
        about = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name}}
        self.recorder.event(about, "Normal", reason, message)

    def _node_is(self, reason: str) -> None:
        if not self.simulated or reason in ("NodeReady", "NodeNotReady"):
            self._node_event(reason, f"Node {self.config.node_name} status is now: {reason}")

    async def _fetch(self, pod: Obj) -> None:
        if not self.simulated:
            await asyncio.gather(self.objects.fetch(pod), self.service_informer.synced.wait())

    def _annotate(self, pod: Obj, annotations: dict[str, str]) -> None:
        """A note on the pod, in the background; a node may change annotations through the status."""

        async def write() -> None:
            meta = pod["metadata"]
            body = {"metadata": {"uid": meta["uid"], "annotations": annotations}}
            try:
                await self.client.patch(PODS, meta["name"], body, meta["namespace"], subresource="status")
            except (ApiError, Unreachable) as problem:
                log.info("annotating pod %s: %s", meta["name"], problem)

        self._spawn(write())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _refresh(self, uid: str) -> None:
        self._spawn(self.workers.refresh_volumes(uid))

    # -- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up what runs, register the node, begin to sync. Waits for the API server."""
        create = asyncio.get_running_loop().create_task
        await self.runtime.start()
        await self.node.register()
        self._node_event("Starting", "Starting kubelet.")
        self.node.on_ready, self.node.tell = self.workers.wake_all, self._node_is
        if self.static:
            self.static.load()  # before orphans are looked for
        self.pod_informer.add_handler(self._updated, self._changed, self._removed)
        self._tasks = [create(self.recorder.run()), create(self.node.run()), create(self.node.renew_lease())]
        self._tasks += [create(self.pod_informer.run()), create(self._follow_runtime()), create(self._first_list())]
        if self.static:
            self._tasks.append(create(self.static.run()))
        if not self.simulated:
            self._tasks.append(create(self.service_informer.run()))
            self._tasks.append(create(LocalStorage(self.workers.parts, self.workers).run()))
        if not isinstance(self.runtime, SimulatedRuntime):
            routed = self.runtime.routed()
            if routed is not None:
                self._tasks.append(create(self._follow_routes(routed)))

    def _mirror(self, uid: str) -> str | None:
        return self.static.mirror_uid(uid) if self.static and self.static.knows(uid) else ""

    def _updated(self, pod: Obj) -> None:
        if not is_mirror(pod):
            self.workers.update(pod)
        elif self.static and pod["metadata"].get("deletionTimestamp"):
            self.static.mirror_ends(pod)

    def _changed(self, old: Obj, new: Obj) -> None:
        self._updated(new)
        if volumes.shown_changed(old, new):
            self._refresh(new["metadata"]["uid"])

    def _removed(self, pod: Obj) -> None:
        if is_mirror(pod):
            if self.static:
                self.static.mirror_removed(pod)
            return
        uid = pod["metadata"]["uid"]
        self.workers.removed(pod)
        self.objects.release(uid)
        self.tokens.release(uid)
        self.statuses.forget(uid)

    async def _first_list(self) -> None:
        await self.pod_informer.synced.wait()
        await self.workers.remove_orphans()

    async def _follow_runtime(self) -> None:
        """The evented PLEG."""
        async for event in self.runtime.events():
            self.workers.wake(event.pod_uid)

    async def _follow_routes(self, kubeconfig: str) -> None:
        """Routes to the other nodes' pods. A node's own identity may not read the other Nodes (KEP-4601)."""
        other = Client.from_kubeconfig(kubeconfig, user_agent="kubelet-routes/v1.36.2") if kubeconfig else None
        informer = Informer(other or self.client, NODES, clock=self.clock)
        changed = asyncio.Event()
        informer.add_handler(lambda _: changed.set(), lambda _old, _new: changed.set(), lambda _: changed.set())
        follow = asyncio.get_running_loop().create_task(informer.run())
        try:
            while True:
                await changed.wait()
                changed.clear()
                await self.runtime.set_routes(routes(informer.store.list(), self.config.node_name))
        finally:
            follow.cancel()
            await asyncio.gather(follow, return_exceptions=True)
            if other is not None:
                await other.close()

    async def stop(self) -> None:
        """End without touching a container."""
        for task in [*self._tasks, *self._background]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._background, return_exceptions=True)
        await self.workers.close()
        await self.statuses.close()
        await self.objects.close()
        self.tokens.close()
        await self.runtime.close()

    def pod(self, namespace: str, name: str) -> Obj | None:
        """A pod of this node by name; a static one under its own uid."""
        found = self.pod_informer.store.get(Key(namespace, name))
        if found is not None and is_mirror(found):
            found = {**found, "metadata": {**found["metadata"], "uid": static_uid(found)}}
        return found


def routes(nodes: list[Obj], own: str) -> dict[str, str]:
    """{pod CIDR: InternalIP} of the other nodes."""
    found = {}
    for node in nodes:
        cidr = (node.get("spec") or {}).get("podCIDR")
        addresses = (node.get("status") or {}).get("addresses") or ()
        address = next((a["address"] for a in addresses if a["type"] == "InternalIP"), None)
        if node["metadata"]["name"] != own and cidr and address:
            found[cidr] = address
    return found


async def run(config: KubeletConfig, stop: asyncio.Event) -> None:
    """Serve and sync pods until `stop` is set."""
    from workshop.kubelet.server import ports

    os.makedirs(config.root_dir, mode=0o700, exist_ok=True)
    random.seed(os.urandom(16))
    async with Client.from_kubeconfig(config.kubeconfig, user_agent="kubelet/v1.36.2") as client:
        kubelet = Kubelet(config, client)
        async with ports.served(kubelet):
            starting = asyncio.get_running_loop().create_task(kubelet.start())
            ending = asyncio.get_running_loop().create_task(stop.wait())
            await asyncio.wait([starting, ending], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting
                await stop.wait()
            else:
                starting.cancel()
            ending.cancel()
            await asyncio.gather(starting, ending, return_exceptions=True)
            await kubelet.stop()
