"""The `process` runtime: pods as real processes under a shim, images out of the catalogue.

With a namespaced network (modes root and userns) a pod has network, IPC and UTS namespaces of its own, a container
also a PID and a mount namespace, whose files are the image above the host's own and a layer of its own for writes.
In mode plain a container is a process of the user, in a directory of its own, which WORKSHOP_ROOTFS names; volumes
appear below it at their mount paths.

All state is on disk (see `shim/__init__.py`), so a new kubelet reads it and goes on. `process_containers.py` starts and
ends containers, `spec.py` turns a container's configuration into what the shim runs, `standins.py` keeps the images,
`streams.py` is exec, attach and port-forward.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

from workshop.clock import SYSTEM, Clock
from workshop.kubelet import cri
from workshop.kubelet.cri import CriError, PodSandboxStatus
from workshop.kubelet.network import NetworkError
from workshop.kubelet.network.hostports import HostPorts, Way
from workshop.kubelet.owner import may_be_anyone
from workshop.kubelet.runtimes import cgroups, shims, spec
from workshop.kubelet.runtimes.files import new_id, remove_tree, write
from workshop.kubelet.runtimes.process_containers import ProcessContainers
from workshop.kubelet.runtimes.standins import StandIns
from workshop.kubelet.runtimes.streams import Streams
from workshop.kubelet.unheeded import Abilities

log = logging.getLogger(__name__)


class ProcessRuntime(ProcessContainers):
    """cri.Runtime on processes and shims."""

    def __init__(
        self, root_dir: str, cni_conf_dir: str, node_ip: str, *, hide: tuple[str, ...] = (), clock: Clock = SYSTEM
    ) -> None:
        """`hide`: directories that containers may not see, beside the root directory."""
        super().__init__(root_dir, cni_conf_dir, node_ip, hide, clock)
        self._low_ports: bool | None = None
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._host_ports = HostPorts(node_ip)
        self._images = StandIns(self.image_dir)
        self._streams = Streams(self)

    # -- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read what is on disk and follow the shims that live."""
        os.makedirs(self.run_dir, mode=0o711, exist_ok=True)
        self._images.load()
        self._network.load()
        for entry in sorted(os.listdir(self.run_dir)):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                await self._adopt(os.path.join(self.run_dir, entry))

    async def _adopt(self, directory: str) -> None:
        raw = json.loads(Path(directory, "sandbox.json").read_text())
        sandbox = PodSandboxStatus(**raw["status"])
        pid = shims.alive(directory)
        if not pid:
            shims.kill_leftovers(directory)
            sandbox = replace(sandbox, state=cri.NOT_READY)
        self._sandboxes[sandbox.id] = sandbox
        if raw.get("first"):
            self._first[sandbox.id] = raw["first"]
        if self._network.plugin and sandbox.ip and not sandbox.host_network:
            await self._network.plugin.adopt(sandbox.id, sandbox.ip)
        for folder in Path(directory, "c").glob("*"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                self._adopt_container(folder, shim_lives=bool(pid))
        if pid:
            self._follow(sandbox.id)
            try:
                await self._host_ports.open(sandbox.id, [Way(**way) for way in raw.get("ways", ())])
            except NetworkError as problem:
                log.error("host ports of %s/%s: %s", sandbox.namespace, sandbox.name, problem)

    async def close(self) -> None:
        """Let go of everything without touching a container."""
        self._host_ports.close_all()
        for task in self._followers.values():
            task.cancel()
        await asyncio.gather(*self._followers.values(), return_exceptions=True)

    async def status(self) -> cri.RuntimeStatus:
        """NetworkReady needs a network configuration and the node's pod range."""
        ready = cri.RuntimeCondition("RuntimeReady", True)
        return cri.RuntimeStatus("process", "1.0.0", (ready, await self._network.condition()))

    def abilities(self) -> Abilities:
        """What this mode lets us do for a pod."""
        namespaced, users = self._network.namespaced, may_be_anyone()
        mode = ("root" if users else "userns") if namespaced else "plain"
        return Abilities(mode, namespaced, namespaced and users, namespaced and cgroups.limits_processor())

    def port_shift(self, port: int) -> int:
        """What a pod's port becomes when it may not be bound here (mode plain)."""
        if not self._network.port_shift or port >= spec.unprivileged_port_start():
            return port
        if self._low_ports is None:
            self._low_ports = spec.may_bind_low_ports(self._node_ip)
        return port if self._low_ports else port + self._network.port_shift

    # -- sandboxes -----------------------------------------------------------------------------------------------

    async def run_pod_sandbox(self, config: cri.PodSandboxConfig) -> str:
        namespaced = self._network.namespaced
        if self._network.plugin is None and not config.host_network:
            raise CriError(f"failed to setup network for sandbox: {self._network.problem}")
        identity = new_id()
        directory = self.directory(identity)
        os.makedirs(os.path.join(directory, "c"), mode=0o711)
        sandbox = PodSandboxStatus(
            identity,
            config.name,
            config.uid,
            config.namespace,
            config.attempt,
            cri.READY,
            self.clock.now(),
            host_network=config.host_network,
            labels=dict(config.labels),
            annotations=dict(config.annotations),
        )
        unshare = ",".join(
            name
            for name, host in (("net", config.host_network), ("ipc", config.host_ipc), ("uts", config.host_network))
            if not host
        )
        try:
            process = await shims.start(
                directory, config.namespace, config.name, unshare if namespaced else "", config.hostname
            )
            self._children[identity] = process
            address = self._node_ip
            if not config.host_network and self._network.plugin is not None:
                address = await self._network.plugin.attach(identity, process.pid)
            sandbox = replace(sandbox, ip=address, pid=process.pid)
            ways = [] if config.host_network else self._ways(config.port_mappings, address)
            await self._host_ports.open(identity, ways)
            spec.write_resolver(directory, config)
            if config.share_processes and namespaced:
                self._first[identity] = await self._share_processes(sandbox, config)
            first = self._first.get(identity, 0)
            kept = {"status": asdict(sandbox), "first": first, "ways": [asdict(way) for way in ways]}
            write(os.path.join(directory, "sandbox.json"), kept)
        except (NetworkError, CriError, OSError, ValueError) as problem:
            self._host_ports.close(identity)
            with contextlib.suppress(CriError):
                await shims.ask(directory, verb="shutdown")
            await self._reap_shim(identity)
            shutil.rmtree(directory, ignore_errors=True)
            raise CriError(f'failed to setup network for sandbox "{identity}": {problem}') from None
        self._sandboxes[identity] = sandbox
        self._follow(identity)
        return identity

    def _ways(self, mappings: tuple[cri.PortMapping, ...], address: str) -> list[Way]:
        """Host ports; in mode plain those that nobody may bind are shifted, at node and pod alike."""
        shift = self.port_shift(1) - 1
        return self._host_ports.ways(mappings, address, shift, spec.unprivileged_port_start() if shift else 0)

    def _follow(self, sandbox_id: str) -> None:
        self._followers[sandbox_id] = asyncio.get_running_loop().create_task(self._follow_shim(sandbox_id))

    async def _follow_shim(self, sandbox_id: str) -> None:
        """Take each exit from the shim; when the shim itself ends, the sandbox is not ready any more."""
        directory = self.directory(sandbox_id)
        with contextlib.suppress(CriError, ConnectionError, ValueError):
            async for event in shims.follow(directory):
                if "running" in event:
                    self._catch_up(directory, set(event["running"]))
                elif event.get("event") == "exit":
                    self._set_ended(event["id"], event["exit"])
        for _ in range(100):
            # its sockets close a moment before it is gone
            if not shims.alive(directory):
                break
            await self.clock.sleep(0.01)
        else:
            self._follow(sandbox_id)
            return
        await self._reap_shim(sandbox_id)
        shims.kill_leftovers(directory)
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None:
            return
        self._sandboxes[sandbox_id] = replace(sandbox, state=cri.NOT_READY)
        self._catch_up(directory, set())
        self._events.put_nowait(cri.ContainerEvent(sandbox_id, "CONTAINER_STOPPED_EVENT", sandbox.uid))

    async def _reap_shim(self, sandbox_id: str) -> None:
        process = self._children.pop(sandbox_id, None)
        if process is None:
            return
        for _ in range(200):
            if process.poll() is not None:
                return
            await self.clock.sleep(0.01)
        process.kill()
        process.wait()

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None:
            return
        for status in list(self._containers.values()):
            if status.sandbox_id == sandbox_id and status.state == cri.RUNNING:
                await self.stop_container(status.id, 0)
        if shims.alive(self.directory(sandbox_id)):
            with contextlib.suppress(CriError):
                await shims.ask(self.directory(sandbox_id), verb="shutdown")
        await self._reap_shim(sandbox_id)
        self._host_ports.close(sandbox_id)
        if self._network.plugin is not None:
            await self._network.plugin.detach(sandbox_id)
        self._sandboxes[sandbox_id] = replace(sandbox, state=cri.NOT_READY)

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        if sandbox_id not in self._sandboxes:
            return
        await self.stop_pod_sandbox(sandbox_id)
        follower = self._followers.pop(sandbox_id, None)
        if follower is not None and follower is not asyncio.current_task():
            follower.cancel()
        for status in list(self._containers.values()):
            if status.sandbox_id == sandbox_id:
                await self.remove_container(status.id)
        del self._sandboxes[sandbox_id]
        self._first.pop(sandbox_id, None)
        remove_tree(self.directory(sandbox_id))

    async def list_pod_sandbox(self, pod_uid: str | None = None) -> list[PodSandboxStatus]:
        return [found for found in self._sandboxes.values() if pod_uid in (None, found.uid)]

    # -- streams and images --------------------------------------------------------------------------------------

    async def exec_sync(self, container_id: str, command: list[str], timeout: float) -> cri.ExecResult:
        return await self._streams.exec_sync(container_id, command, timeout)

    async def exec(self, container_id: str, command: list[str], *, stdin: bool, tty: bool) -> cri.Stream:
        return await self._streams.exec(container_id, command, stdin=stdin, tty=tty)

    async def attach(self, container_id: str) -> cri.Stream:
        return await self._streams.attach(container_id)

    async def port_forward(self, sandbox_id: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await self._streams.port_forward(sandbox_id, port)

    async def pull_image(self, image: str) -> str:
        return await self._images.pull(image)

    async def list_images(self) -> list[cri.Image]:
        return await self._images.list()

    async def image_status(self, image: str) -> cri.Image | None:
        return await self._images.status(image)

    async def remove_image(self, image: str) -> None:
        await self._images.remove(image)
