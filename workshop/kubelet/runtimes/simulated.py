"""The `simulated` runtime: statuses only, no process, for hundreds of pods a node. Upstream's counterpart: kubemark.

Sandboxes and containers are entries in memory, running as soon as they are started; a journal (`simulated_journal`)
lets them outlive kubelet, as real ones do. Any image is there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

from workshop.clock import SYSTEM, Clock
from workshop.kubelet import cri
from workshop.kubelet.cri import ContainerStatus, CriError, NotFound, PodSandboxStatus
from workshop.kubelet.images import catalogue
from workshop.kubelet.network import NetworkError
from workshop.kubelet.network.ipam import Pool
from workshop.kubelet.runtimes.simulated_journal import Entry, Journal


def journal_of(root_dir: str | Path) -> Path:
    """Where a node keeps its journal."""
    return Path(root_dir, "run", "simulated.jsonl")


class SimulatedRuntime:
    """cri.Runtime without containers."""

    def __init__(self, node_ip: str, root_dir: str | None = None, clock: Clock = SYSTEM) -> None:
        """Without a `root_dir` nothing is kept."""
        self._node_ip, self._clock = node_ip, clock
        self._journal = Journal(journal_of(root_dir), self._present) if root_dir else None
        self._pool: Pool | None = None
        self._pods: dict[str, dict[str, PodSandboxStatus]] = {}
        self._sandboxes: dict[str, PodSandboxStatus] = {}
        self._containers: dict[str, ContainerStatus] = {}
        self._of_sandbox: dict[str, dict[str, ContainerStatus]] = {}
        self._images: dict[str, None] = {}
        self._events: asyncio.Queue[cri.ContainerEvent] = asyncio.Queue()

    async def start(self) -> None:
        """Find what the last kubelet left. Raises OSError."""
        if self._journal is None:
            return
        for entry in self._journal.entries():
            if isinstance(entry, str):
                self._images[entry] = None
            elif isinstance(entry, PodSandboxStatus):
                self._pods.setdefault(entry.uid, {})[entry.id] = self._sandboxes[entry.id] = entry
                self._of_sandbox[entry.id] = {}
            elif entry.sandbox_id in self._of_sandbox:
                self._containers[entry.id] = self._of_sandbox[entry.sandbox_id][entry.id] = entry
        self._journal.open()

    def _present(self) -> Iterator[Entry]:
        yield from self._images
        yield from self._sandboxes.values()
        yield from self._containers.values()

    async def close(self) -> None:
        if self._journal is not None:
            self._journal.close()

    async def status(self) -> cri.RuntimeStatus:
        text = "Network plugin returns error: the node has no podCIDR yet"
        network = cri.RuntimeCondition("NetworkReady", True)
        if self._pool is None:
            network = cri.RuntimeCondition("NetworkReady", False, "NetworkPluginNotReady", text)
        return cri.RuntimeStatus("simulated", "1.0.0", (cri.RuntimeCondition("RuntimeReady", True), network))

    async def set_pod_cidr(self, cidr: str) -> None:
        if self._pool is None:
            self._pool = Pool(cidr)
            for sandbox in self._sandboxes.values():
                if sandbox.state == cri.READY and not sandbox.host_network:
                    self._pool.keep(sandbox.id, sandbox.ip)

    async def set_routes(self, nodes: dict[str, str]) -> None:
        return None

    async def run_pod_sandbox(self, config: cri.PodSandboxConfig) -> str:
        if self._pool is None:
            raise CriError("cni plugin not initialized: the node has no podCIDR yet")
        identity = os.urandom(32).hex()
        try:
            address = self._node_ip if config.host_network else self._pool.take(identity)
        except NetworkError as problem:
            raise CriError(str(problem)) from None
        sandbox = PodSandboxStatus(
            identity,
            config.name,
            config.uid,
            config.namespace,
            config.attempt,
            cri.READY,
            self._clock.now(),
            address,
            config.host_network,
            labels=config.labels,
            annotations=config.annotations,
        )
        self._of_sandbox[identity] = {}
        self._put_sandbox(sandbox)
        return identity

    def _put_sandbox(self, sandbox: PodSandboxStatus) -> None:
        self._sandboxes[sandbox.id] = self._pods.setdefault(sandbox.uid, {})[sandbox.id] = sandbox
        if self._journal is not None:
            self._journal.put(sandbox)

    def _put(self, status: ContainerStatus) -> None:
        self._containers[status.id] = self._of_sandbox[status.sandbox_id][status.id] = status
        if self._journal is not None:
            self._journal.put(status)

    def _gone(self, identity: str) -> None:
        if self._journal is not None:
            self._journal.gone(identity)

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None or sandbox.state != cri.READY:
            return
        for status in list(self._of_sandbox[sandbox_id].values()):
            await self.stop_container(status.id, 0)
        if self._pool is not None:
            self._pool.release(sandbox_id)
        self._put_sandbox(replace(sandbox, state=cri.NOT_READY))

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        await self.stop_pod_sandbox(sandbox_id)
        sandbox = self._sandboxes.pop(sandbox_id, None)
        if sandbox is None:
            return
        for identity in self._of_sandbox.pop(sandbox_id):
            del self._containers[identity]
            self._gone(identity)
        self._gone(sandbox_id)
        del self._pods[sandbox.uid][sandbox_id]
        if not self._pods[sandbox.uid]:
            del self._pods[sandbox.uid]

    async def pod_sandbox_status(self, sandbox_id: str) -> PodSandboxStatus:
        if sandbox_id not in self._sandboxes:
            raise NotFound(f'an error occurred when try to find sandbox "{sandbox_id}": not found')
        return self._sandboxes[sandbox_id]

    async def list_pod_sandbox(self, pod_uid: str | None = None) -> list[PodSandboxStatus]:
        return list(self._sandboxes.values() if pod_uid is None else self._pods.get(pod_uid, {}).values())

    async def create_container(
        self, sandbox_id: str, config: cri.ContainerConfig, sandbox: cri.PodSandboxConfig
    ) -> str:
        await self.pod_sandbox_status(sandbox_id)
        identity = os.urandom(32).hex()
        image = catalogue.canonical(config.image)
        self._put(
            ContainerStatus(
                identity,
                sandbox_id,
                config.name,
                config.attempt,
                cri.CREATED,
                self._clock.now(),
                image=image,
                image_ref=f"{image.rpartition(':')[0]}@sha256:{'0' * 64}",
                labels=config.labels,
                annotations=config.annotations,
            )
        )
        return identity

    async def start_container(self, container_id: str) -> None:
        status = await self.container_status(container_id)
        self._put(replace(status, state=cri.RUNNING, started_at=self._clock.now()))

    async def stop_container(self, container_id: str, timeout: float) -> None:
        status = await self.container_status(container_id)
        if status.state == cri.RUNNING:
            now = self._clock.now()
            self._put(replace(status, state=cri.EXITED, finished_at=now, reason="Completed"))

    def finish(self, container_id: str, exit_code: int) -> None:
        """Let a container end by itself, as its program would; for tests and experiments. Raises KeyError."""
        status = self._containers[container_id]
        reason = "Completed" if exit_code == 0 else "Error"
        self._put(replace(status, state=cri.EXITED, finished_at=self._clock.now(), exit_code=exit_code, reason=reason))
        uid = self._sandboxes[status.sandbox_id].uid
        self._events.put_nowait(cri.ContainerEvent(container_id, "CONTAINER_STOPPED_EVENT", uid))

    async def remove_container(self, container_id: str) -> None:
        status = self._containers.pop(container_id, None)
        if status is not None:
            del self._of_sandbox[status.sandbox_id][container_id]
            self._gone(container_id)

    async def list_containers(self, pod_uid: str | None = None) -> list[ContainerStatus]:
        if pod_uid is None:
            return list(self._containers.values())
        return [c for sandbox_id in self._pods.get(pod_uid, {}) for c in self._of_sandbox[sandbox_id].values()]

    async def container_status(self, container_id: str) -> ContainerStatus:
        if container_id not in self._containers:
            raise NotFound(f'an error occurred when try to find container "{container_id}": not found')
        return self._containers[container_id]

    async def update_container_resources(self, container_id: str, resources: cri.Resources) -> None:
        return None

    async def container_stats(self, container_id: str) -> dict[str, float]:
        return {}

    async def exec_sync(self, container_id: str, command: list[str], timeout: float) -> cri.ExecResult:
        return cri.ExecResult(b"", b"", 0)

    async def exec(self, container_id: str, command: list[str], *, stdin: bool, tty: bool) -> cri.Stream:
        raise CriError("the simulated runtime has no processes to run a command in")

    async def attach(self, container_id: str) -> cri.Stream:
        raise CriError("the simulated runtime has no processes to attach to")

    async def port_forward(self, sandbox_id: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        raise CriError("the simulated runtime has no processes to connect to")

    async def pull_image(self, image: str) -> str:
        name = catalogue.canonical(image)
        if name not in self._images and self._journal is not None:
            self._journal.put(name)
        self._images[name] = None
        return image

    async def list_images(self) -> list[cri.Image]:
        return [cri.Image(name, (name,), size=1_000_000) for name in self._images]

    async def image_status(self, image: str) -> cri.Image | None:
        name = catalogue.canonical(image)
        return cri.Image(name, (name,), size=1_000_000) if name in self._images else None

    async def remove_image(self, image: str) -> None:
        name = catalogue.canonical(image)
        if self._images.pop(name, name) is None:
            self._gone(f"image {name}")

    async def events(self) -> AsyncIterator[cri.ContainerEvent]:
        while True:
            yield await self._events.get()
