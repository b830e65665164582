"""The `docker` runtime: pods on a Docker Engine, under dockershim's names, so that `docker ps | grep k8s_` shows them.

A pod's sandbox is a container that only pauses; its containers join its network and IPC namespaces. The engine is the
only memory: a new kubelet lists what carries its label and goes on. `docker_objects.py` (pure) translates,
`docker_calls.py` asks the engine (by the `docker` package, in threads; `docker_engine.py` reaches it),
`docker_streams.py` and `docker_logs.py` hold what does not end with an answer.

Network: with CNI type `bridge` (mode root) Docker gives the sandbox none and our plugin wires its namespace to the
node's bridge, as dockershim had it done: pods reach Services. With type `loopback` (mode plain) the sandbox is on
Docker's own bridge: the host and kube-proxy reach the pod, the pod reaches no Service (127.x is its own loopback).
A container's log is followed into the kubelet's log directory, where every runtime's logs are.

Upstream: `pkg/kubelet/dockershim` of v1.23 (removed in 1.24), today Mirantis/cri-dockerd.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import docker.errors

from workshop.clock import SYSTEM, Clock
from workshop.kubelet import cri
from workshop.kubelet.cri import ContainerStatus, CriError, NotFound, PodSandboxStatus
from workshop.kubelet.images import catalogue
from workshop.kubelet.network import NetworkError
from workshop.kubelet.runtimes import docker_logs
from workshop.kubelet.runtimes import docker_objects as objects
from workshop.kubelet.runtimes import docker_streams as streams
from workshop.kubelet.runtimes.docker_calls import DockerCalls
from workshop.kubelet.runtimes.docker_engine import (
    dial_inside,
    is_here,
    may_lower_oom,
    reference,
)
from workshop.kubelet.runtimes.output import collect

log = logging.getLogger(__name__)

DRAIN = 5.0  # seconds an ended container's log may take to arrive
SANDBOX_GRACE = 2.0


class DockerRuntime(DockerCalls):
    """cri.Runtime on a Docker Engine."""

    def __init__(
        self, url: str, root_dir: str, cni_conf_dir: str, node_ip: str, *, pause_image: str = "", clock: Clock = SYSTEM
    ) -> None:
        super().__init__(url, root_dir, cni_conf_dir, node_ip, clock)
        self._pause = pause_image or os.environ.get("WORKSHOP_PAUSE_IMAGE", "") or objects.PAUSE_IMAGE
        self._may_lower_oom = may_lower_oom()
        self._ended: dict[str, ContainerStatus] = {}
        self._image_facts: dict[str, dict[str, Any]] = {}

    # -- life ----------------------------------------------------------------------------------------------------

    async def _take_up(self) -> None:
        """Addresses of our sandboxes and logs of our containers, from where an earlier kubelet left them."""
        for found in await self._inspected(objects.SANDBOX):
            address = self._checkpoint(found["Id"])
            if address and self._network.plugin is not None and self._network.namespaced:
                await self._network.plugin.adopt(found["Id"], address)
        for found in await self._inspected(objects.CONTAINER):
            self._follow_log(found)

    async def status(self) -> cri.RuntimeStatus:
        ready = cri.RuntimeCondition("RuntimeReady", True)
        try:
            await self._connect()
            await self._call(self._engine.ping)
        except CriError as problem:
            ready = cri.RuntimeCondition("RuntimeReady", False, "DockerDaemonNotReady", f"docker: {problem}")
        return cri.RuntimeStatus("docker", self._version, (ready, await self._network.condition()))

    def port_shift(self, port: int) -> int:
        """A container has a network of its own: every port may be bound."""
        return port

    # -- sandboxes -----------------------------------------------------------------------------------------------

    def _checkpoint(self, sandbox_id: str) -> str:
        """The address our plugin gave; "" where there is none."""
        try:
            return str(json.loads(self._file(sandbox_id).read_text())["ip"])
        except (OSError, ValueError, KeyError):
            return ""

    def _file(self, sandbox_id: str) -> Path:
        return self._checkpoints / f"{sandbox_id[:12]}.json"

    async def run_pod_sandbox(self, config: cri.PodSandboxConfig) -> str:
        await self._connect()
        if self._network.plugin is None and not config.host_network:
            raise CriError(f"failed to setup network for sandbox: {self._network.problem}")
        if await self.image_status(self._pause) is None:
            try:
                await self.pull_image(self._pause)
            except CriError as problem:
                raise CriError(f'failed pulling image "{self._pause}": {problem}') from None
        own = self._network.namespaced
        body = objects.sandbox_body(
            config,
            self._owner,
            self._pause,
            own_network=own,
            node_ip=self._node_ip,
            may_lower_oom=self._may_lower_oom,
        )
        try:
            identity = await self._create(body, objects.sandbox_name(config))
        except CriError as problem:
            raise CriError(f'failed to create a sandbox for pod "{config.name}": {problem}') from None
        try:
            await self._call(self._engine.start, identity)
            if own and not config.host_network and self._network.plugin is not None:
                pid = (await self._call(self._engine.inspect_container, identity))["State"]["Pid"]
                address = await self._network.plugin.attach(identity, pid)
                self._file(identity).write_text(json.dumps({"ip": address}))
        except (CriError, NetworkError, OSError) as problem:
            await self._remove(identity)
            raise CriError(f'failed to start sandbox container for pod "{config.name}": {problem}') from None
        return identity

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        await self._connect()
        try:
            sandbox = await self.pod_sandbox_status(sandbox_id)
        except NotFound:
            return
        for status in await self.list_containers(sandbox.uid):
            if status.sandbox_id == sandbox_id and status.state == cri.RUNNING:
                await self.stop_container(status.id, 0)
        await self._stop(sandbox_id, SANDBOX_GRACE if sandbox.state == cri.READY else 0, "SIGTERM")
        if self._network.plugin is not None and self._network.namespaced:
            await self._network.plugin.detach(sandbox_id)

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        await self.stop_pod_sandbox(sandbox_id)
        for found in await self._inspected(objects.CONTAINER):
            if found["Config"]["Labels"].get(objects.SANDBOX_ID) == sandbox_id:
                await self.remove_container(found["Id"])
        await self._remove(sandbox_id)
        self._file(sandbox_id).unlink(missing_ok=True)

    def _sandbox(self, found: dict[str, Any]) -> PodSandboxStatus:
        return objects.sandbox_status(found, self._checkpoint(found["Id"]), self._node_ip)

    async def pod_sandbox_status(self, sandbox_id: str) -> PodSandboxStatus:
        await self._connect()
        return self._sandbox(await self._call(self._engine.inspect_container, sandbox_id))

    async def list_pod_sandbox(self, pod_uid: str | None = None) -> list[PodSandboxStatus]:
        return [self._sandbox(found) for found in await self._inspected(objects.SANDBOX, pod_uid)]

    # -- containers ----------------------------------------------------------------------------------------------

    async def create_container(
        self, sandbox_id: str, config: cri.ContainerConfig, sandbox: cri.PodSandboxConfig
    ) -> str:
        await self._connect()
        target = ""
        if config.security.target_container:
            running = [c for c in await self.list_containers(sandbox.uid) if c.state == cri.RUNNING]
            target = next((c.id for c in running if c.name == config.security.target_container), "")
        log_path = os.path.join(sandbox.log_directory, config.log_path)
        body = objects.container_body(
            sandbox_id, config, sandbox, self._owner, log_path, target, may_lower_oom=self._may_lower_oom
        )
        try:
            return await self._create(body, objects.container_name(config, sandbox))
        except CriError as problem:
            raise CriError(f"failed to create container: {problem}", "CreateContainerError") from None

    async def start_container(self, container_id: str) -> None:
        await self._connect()
        try:
            await self._call(self._engine.start, container_id)
        except NotFound:
            raise
        except CriError as problem:
            text = f'failed to start container "{container_id}": {problem}'
            raise CriError(text, "RunContainerError") from None
        found = await self._inspect(container_id)
        if found is not None:
            self._follow_log(found)

    async def stop_container(self, container_id: str, timeout: float) -> None:
        """The image's stop signal, then after `timeout` seconds SIGKILL. Returns when the container has ended."""
        await self._connect()
        found = await self._call(self._engine.inspect_container, container_id)
        await self._stop(container_id, timeout, found["Config"].get("StopSignal") or "SIGTERM")

    async def remove_container(self, container_id: str) -> None:
        await self._connect()
        await self._remove(container_id)
        task = self._logs.pop(container_id, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._ended.pop(container_id, None)

    async def list_containers(self, pod_uid: str | None = None) -> list[ContainerStatus]:
        found = await self._inspected(objects.CONTAINER, pod_uid)
        return list(await asyncio.gather(*(self._status(one) for one in found)))

    async def container_status(self, container_id: str) -> ContainerStatus:
        await self._connect()
        return await self._status(await self._call(self._engine.inspect_container, container_id))

    async def _status(self, found: dict[str, Any]) -> ContainerStatus:
        """What an ended container said is all in its log before it is told to have ended."""
        if found["Id"] in self._ended:
            return self._ended[found["Id"]]
        status = objects.container_status(found, await self._image_of(found["Image"]))
        if status.state == cri.EXITED:
            task = self._logs.get(status.id)
            if task is not None:
                await asyncio.wait([task], timeout=DRAIN)
            self._ended[status.id] = status
        return status

    async def _image_of(self, identity: str) -> dict[str, Any]:
        """An image's facts by id; empty when it has been removed since."""
        if identity not in self._image_facts:
            try:
                self._image_facts[identity] = await self._call(self._engine.inspect_image, identity)
            except NotFound:
                return {}
        return self._image_facts[identity]

    async def update_container_resources(self, container_id: str, resources: cri.Resources) -> None:
        await self._connect()
        limits = objects.limits(resources)
        names = {"Memory": "mem_limit", "MemorySwap": "memswap_limit", "CpuShares": "cpu_shares",
                 "CpuQuota": "cpu_quota", "CpuPeriod": "cpu_period"}  # fmt: skip
        await self._call(self._engine.update_container, container_id, **{names[key]: v for key, v in limits.items()})

    async def container_stats(self, container_id: str) -> dict[str, float]:
        endpoint = await self._connect()
        query = {"stream": "false", "one-shot": "true"}
        told = await endpoint.read("GET", f"/containers/{container_id}/stats", query)
        return objects.stats(told)

    # -- logs ----------------------------------------------------------------------------------------------------

    def _follow_log(self, found: dict[str, Any]) -> None:
        path = found["Config"]["Labels"].get(objects.LOG_PATH)
        if self._streams and path and found["Id"] not in self._logs and objects.moment(found["State"]["StartedAt"]):
            follow = docker_logs.follow(self._streams, found["Id"], path, tty=found["Config"]["Tty"])
            self._logs[found["Id"]] = self._spawn(follow)

    # -- streams -------------------------------------------------------------------------------------------------

    async def exec_sync(self, container_id: str, command: list[str], timeout: float) -> cri.ExecResult:
        """Raises CriError with reason `Timeout`; the engine cannot end what it began, so the process stays."""
        session = await self.exec(container_id, command, stdin=False, tty=False)
        return await collect(session, command, timeout)

    async def exec(self, container_id: str, command: list[str], *, stdin: bool, tty: bool) -> cri.Stream:
        endpoint = await self._connect()
        made = await self._call(self._engine.exec_create, container_id, command, stdin=stdin, tty=tty)
        identity = made["Id"]
        body = {"Detach": False, "Tty": tty}
        reader, writer = await endpoint.open("POST", f"/exec/{identity}/start", body=body, take_over=True)

        async def ended() -> int:
            code = None
            for _ in range(50):  # the output ends a moment before the exit code is known
                code = (await self._call(self._engine.exec_inspect, identity))["ExitCode"]
                if code is not None:
                    return int(code)
                await self.clock.sleep(0.05)
            return 137

        async def resized(width: int, height: int) -> None:
            with contextlib.suppress(CriError):  # it may have ended meanwhile
                await self._call(self._engine.exec_resize, identity, height=height, width=width)

        return streams.Session(reader, writer, tty=tty, ended=ended, resized=resized)

    async def attach(self, container_id: str) -> cri.Stream:
        endpoint = await self._connect()
        found = await self._call(self._engine.inspect_container, container_id)
        query = {"stream": 1, "stdout": 1, "stderr": 1, "stdin": int(found["Config"]["OpenStdin"])}
        path = f"/containers/{container_id}/attach"
        reader, writer = await endpoint.open("POST", path, query, take_over=True)

        async def ended() -> int:
            return int((await endpoint.read("POST", f"/containers/{container_id}/wait"))["StatusCode"])

        async def resized(width: int, height: int) -> None:
            with contextlib.suppress(CriError):
                await self._call(self._engine.resize, container_id, height=height, width=width)

        return streams.Session(reader, writer, tty=found["Config"]["Tty"], ended=ended, resized=resized)

    async def port_forward(self, sandbox_id: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the pod's own loopback where we may enter its network namespace, else to its address."""
        sandbox = await self.pod_sandbox_status(sandbox_id)
        addresses = [sandbox.ip]
        if sandbox.host_network:
            addresses = ["127.0.0.1", sandbox.ip]
        elif os.geteuid() == 0 and is_here(sandbox):
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(sock=await asyncio.to_thread(dial_inside, sandbox.pid, port))
        for address in addresses:
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(address, port)
        raise CriError(f"failed to connect to localhost:{port} inside namespace {sandbox.id}: connection refused")

    # -- images --------------------------------------------------------------------------------------------------

    async def pull_image(self, image: str) -> str:
        await self._connect()
        name, tag = reference(image)

        def pull() -> None:
            for told in self._engine.pull(name, tag=tag, stream=True, decode=True):
                if "error" in told:
                    raise docker.errors.APIError(told["error"], explanation=told["error"])

        try:
            await self._call(pull)
        except CriError as problem:
            raise CriError(str(problem)) from None
        return objects.pullable(await self._call(self._engine.inspect_image, image))

    async def list_images(self) -> list[cri.Image]:
        if self._streams is None:
            return []
        try:
            return [objects.image(found) for found in await self._call(self._engine.images)]
        except CriError as problem:
            log.warning("listing images: %s", problem)
            return []

    async def image_status(self, image: str) -> cri.Image | None:
        catalogue.parse(image)
        await self._connect()
        try:
            return objects.image(await self._call(self._engine.inspect_image, image))
        except NotFound:
            return None

    async def remove_image(self, image: str) -> None:
        await self._connect()
        with contextlib.suppress(NotFound):
            await self._call(self._engine.remove_image, image)
