"""Making a pod's sandbox, and pulling, creating and starting one of its containers.

Upstream: `pkg/kubelet/kuberuntime/kuberuntime_sandbox.go`, `kuberuntime_container.go` (`startContainer`).
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Awaitable, Callable

from workshop.kubelet import configs, cri, pods, unheeded
from workshop.kubelet.actions import Kill
from workshop.kubelet.backoff import Backoff, go_duration
from workshop.kubelet.env import ConfigError, container_environment
from workshop.kubelet.image_manager import Problem
from workshop.kubelet.images import catalogue
from workshop.kubelet.lifecycle import Hooks
from workshop.kubelet.pod_parts import Parts, Worker, grace_of
from workshop.kubelet.pods import Obj, Observed
from workshop.kubelet.termination_message import message_file
from workshop.kubelet.volumes import VolumeError, images, mounts, reader

SHIFTED = "workshop/shifted-ports"
RETRY = 1.0
MOUNT_RETRY, LONGEST_MOUNT_RETRY = 0.5, 122.0
"""Upstream: `goroutinemap/exponentialbackoff`."""


class Starter:
    """`observe` looks at a pod's containers; `wake_later(worker, seconds)` has its pod looked at again."""

    def __init__(
        self,
        parts: Parts,
        backoff: Backoff,
        observe: Callable[[Obj], Awaitable[Observed]],
        wake_later: Callable[[Worker, float], None],
        kill: Callable[[Obj, Observed, Kill, float], Awaitable[None]],
    ) -> None:
        self._parts, self._backoff, self._observe, self._wake_later = parts, backoff, observe, wake_later
        self._kill, self._hooks = kill, Hooks(parts.runtime, parts.shift, parts.clock, parts.event)

    def log_directory(self, pod: Obj) -> str:
        """`<root-dir>/log/pods/NAMESPACE_NAME_UID`, as below /var/log/pods."""
        m = pod["metadata"]
        return os.path.join(
            self._parts.config.root_dir, "log", "pods", f"{m.get('namespace', 'default')}_{m['name']}_{m['uid']}"
        )

    def _attempts(self, pod: Obj, name: str) -> int:
        """How often a container that the runtime does not know any more was begun: its logs tell."""
        with contextlib.suppress(OSError):
            logs = (log.split(".")[0] for log in os.listdir(os.path.join(self.log_directory(pod), name)))
            return max((int(number) + 1 for number in logs if number.isdigit()), default=0)
        return 0

    def _sandbox_config(self, pod: Obj, attempt: int) -> cri.PodSandboxConfig:
        config = self._parts.config
        return configs.sandbox_config(pod, attempt, self.log_directory(pod), config.cluster_dns, config.cluster_domain)

    async def create_sandbox(self, worker: Worker, attempt: int) -> bool:
        pod = worker.pod
        if not self._parts.simulated:
            await self._parts.fetch(pod)
            try:
                await self.mount(worker, Observed())
            except VolumeError as problem:
                self._parts.event(pod, "Warning", "FailedMount", str(problem), "")
                worker.mount_pause = min(max(2 * worker.mount_pause, MOUNT_RETRY), LONGEST_MOUNT_RETRY)
                self._wake_later(worker, worker.mount_pause)
                return False
            worker.mount_pause = 0.0
        try:
            await self._parts.runtime.run_pod_sandbox(self._sandbox_config(pod, attempt))
        except (cri.CriError, ConfigError) as problem:
            said = problem if isinstance(problem, ConfigError) else f"rpc error: code = Unknown desc = {problem}"
            text = f"Failed to create pod sandbox: {said}"
            self._parts.event(pod, "Warning", "FailedCreatePodSandBox", text, "")
            self._wake_later(worker, RETRY)
            return False
        self._tell_shifted_ports(pod)
        if not attempt:
            self._tell_unheeded(pod)
        return True

    def _tell_pull_secrets(self, pod: Obj) -> None:
        """The stand-ins' registry asks for no password, and yet it is told which ones are not there."""
        named = [ref["name"] for ref in pod["spec"].get("imagePullSecrets") or () if ref.get("name")]
        namespace = pod["metadata"].get("namespace", "default")
        if self._parts.simulated:
            return
        if missing := [name for name in named if self._parts.lookup("Secret", namespace, name) is None]:
            said = f"Unable to retrieve some image pull secrets ({', '.join(missing)})"
            why = f"{said}; attempting to pull the image may not succeed."
            self._parts.event(pod, "Warning", "FailedToRetrieveImagePullSecret", why, "")

    def _tell_unheeded(self, pod: Obj) -> None:
        able = self._parts.abilities()
        if able is not None and (found := unheeded.of(pod, able)):
            self._parts.event(pod, "Warning", "NotEnforced", unheeded.message(found, able), "")

    def _tell_shifted_ports(self, pod: Obj) -> None:
        """Mode plain: which ports could not be bound, and are found elsewhere."""
        wanted = {port["containerPort"] for c in pods.containers(pod) for port in c.get("ports") or ()}
        wanted |= {port for c in pods.containers(pod) for port in default_ports(c["image"])}
        shifted = {port: self._parts.shift(port) for port in sorted(wanted) if self._parts.shift(port) != port}
        if not shifted or SHIFTED in (pod["metadata"].get("annotations") or {}):
            return
        said = ", ".join(f"{port} is at {other}" for port, other in shifted.items())
        self._parts.event(pod, "Normal", "PortShifted", f"Ports that only root may bind are shifted: {said}", "")
        self._parts.annotate(pod, {SHIFTED: ",".join(f"{port}={other}" for port, other in shifted.items())})

    def addresses(self, observed: Observed) -> dict[str, str]:
        sandbox = observed.sandbox()
        address, host = sandbox.ip if sandbox else "", self._parts.config.node_ip
        return {"podIP": address, "podIPs": address, "hostIP": host, "hostIPs": host}

    async def mount(self, worker: Worker, observed: Observed) -> dict[str, str]:
        stamp = f"{self._parts.clock.now():.6f}".replace(".", "_")
        return await self._parts.volumes.prepare(worker.pod, self.addresses(observed), stamp)

    def _key(self, pod: Obj, name: str) -> str:
        return f"{pod['metadata']['uid']}/{name}"

    async def start(self, worker: Worker, name: str) -> bool:
        """Pull, create and start one container; False when that has to wait."""
        pod, now = worker.pod, self._parts.clock.now()
        container = pods.container_named(pod, name)
        if container is None:
            return False
        observed = await self._observe(pod)
        latest = observed.latest(name)
        sandbox = observed.sandbox()
        if sandbox is None:
            return False
        key = self._key(pod, name)
        if latest is not None and latest.state == cri.EXITED:
            left = self._backoff.remaining(key, latest.finished_at, now)
            if left > 0:
                wait = go_duration(self._backoff.wait(key))
                text = f"back-off {wait} restarting failed container={name} pod={pods.full_name(pod)}"
                if worker.waiting.get(name) != ("CrashLoopBackOff", text):
                    said = f"Back-off restarting failed container {name} in pod {pods.full_name(pod)}"
                    self._parts.event(pod, "Warning", "BackOff", said, name)
                worker.waiting[name] = ("CrashLoopBackOff", text)
                self._wake_later(worker, left)
                return False
            self._backoff.next(key, latest.finished_at, now)
        self._tell_pull_secrets(pod)
        problem = await self._parts.images.ensure(pod, container) or await self._ensure_volumes(pod, container)
        if problem is not None:
            worker.waiting[name] = (problem.reason, problem.message)
            if problem.retry_after:
                self._wake_later(worker, problem.retry_after)
            return False
        attempt = latest.attempt + 1 if latest else self._attempts(pod, name)
        if latest is not None and latest.state == cri.CREATED:
            attempt = latest.attempt
            await self._parts.runtime.remove_container(latest.id)
        return await self._create_and_start(worker, container, attempt, observed, sandbox)

    async def _ensure_volumes(self, pod: Obj, container: Obj) -> Problem | None:
        """The images that are the pod's volumes are there, too."""
        for volume in () if self._parts.simulated else images(pod).values():
            wanted = {
                "image": volume["reference"],
                "imagePullPolicy": volume.get("pullPolicy"),
                "name": container["name"],
            }
            problem = await self._parts.images.ensure(pod, wanted)
            if problem is not None:
                return problem
        return None

    async def _create_and_start(
        self, worker: Worker, container: Obj, attempt: int, observed: Observed, sandbox: cri.PodSandboxStatus
    ) -> bool:
        pod, name = worker.pod, container["name"]
        try:
            config = await self._container_config(worker, container, attempt, observed)
        except (ConfigError, VolumeError) as problem:
            worker.waiting[name] = ("CreateContainerConfigError", str(problem))
            self._parts.event(pod, "Warning", "Failed", f"Error: {problem}", name)
            self._wake_later(worker, 10 * RETRY)
            return False
        try:
            identity = await self._parts.runtime.create_container(
                sandbox.id, config, self._sandbox_config(pod, sandbox.attempt)
            )
        except cri.CriError as problem:
            worker.waiting[name] = ("CreateContainerError", str(problem))
            self._parts.event(pod, "Warning", "Failed", f"Error: {problem}", name)
            self._wake_later(worker, 10 * RETRY)
            return False
        self._parts.event(pod, "Normal", "Created", "Container created", name)
        try:
            await self._parts.runtime.start_container(identity)
        except cri.CriError as problem:
            worker.waiting[name] = ("RunContainerError", str(problem))
            self._parts.event(pod, "Warning", "Failed", f"Error: {problem}", name)
            worker.dirty = True
            return False
        self._parts.event(pod, "Normal", "Started", "Container started", name)
        worker.actual[name] = container.get("resources") or {}
        worker.waiting.pop(name, None)
        await self._post_start(worker, container, identity, observed, sandbox.ip)
        return True

    async def _container_config(
        self, worker: Worker, container: Obj, attempt: int, observed: Observed
    ) -> cri.ContainerConfig:
        pod, name = worker.pod, container["name"]
        target = container.get("targetContainerName")
        if target and observed.latest(target) is None:
            raise ConfigError(f"unable to find target container {target}")
        if self._parts.simulated:
            return configs.container_config(pod, container, attempt, values={}, mounts=[])
        paths = await self.mount(worker, observed)
        values = container_environment(
            pod,
            container,
            services=self._parts.services(),
            lookup=self._parts.lookup,
            status=self.addresses(observed),
            allocatable=self._parts.allocatable,
            read=reader(paths),
        )
        found = mounts(container, paths, values, images(pod))
        message = message_file(self._parts.volumes, pod, name, attempt)
        os.makedirs(os.path.dirname(message), mode=0o711, exist_ok=True)
        with open(message, "wb"):
            os.chmod(message, 0o666)
        found.append(cri.Mount(container.get("terminationMessagePath") or "/dev/termination-log", message))
        sandbox = observed.sandbox()
        if sandbox and all(m.container_path != "/etc/hosts" for m in found):
            hosts = os.path.join(self._parts.volumes.directory(pod["metadata"]["uid"]), "etc-hosts")
            own = "" if not sandbox.host_network else pathlib.Path("/etc/hosts").read_text()
            with open(hosts, "w") as file:
                file.write(configs.etc_hosts(pod, sandbox.ip, self._parts.config.cluster_domain, own))
            found.append(cri.Mount("/etc/hosts", hosts))
        return configs.container_config(
            pod, container, attempt, values=values, mounts=found, memory_capacity=self._parts.memory
        )

    async def _post_start(
        self, worker: Worker, container: Obj, identity: str, observed: Observed, address: str
    ) -> None:
        """A container whose hook fails is ended; why is said in its status, not in an event (it may hold secrets)."""
        pod, name = worker.pod, container["name"]
        handler = (container.get("lifecycle") or {}).get("postStart")
        if not handler or self._parts.simulated:
            return
        problem = await self._hooks.run(handler, pod, container, identity, address)
        if problem:
            self._parts.event(pod, "Warning", "FailedPostStartHook", "PostStartHook failed", name)
            await self._kill(pod, observed, Kill(identity, name, "FailedPostStartHook"), grace_of(pod))
            worker.waiting[name] = ("PostStartHookError", problem)


def default_ports(image: str) -> tuple[int, ...]:
    """The ports that an image listens on by itself."""
    try:
        standin = catalogue.find(image)
    except catalogue.InvalidImageName:
        return ()
    return standin.ports if standin else ()
