"""The `process` runtime: pods as real processes under a shim, images out of the catalogue.

With a namespaced network (modes root and userns) a pod has network, IPC and UTS namespaces of its own, a container
also a PID and a mount namespace, whose files are the image above the host's own and a layer of its own for writes.
In mode plain a container is a process of the user, in a directory of its own, which WORKSHOP_ROOTFS names; volumes
appear below it at their mount paths.

All state is on disk (see `shim/__init__.py`), so a new kubelet reads it and goes on. `spec.py` turns a container's
configuration into what the shim runs, `standins.py` keeps the images, `streams.py` is exec, attach and port-forward.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from workshop.clock import SYSTEM, Clock
from workshop.kubelet import cri
from workshop.kubelet.cri import ContainerStatus, CriError, NotFound, PodSandboxStatus
from workshop.kubelet.images import catalogue
from workshop.kubelet.images.unpack import unpack
from workshop.kubelet.network import NetworkError
from workshop.kubelet.runtimes import cgroups, shims, spec
from workshop.kubelet.runtimes.files import new_id, remove_tree, write
from workshop.kubelet.runtimes.networking import NodeNetwork
from workshop.kubelet.runtimes.standins import StandIns, image_ref
from workshop.kubelet.runtimes.streams import Streams

log = logging.getLogger(__name__)

KILLED_WITHOUT_SHIM = 137

# what containerd and runc say before the reason
CREATE_FAILED = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
    "unable to start container process: error during container init: "
)


class ProcessRuntime:
    """cri.Runtime on processes and shims."""

    def __init__(
        self, root_dir: str, cni_conf_dir: str, node_ip: str, *, hide: tuple[str, ...] = (), clock: Clock = SYSTEM
    ) -> None:
        """`hide`: directories that containers may not see, beside the root directory."""
        self._hide = [root_dir, *hide]
        self.run_dir = os.path.join(root_dir, "run")
        self.image_dir = os.path.join(root_dir, "images")
        self._node_ip, self.clock = node_ip, clock
        self._network = NodeNetwork(cni_conf_dir)
        self._low_ports: bool | None = None
        self._sandboxes: dict[str, PodSandboxStatus] = {}
        self._containers: dict[str, ContainerStatus] = {}
        self._configs: dict[str, dict[str, Any]] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._events: asyncio.Queue[cri.ContainerEvent] = asyncio.Queue()
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
        if self._network.plugin and sandbox.ip and not sandbox.host_network:
            await self._network.plugin.adopt(sandbox.id, sandbox.ip)
        for folder in Path(directory, "c").glob("*"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                self._adopt_container(folder, shim_lives=bool(pid))
        if pid:
            self._follow(sandbox.id)

    def _adopt_container(self, folder: Path, *, shim_lives: bool) -> None:
        raw = json.loads((folder / "config.json").read_text())
        status = ContainerStatus(**raw["status"])
        self._configs[status.id] = raw["config"]
        self._ended[status.id] = asyncio.Event()
        state = folder / "state.json"
        if state.exists():
            told = json.loads(state.read_text())
            status = replace(status, state=cri.RUNNING, pid=told["pid"], started_at=told["started_at"])
        self._containers[status.id] = status
        if (folder / "exit.json").exists():
            self._set_ended(status.id, json.loads((folder / "exit.json").read_text()))
        elif status.state == cri.RUNNING and not shim_lives:
            self._set_ended(status.id, {"exit_code": KILLED_WITHOUT_SHIM, "signal": 9, "finished_at": self.clock.now()})

    async def close(self) -> None:
        """Let go of everything without touching a container."""
        for task in self._followers.values():
            task.cancel()
        await asyncio.gather(*self._followers.values(), return_exceptions=True)

    async def status(self) -> cri.RuntimeStatus:
        """NetworkReady needs a network configuration and the node's pod range."""
        ready = cri.RuntimeCondition("RuntimeReady", True)
        return cri.RuntimeStatus("process", "1.0.0", (ready, await self._network.condition()))

    async def set_pod_cidr(self, cidr: str) -> None:
        await self._network.start(cidr)

    async def set_routes(self, nodes: dict[str, str]) -> None:
        await self._network.routes(nodes)

    def routed(self) -> str | None:
        """Whose kubeconfig may watch all Nodes ("": our own), where pods are reached by routes. None: no routes."""
        return self._network.kubeconfig if self._network.namespaced else None

    def port_shift(self, port: int) -> int:
        """What a pod's port becomes when it may not be bound here (mode plain)."""
        if not self._network.port_shift or port >= spec.unprivileged_port_start():
            return port
        if self._low_ports is None:
            self._low_ports = spec.may_bind_low_ports(self._node_ip)
        return port if self._low_ports else port + self._network.port_shift

    # -- sandboxes -----------------------------------------------------------------------------------------------

    def directory(self, sandbox_id: str) -> str:
        return os.path.join(self.run_dir, sandbox_id[:12])

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
            spec.write_resolver(directory, config)
            write(os.path.join(directory, "sandbox.json"), {"status": asdict(sandbox)})
        except (NetworkError, CriError, OSError) as problem:
            with contextlib.suppress(CriError):
                await shims.ask(directory, verb="shutdown")
            await self._reap_shim(identity)
            shutil.rmtree(directory, ignore_errors=True)
            raise CriError(f'failed to setup network for sandbox "{identity}": {problem}') from None
        self._sandboxes[identity] = sandbox
        self._follow(identity)
        return identity

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

    def _catch_up(self, directory: str, running: set[str]) -> None:
        """What ended between our look at the disk and the subscription."""
        for status in list(self._containers.values()):
            if self.directory(status.sandbox_id) != directory or status.state != cri.RUNNING or status.id in running:
                continue
            told: dict[str, Any] = {"exit_code": KILLED_WITHOUT_SHIM, "signal": 9, "finished_at": self.clock.now()}
            with contextlib.suppress(OSError, ValueError):
                told = json.loads(Path(directory, "c", status.id[:12], "exit.json").read_text())
            self._set_ended(status.id, told)

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
        remove_tree(self.directory(sandbox_id))

    async def pod_sandbox_status(self, sandbox_id: str) -> PodSandboxStatus:
        if sandbox_id not in self._sandboxes:
            raise NotFound(f'an error occurred when try to find sandbox "{sandbox_id}": not found')
        return self._sandboxes[sandbox_id]

    async def list_pod_sandbox(self, pod_uid: str | None = None) -> list[PodSandboxStatus]:
        return [found for found in self._sandboxes.values() if pod_uid in (None, found.uid)]

    # -- containers ----------------------------------------------------------------------------------------------

    def folder(self, status: ContainerStatus) -> str:
        return os.path.join(self.directory(status.sandbox_id), "c", status.id[:12])

    async def create_container(
        self, sandbox_id: str, config: cri.ContainerConfig, sandbox: cri.PodSandboxConfig
    ) -> str:
        known = await self.pod_sandbox_status(sandbox_id)
        standin = catalogue.find(config.image)
        if standin is None:
            raise NotFound(catalogue.not_found(config.image))
        identity = new_id()
        status = ContainerStatus(
            identity,
            sandbox_id,
            config.name,
            config.attempt,
            cri.CREATED,
            self.clock.now(),
            image=catalogue.canonical(config.image),
            image_ref=image_ref(config.image, standin),
            log_path=os.path.join(sandbox.log_directory, config.log_path),
            labels=dict(config.labels),
            annotations=dict(config.annotations),
        )
        folder = self.folder(status)
        os.makedirs(folder, mode=0o711)
        namespaced = self._network.namespaced
        targets = [
            c.pid
            for c in self._containers.values()
            if c.name == config.security.target_container and c.sandbox_id == sandbox_id and c.state == cri.RUNNING
        ]
        try:
            made = spec.container_spec(
                identity,
                config,
                sandbox,
                known,
                standin,
                image_root=await asyncio.to_thread(unpack, standin, self.image_dir),
                folder=folder,
                namespaced=namespaced,
                hide=self._hide,
                port_shift=self._network.port_shift,
                log_path=status.log_path,
                target_pid=targets[-1] if targets else 0,
            )
            if namespaced:
                made |= cgroups.for_container(known.uid, identity, config.resources)
            if not made.get("oom_files") and config.resources.memory_limit:
                made["memory_watch"] = config.resources.memory_limit
            write(os.path.join(folder, "spec.json"), made)
            write(os.path.join(folder, "config.json"), {"status": asdict(status), "config": asdict(config)})
        except (OSError, ValueError) as problem:
            remove_tree(folder)
            raise CriError(str(problem), "CreateContainerError") from None
        self._containers[identity] = status
        self._configs[identity] = asdict(config)
        self._ended[identity] = asyncio.Event()
        return identity

    def known(self, container_id: str) -> ContainerStatus:
        if container_id not in self._containers:
            raise NotFound(f'an error occurred when try to find container "{container_id}": not found')
        return self._containers[container_id]

    async def start_container(self, container_id: str) -> None:
        status = self.known(container_id)
        try:
            told = await shims.ask(self.directory(status.sandbox_id), verb="start", id=container_id)
        except CriError as problem:
            command = spec.shown_command(Path(self.folder(status)))
            detail = str(problem)
            if not detail.startswith("exec:"):
                detail = f'exec: "{command}": {_stat_message(command, problem)}'
            text = CREATE_FAILED + detail
            now = self.clock.now()
            failed = replace(
                status, state=cri.EXITED, reason="StartError", message=text, exit_code=128, finished_at=now
            )
            self._containers[container_id] = failed
            write(
                os.path.join(self.folder(status), "exit.json"),
                {"exit_code": 128, "finished_at": now, "reason": "StartError", "message": text},
            )
            self._ended[container_id].set()
            raise CriError(text, "RunContainerError") from None
        if self._containers[container_id].state == cri.CREATED:
            self._containers[container_id] = replace(
                status, state=cri.RUNNING, pid=told["pid"], started_at=told["started_at"]
            )
        exit_file = Path(self.folder(status), "exit.json")
        if self._containers[container_id].state == cri.RUNNING and exit_file.exists():
            self._set_ended(container_id, json.loads(exit_file.read_text()))

    def _set_ended(self, container_id: str, told: dict[str, Any]) -> None:
        status = self._containers.get(container_id)
        if status is None or status.state == cri.EXITED:
            return
        code = int(told["exit_code"])
        reason = told.get("reason") or ("OOMKilled" if told.get("oom") else "Completed" if code == 0 else "Error")
        if status.state == cri.CREATED and not status.started_at:
            state = Path(self.folder(status), "state.json")
            with contextlib.suppress(OSError, ValueError):
                status = replace(status, started_at=json.loads(state.read_text())["started_at"])
        self._containers[container_id] = replace(
            status,
            state=cri.EXITED,
            exit_code=code,
            signal=int(told.get("signal", 0)),
            finished_at=float(told["finished_at"]),
            reason=reason,
            message=told.get("message", ""),
            pid=0,
        )
        self._ended[container_id].set()
        sandbox = self._sandboxes.get(status.sandbox_id)
        if sandbox is not None:
            self._events.put_nowait(cri.ContainerEvent(container_id, "CONTAINER_STOPPED_EVENT", sandbox.uid))

    async def stop_container(self, container_id: str, timeout: float) -> None:
        """The image's stop signal, then after `timeout` seconds SIGKILL. Returns when the container has ended."""
        status = self.known(container_id)
        if status.state != cri.RUNNING:
            return
        directory = self.directory(status.sandbox_id)
        ended = self._ended[container_id]
        if timeout > 0:
            standin = catalogue.find(status.image)
            wanted = self._configs[container_id].get("stop_signal") or (standin.stop_signal if standin else "SIGTERM")
            number = getattr(signal, wanted, signal.SIGTERM)
            with contextlib.suppress(CriError):
                await shims.ask(directory, verb="signal", id=container_id, signal=int(number))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), timeout)
        if not ended.is_set():
            try:
                await shims.ask(directory, verb="signal", id=container_id, signal=int(signal.SIGKILL))
            except CriError:
                shims.kill_leftovers(directory)
            try:
                await asyncio.wait_for(ended.wait(), 10)
            except TimeoutError:
                raise CriError(f"container {container_id} did not end") from None

    async def remove_container(self, container_id: str) -> None:
        status = self._containers.get(container_id)
        if status is None:
            return
        await self.stop_container(container_id, 0)
        with contextlib.suppress(CriError):
            await shims.ask(self.directory(status.sandbox_id), verb="forget", id=container_id)
        folder = self.folder(status)
        cgroups.remove(Path(folder, "spec.json"))
        remove_tree(folder)
        del self._containers[container_id], self._configs[container_id], self._ended[container_id]

    async def list_containers(self, pod_uid: str | None = None) -> list[ContainerStatus]:
        if pod_uid is None:
            return list(self._containers.values())
        ids = {sandbox.id for sandbox in self._sandboxes.values() if sandbox.uid == pod_uid}
        return [status for status in self._containers.values() if status.sandbox_id in ids]

    async def container_status(self, container_id: str) -> ContainerStatus:
        return self.known(container_id)

    async def update_container_resources(self, container_id: str, resources: cri.Resources) -> None:
        status = self.known(container_id)
        made = Path(self.folder(status), "spec.json")
        try:
            cgroups.update(made, resources)
        except OSError as problem:
            raise CriError(f"failed to update resources: {problem}") from None
        if not json.loads(made.read_text()).get("oom_files"):
            limit = resources.memory_limit
            await shims.ask(self.directory(status.sandbox_id), verb="limit", id=container_id, memory=limit)

    async def container_stats(self, container_id: str) -> dict[str, float]:
        status = self.known(container_id)
        return cgroups.stats(Path(self.folder(status), "spec.json"), status.pid) if status.pid else {}

    # -- streams and images --------------------------------------------------------------------------------------

    @property
    def namespaced(self) -> bool:
        return self._network.namespaced

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

    async def events(self) -> AsyncIterator[cri.ContainerEvent]:
        while True:
            yield await self._events.get()


def _stat_message(command: str, problem: CriError) -> str:
    if problem.reason == "2" and command.startswith("/"):
        return f"stat {command}: no such file or directory"
    return str(problem).lower()
