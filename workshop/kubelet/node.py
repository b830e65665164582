"""Registers the Node, keeps its status and its lease.

Upstream: `pkg/kubelet/kubelet_node_status.go`, `component-helpers/apimachinery/lease`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import platform
import zlib
from collections.abc import Callable
from pathlib import Path

from workshop.api import errors
from workshop.api.errors import ApiError
from workshop.api.resources import resource
from workshop.client.informer import Informer
from workshop.client.rest import Client
from workshop.client.transport import Unreachable
from workshop.clock import Clock, rfc3339_micro, to_beat
from workshop.kubelet import cri, node_status
from workshop.kubelet.config import KubeletConfig
from workshop.kubelet.node_status import Machine
from workshop.kubelet.pods import Obj

log = logging.getLogger(__name__)

NODES, LEASES = resource("nodes"), resource("leases.coordination.k8s.io")
LEASE_NAMESPACE = "kube-node-lease"
LEASE_DURATION, RENEW_INTERVAL = 40, 10.0


def machine(config: KubeletConfig) -> Machine:
    """Look at this machine."""

    def text(path: str) -> str:
        try:
            return Path(path).read_text().strip()
        except OSError:
            return ""

    name = "Linux"
    for line in text("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            name = line.partition("=")[2].strip('"')
    disk = os.statvfs(config.root_dir)
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        disk_bytes=disk.f_blocks * disk.f_frsize,
        machine_id=hashlib.sha256((text("/etc/machine-id") + config.node_name).encode()).hexdigest()[:32],
        boot_id=text("/proc/sys/kernel/random/boot_id"),
        kernel=platform.release(),
        os_image=name,
        architecture={"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
    )


class NodeAgent:
    """This node's object."""

    def __init__(
        self, client: Client, config: KubeletConfig, runtime: cri.Runtime, found: Machine, clock: Clock
    ) -> None:
        self._client, self._config, self._runtime, self._machine, self._clock = client, config, runtime, found, clock
        self.informer = Informer(client, NODES, field_selector=f"metadata.name={config.node_name}", clock=clock)
        self._wake = asyncio.Event()
        self._written = float("-inf")
        # Each node has its beat of every other second: a thousand do not all write at once.
        self._phase = 2.0 * (zlib.crc32(config.node_name.encode()) % 5)
        self.node: Obj = {}
        self.pod_cidr = ""
        self.ready = False
        self.on_ready: Callable[[], None] = lambda: None
        self.tell: Callable[[str], None] = lambda reason: None
        self._seen: list[Obj] = []  # the conditions that events have told of

    async def fresh(self) -> Obj:
        """The object as the API server has it now; the last one known while that cannot be reached."""
        try:
            return await self._client.get(NODES, self._config.node_name)
        except (Unreachable, ApiError) as problem:
            log.warning("reading node %s: %s", self._config.node_name, problem)
            return self.node

    def poke(self) -> None:
        """Something changed: compute the status again."""
        self._wake.set()

    async def register(self) -> None:
        """Create the Node, or take up the one that is there. Waits for the API server."""
        pause = 0.02
        while True:
            try:
                if self._config.register_node:
                    try:
                        self.node = await self._client.create(NODES, node_status.initial(self._config, self._machine))
                        log.info("Successfully registered node %s", self._config.node_name)
                    except ApiError as problem:
                        if not errors.is_already_exists(problem):
                            raise
                        self.node = await self._reconcile(await self._client.get(NODES, self._config.node_name))
                else:
                    self.node = await self._client.get(NODES, self._config.node_name)
                return
            except Unreachable:
                pass
            except ApiError as problem:
                log.warning("Unable to register node %s with API server: %s", self._config.node_name, problem)
                pause = max(pause, 0.1)
            await self._clock.sleep(pause)
            pause = min(pause * 1.5, 1.0)

    async def _reconcile(self, node: Obj) -> Obj:
        wanted = node_status.labels(self._config, self._machine)
        have = node["metadata"].get("labels") or {}
        wrong = {key: value for key, value in wanted.items() if have.get(key) != value}
        if not wrong:
            return node
        return await self._client.patch(NODES, self._config.node_name, {"metadata": {"labels": wrong}})

    def _changed(self, node: Obj) -> None:
        before, self.node = self.node, node
        was, closed = (bool((of.get("spec") or {}).get("unschedulable")) for of in (before, node))
        if before and was != closed:
            self.tell("NodeNotSchedulable" if closed else "NodeSchedulable")
        if (node["spec"].get("podCIDR") or "") != self.pod_cidr or before.get("metadata", {}).get("uid") != node[
            "metadata"
        ]["uid"]:
            self._wake.set()

    async def run(self) -> None:
        """Keep the status."""
        self.informer.add_handler(self._changed, lambda _, new: self._changed(new), None)
        follow = asyncio.get_running_loop().create_task(self.informer.run())
        try:
            await self._loop()
        finally:
            follow.cancel()
            await asyncio.gather(follow, return_exceptions=True)

    async def _loop(self) -> None:
        await self._pass()
        while True:
            try:
                pause = to_beat(self._clock.now(), self._config.node_status_update_frequency, self._phase)
                await asyncio.wait_for(self._wake.wait(), pause)
            except TimeoutError:
                pass
            self._wake.clear()
            await self._pass()

    async def _pass(self) -> None:
        cidr = self.node.get("spec", {}).get("podCIDR") or self._config.pod_cidr
        if cidr and cidr != self.pod_cidr:
            self.pod_cidr = cidr
            await self._runtime.set_pod_cidr(cidr)
        try:
            await self.sync()
        except (Unreachable, ApiError) as problem:
            if isinstance(problem, ApiError) and errors.is_not_found(problem) and self._config.register_node:
                log.warning("node %s is gone; registering it again", self._config.node_name)
                await self.register()
                self._wake.set()
                return
            log.warning("Error updating node status, will retry: %s", problem)
            await self._clock.sleep(0.2)
            self._wake.set()

    async def sync(self) -> None:
        """Write the status when it changed, or when it is old. Raises ApiError, Unreachable."""
        now = self._clock.now()
        old = self.node.get("status") or {}
        runtime = await self._runtime.status()
        new = node_status.status(self._config, self._machine, old, runtime, await self._runtime.list_images(), now)
        fresh = now - self._written < self._config.node_status_report_frequency
        if fresh and not node_status.changed(old, new):
            return
        body = {**new, "$setElementOrder/conditions": [{"type": c["type"]} for c in new["conditions"]]}
        self.node = await self._client.patch(NODES, self._config.node_name, {"status": body}, subresource="status")
        self._written = now
        for reason in node_status.events(self._seen, new["conditions"]):
            self.tell(reason)
        self._seen = new["conditions"]
        was, self.ready = self.ready, new["conditions"][-1]["status"] == "True"
        if self.ready and not was:
            log.info("Node %s is Ready", self._config.node_name)
            self.on_ready()

    async def renew_lease(self) -> None:
        """Keep the lease in kube-node-lease: created once, then renewed."""
        lease: Obj | None = None
        name = self._config.node_name
        while True:
            now = rfc3339_micro(self._clock.now())
            try:
                if lease is None:
                    try:
                        lease = await self._client.get(LEASES, name, LEASE_NAMESPACE)
                    except ApiError as problem:
                        if not errors.is_not_found(problem):
                            raise
                        lease = await self._client.create(LEASES, self._lease(now), LEASE_NAMESPACE)
                else:
                    spec = {
                        **lease["spec"],
                        "holderIdentity": name,
                        "leaseDurationSeconds": LEASE_DURATION,
                        "renewTime": now,
                    }
                    lease = await self._client.update(LEASES, {**lease, "spec": spec})
            except (Unreachable, ApiError) as problem:
                log.info("lease of node %s: %s", name, problem)
                lease = None
                await self._clock.sleep(0.5)
                continue
            await self._clock.sleep(to_beat(self._clock.now(), RENEW_INTERVAL, self._phase))

    def _lease(self, now: str) -> Obj:
        name = self._config.node_name
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": self.node["metadata"]["uid"]}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_DURATION, "renewTime": now},
        }
