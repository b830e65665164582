"""The containers of the `process` runtime: their folders on disk, their lives under the pod's shim, their limits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from workshop.clock import Clock
from workshop.kubelet import cri
from workshop.kubelet.cri import ContainerStatus, CriError, NotFound, PodSandboxStatus
from workshop.kubelet.images import catalogue
from workshop.kubelet.images.unpack import unpack
from workshop.kubelet.runtimes import cgroups, shims, spec
from workshop.kubelet.runtimes.files import new_id, remove_tree, write
from workshop.kubelet.runtimes.networking import OnNodeNetwork
from workshop.kubelet.runtimes.standins import image_ref, placed

KILLED_WITHOUT_SHIM = 137

# what containerd and runc say before the reason
CREATE_FAILED = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
    "unable to start container process: error during container init: "
)


class ProcessContainers(OnNodeNetwork):
    """CRI's verbs about containers. Those about sandboxes, which have a shim each, are `process.py`'s."""

    def __init__(self, root_dir: str, cni_conf_dir: str, node_ip: str, hide: tuple[str, ...], clock: Clock) -> None:
        super().__init__(cni_conf_dir, node_ip, clock)
        self._hide = [root_dir, *hide]
        self.run_dir = os.path.join(root_dir, "run")
        self.image_dir = os.path.join(root_dir, "images")
        self._sandboxes: dict[str, PodSandboxStatus] = {}
        self._containers: dict[str, ContainerStatus] = {}
        self._configs: dict[str, dict[str, Any]] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self._first: dict[str, int] = {}
        """Sandbox → the pid of the first process of a pod whose containers share their processes."""

    def directory(self, sandbox_id: str) -> str:
        return os.path.join(self.run_dir, sandbox_id[:12])

    async def pod_sandbox_status(self, sandbox_id: str) -> PodSandboxStatus:
        if sandbox_id not in self._sandboxes:
            raise NotFound(f'an error occurred when try to find sandbox "{sandbox_id}": not found')
        return self._sandboxes[sandbox_id]

    def folder(self, status: ContainerStatus) -> str:
        return os.path.join(self.directory(status.sandbox_id), "c", status.id[:12])

    async def _share_processes(self, sandbox: PodSandboxStatus, config: cri.PodSandboxConfig) -> int:
        """Start `pause` as the first process of a namespace that the pod's containers enter; its pid."""
        identity, image = new_id(), "registry.k8s.io/pause:3.10"
        standin = catalogue.find(image)
        assert standin is not None
        folder = os.path.join(self.directory(sandbox.id), "c", identity[:12])
        os.makedirs(folder, mode=0o711)
        root = await asyncio.to_thread(unpack, standin, self.image_dir)
        made = spec.container_spec(
            identity,
            cri.ContainerConfig("POD", 0, image),
            config,
            sandbox,
            standin,
            image_root=root,
            folder=folder,
            namespaced=True,
            hide=self._hide,
            port_shift=0,
            log_path=os.path.join(self.directory(sandbox.id), "pause.log"),
        )
        write(os.path.join(folder, "spec.json"), made)
        return int((await shims.ask(self.directory(sandbox.id), verb="start", id=identity))["pid"])

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
            user=spec.user(config.security, namespaced=self._network.namespaced),
        )
        folder = self.folder(status)
        os.makedirs(folder, mode=0o711)
        namespaced = self._network.namespaced
        status = replace(status, layer=os.path.join(folder, "layer/upper" if namespaced else "rootfs"))
        targets = [
            c.pid
            for c in self._containers.values()
            if c.name == config.security.target_container and c.sandbox_id == sandbox_id and c.state == cri.RUNNING
        ]
        try:
            made = spec.container_spec(
                identity,
                replace(config, mounts=tuple(placed(m, self.image_dir) if m.image else m for m in config.mounts)),
                sandbox,
                known,
                standin,
                image_root=await asyncio.to_thread(unpack, standin, self.image_dir),
                folder=folder,
                namespaced=namespaced,
                hide=self._hide,
                port_shift=self._network.port_shift,
                log_path=status.log_path,
                target_pid=targets[-1] if targets else self._first.get(sandbox_id, 0),
            )
            if namespaced:
                made |= cgroups.for_container(known.uid, identity, config.resources, sandbox.resources)
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

    # -- what happened while nobody looked -----------------------------------------------------------------------

    def _adopt_container(self, folder: Path, *, shim_lives: bool) -> None:
        raw = json.loads((folder / "config.json").read_text())
        told_user = raw["status"].get("user")
        user = cri.User(told_user["uid"], told_user["gid"], tuple(told_user["groups"])) if told_user else None
        status = ContainerStatus(**{**raw["status"], "user": user})
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

    def _catch_up(self, directory: str, running: set[str]) -> None:
        """What ended between our look at the disk and the subscription."""
        for status in list(self._containers.values()):
            if self.directory(status.sandbox_id) != directory or status.state != cri.RUNNING or status.id in running:
                continue
            told: dict[str, Any] = {"exit_code": KILLED_WITHOUT_SHIM, "signal": 9, "finished_at": self.clock.now()}
            with contextlib.suppress(OSError, ValueError):
                told = json.loads(Path(directory, "c", status.id[:12], "exit.json").read_text())
            self._set_ended(status.id, told)


def _stat_message(command: str, problem: CriError) -> str:
    if problem.reason == "2" and command.startswith("/"):
        return f"stat {command}: no such file or directory"
    return str(problem).lower()
