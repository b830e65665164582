"""The acting half of kubelet: bring one pod to what its spec says.

Each pod has a `Worker`, and a task only while there is something to do: a change of the object, an event of the
runtime, the verdict of a probe or the end of a waiting time mark it dirty, and `_run` syncs until it is clean.
Upstream: `pkg/kubelet/pod_workers.go`, `kubelet.go` (`SyncPod`, `SyncTerminatingPod`), `kuberuntime_manager.go`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from workshop import trace
from workshop.api import meta
from workshop.clock import Clock
from workshop.kubelet import configs, cri, pods, status
from workshop.kubelet.actions import Health, Kill, compute_pod_actions
from workshop.kubelet.backoff import Backoff, go_duration
from workshop.kubelet.config import KubeletConfig
from workshop.kubelet.env import ConfigError, Lookup, container_environment
from workshop.kubelet.image_manager import ImageManager
from workshop.kubelet.images import catalogue
from workshop.kubelet.pods import Obj, Observed
from workshop.kubelet.prober import Prober, run_hook
from workshop.kubelet.volumes import VolumeError, Volumes, mounts

log = logging.getLogger(__name__)

MINIMUM_GRACE = 2.0
SHIFTED = "workshop/shifted-ports"
RETRY = 1.0


class StatusSink(Protocol):
    """Where statuses go."""

    def set(self, pod: Obj, new: Obj) -> None: ...

    def last(self, uid: str) -> Obj | None: ...

    async def finish(self, pod: Obj) -> None: ...


Event = Callable[[Obj, str, str, str, str], None]  # (pod, type, reason, message, container name or "")


@dataclass
class Worker:
    """What kubelet remembers of a pod."""

    pod: Obj
    gone: bool = False  # the API server has no such pod any more
    seen: bool = False
    dirty: bool = False
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    waiting: dict[str, tuple[str, str]] = field(default_factory=dict)
    killed: tuple[str, str] = ("", "")  # (reason, message) when kubelet itself ends the pod
    start_time: float = 0.0
    hurried: set[asyncio.Task[None]] = field(default_factory=set)
    finished: bool = False
    since: dict[str, float] = field(default_factory=dict)


@dataclass
class Parts:
    """The node's parts that every worker uses."""

    config: KubeletConfig
    runtime: cri.Runtime
    clock: Clock
    volumes: Volumes
    images: ImageManager
    statuses: StatusSink
    event: Event
    lookup: Lookup
    fetch: Callable[[Obj], Awaitable[None]]
    services: Callable[[], Iterable[Obj]]
    allocatable: dict[str, str]
    memory: int
    shift: Callable[[int], int]
    simulated: bool
    runtime_name: str
    annotate: Callable[[Obj, dict[str, str]], None]


class PodWorkers:
    """All pods of this node, by uid."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.workers: dict[str, Worker] = {}
        self.backoff = Backoff()
        self.prober = Prober(parts.runtime, parts.clock, parts.shift, self._unhealthy, self.wake)
        self._adopted = True
        self._closing = False

    # -- what happens --------------------------------------------------------------------------------------------

    def update(self, pod: Obj) -> None:
        """The object was added or changed."""
        uid = pod["metadata"]["uid"]
        worker = self.workers.get(uid)
        if worker is None:
            worker = self.workers[uid] = Worker(pod, start_time=self.parts.clock.now())
        before, worker.pod = worker.pod, pod
        if _same_for_us(before, pod) and worker.seen:
            return
        worker.seen = True
        if pod["metadata"].get("deletionTimestamp") and worker.task and _grace(pod) < _grace(before):
            self._hurry(worker, _grace(pod))
        self.wake(uid)

    def removed(self, pod: Obj) -> None:
        """The object is gone; what still runs is ended at once."""
        worker = self.workers.get(pod["metadata"]["uid"])
        if worker is None:
            return
        worker.gone = True
        if worker.task:
            self._hurry(worker, 0 if pod["metadata"].get("deletionTimestamp") else _grace(pod))
        self.wake(pod["metadata"]["uid"])

    def wake(self, uid: str) -> None:
        """Look at a pod again."""
        worker = self.workers.get(uid)
        if worker is None or self._closing:
            return
        worker.dirty = True
        if worker.task is None:
            worker.task = asyncio.get_running_loop().create_task(self._run(uid, worker))

    def wake_all(self) -> None:
        for uid in list(self.workers):
            self.wake(uid)

    def _wake_later(self, worker: Worker, seconds: float) -> None:
        if worker.timer is not None:
            worker.timer.cancel()
        uid = worker.pod["metadata"]["uid"]
        worker.timer = asyncio.get_running_loop().call_later(max(0.01, seconds), self.wake, uid)

    def _hurry(self, worker: Worker, grace: float) -> None:
        """A shorter grace period came while the pod was already ending."""

        async def stop() -> None:
            observed = await self._observe(worker.pod)
            for container in observed.running():
                try:
                    await self.parts.runtime.stop_container(container.id, grace)
                except cri.CriError as problem:
                    log.debug("hurrying %s: %s", container.id, problem)

        task = asyncio.get_running_loop().create_task(stop())
        worker.hurried.add(task)
        task.add_done_callback(worker.hurried.discard)

    async def close(self) -> None:
        """End all tasks without touching a container."""
        self._closing = True
        tasks = [worker.task for worker in self.workers.values() if worker.task]
        tasks += [task for worker in self.workers.values() for task in worker.hurried]
        for worker in self.workers.values():
            if worker.timer:
                worker.timer.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.prober.close()

    # -- the loop of one pod -------------------------------------------------------------------------------------

    async def _run(self, uid: str, worker: Worker) -> None:
        try:
            while worker.dirty:
                worker.dirty = False
                try:
                    with trace.span("kubelet.sync", key=pods.full_name(worker.pod)):
                        trace.read(worker.pod)
                        await self._sync(worker)
                except (cri.CriError, VolumeError, OSError) as problem:
                    log.error("Error syncing pod, skipping: %s %s", pods.full_name(worker.pod), problem)
                    self._wake_later(worker, RETRY)
        except Exception:
            log.exception("pod worker of %s failed", pods.full_name(worker.pod))
            self._wake_later(worker, 10 * RETRY)
        finally:
            worker.task = None
            if worker.dirty and not self._closing:
                self.wake(uid)

    async def _observe(self, pod: Obj) -> Observed:
        uid = pod["metadata"]["uid"]
        sandboxes = await self.parts.runtime.list_pod_sandbox(uid)
        containers = await self.parts.runtime.list_containers(uid)
        if not self.parts.simulated:
            containers = [self._with_message(pod, c) for c in containers]
        return Observed(tuple(sandboxes), tuple(containers))

    async def _sync(self, worker: Worker) -> None:
        pod = worker.pod
        if worker.finished:
            if worker.gone:
                await self._forget(worker)
            return
        deleting = worker.gone or bool(pod["metadata"].get("deletionTimestamp"))
        done = pods.is_terminal((pod.get("status") or {}).get("phase"))
        if not deleting and not worker.killed[0] and not done:
            self._check_deadline(worker)
        if deleting or worker.killed[0] or done:
            await self._terminate(worker, deleting)
            return
        observed = await self._observe(pod)
        actions = compute_pod_actions(pod, observed, self._health())
        if actions.kill_pod:
            await self._kill_pod(worker, observed, _grace(pod))
            observed = await self._observe(pod)
        for kill in actions.kill:
            await self._kill_container(pod, observed, kill, _grace(pod))
        self._report(worker, observed)
        started = True
        if actions.create_sandbox:
            if not await self._create_sandbox(worker, actions.attempt):
                return
            observed = await self._observe(pod)
            self._report(worker, observed)
        elif actions.start:
            await self.parts.fetch(pod)
        await self._prune(observed)
        for name in actions.start:
            started = await self._start(worker, name) and started
        observed = await self._observe(pod)
        self._probe(worker, observed)
        self._report(worker, observed)
        if actions.kill or (actions.start and started):
            worker.dirty = True  # look again: the next init container, or one that ended meanwhile

    def _health(self) -> Health:
        return Health(
            frozenset(self.prober.liveness_failed), frozenset(self.prober.startup_failed), dict(self.prober.started)
        )

    def _check_deadline(self, worker: Worker) -> None:
        limit = worker.pod["spec"].get("activeDeadlineSeconds")
        begun = (worker.pod.get("status") or {}).get("startTime")
        if limit is None or not begun:
            return
        from workshop.clock import parse_rfc3339

        left = parse_rfc3339(begun) + limit - self.parts.clock.now()
        if left > 0:
            self._wake_later(worker, left)
            return
        worker.killed = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
        self.parts.event(worker.pod, "Normal", "DeadlineExceeded", worker.killed[1], "")

    def end(self, uid: str, reason: str, message: str) -> None:
        """Eviction and the like: kubelet itself ends the pod; its phase becomes Failed."""
        if uid in self.workers:
            self.workers[uid].killed = (reason, message)
            self.wake(uid)

    def _report(self, worker: Worker, observed: Observed, *, stopped: bool = False) -> Obj:
        facts = status.Facts(
            ready=self.prober.ready,
            started=self.prober.started,
            waiting=worker.waiting,
            host_ip=self.parts.config.node_ip,
            start_time=worker.start_time,
            reason=worker.killed[0],
            message=worker.killed[1],
            stopped=stopped,
            runtime=self.parts.runtime_name,
        )
        pod = worker.pod
        last = self.parts.statuses.last(pod["metadata"]["uid"])
        if last is not None:
            foreign = [c for c in (pod.get("status") or {}).get("conditions") or () if "/" in c["type"]]
            pod = {**pod, "status": {**last, "conditions": [*last["conditions"], *foreign]}}
        new = status.generate(pod, observed, facts, self.parts.clock.now())
        if not worker.gone:
            self.parts.statuses.set(worker.pod, new)
        return new

    def _with_message(self, pod: Obj, container: cri.ContainerStatus) -> cri.ContainerStatus:
        """The termination message: what the container wrote for it, or the end of its log."""
        if container.state != cri.EXITED or container.message:
            return container
        path = self._message_file(pod, container.name, container.attempt)
        text = ""
        if os.path.isfile(path):
            with open(path, "rb") as file:
                text = file.read(4096).decode(errors="replace")
        fallback = container.annotations.get(configs.MESSAGE_POLICY) == "FallbackToLogsOnError"
        if not text and fallback and container.exit_code and os.path.isfile(container.log_path):
            with open(container.log_path, "rb") as file:
                file.seek(max(0, os.path.getsize(container.log_path) - 8192))
                lines = file.read().decode(errors="replace").splitlines()[-80:]
            text = "\n".join(line.split(" ", 3)[3] for line in lines if line.count(" ") >= 3)[-2048:]
        return replace(container, message=text)

    def _message_file(self, pod: Obj, name: str, attempt: int) -> str:
        return os.path.join(self.parts.volumes.directory(pod["metadata"]["uid"]), "containers", name, str(attempt))

    # -- making --------------------------------------------------------------------------------------------------

    def log_directory(self, pod: Obj) -> str:
        """`<root-dir>/log/pods/NAMESPACE_NAME_UID`, as below /var/log/pods."""
        m = pod["metadata"]
        return os.path.join(
            self.parts.config.root_dir, "log", "pods", f"{m.get('namespace', 'default')}_{m['name']}_{m['uid']}"
        )

    def _sandbox_config(self, pod: Obj, attempt: int) -> cri.PodSandboxConfig:
        config = self.parts.config
        return configs.sandbox_config(pod, attempt, self.log_directory(pod), config.cluster_dns, config.cluster_domain)

    async def _create_sandbox(self, worker: Worker, attempt: int) -> bool:
        pod = worker.pod
        if not self.parts.simulated:
            await self.parts.fetch(pod)
            try:
                await self._mount(worker, Observed())
            except VolumeError as problem:
                self.parts.event(pod, "Warning", "FailedMount", str(problem), "")
                self._wake_later(worker, RETRY)
                return False
        try:
            await self.parts.runtime.run_pod_sandbox(self._sandbox_config(pod, attempt))
        except cri.CriError as problem:
            text = f"Failed to create pod sandbox: rpc error: code = Unknown desc = {problem}"
            self.parts.event(pod, "Warning", "FailedCreatePodSandBox", text, "")
            self._wake_later(worker, RETRY)
            return False
        self._tell_shifted_ports(pod)
        return True

    def _tell_shifted_ports(self, pod: Obj) -> None:
        """Mode plain: which ports could not be bound, and are found elsewhere."""
        wanted = {port["containerPort"] for c in pods.containers(pod) for port in c.get("ports") or ()}
        wanted |= {port for c in pods.containers(pod) for port in default_ports(c["image"])}
        shifted = {port: self.parts.shift(port) for port in sorted(wanted) if self.parts.shift(port) != port}
        if not shifted or SHIFTED in (pod["metadata"].get("annotations") or {}):
            return
        said = ", ".join(f"{port} is at {other}" for port, other in shifted.items())
        self.parts.event(pod, "Normal", "PortShifted", f"Ports that only root may bind are shifted: {said}", "")
        self.parts.annotate(pod, {SHIFTED: ",".join(f"{port}={other}" for port, other in shifted.items())})

    def _addresses(self, observed: Observed) -> dict[str, str]:
        sandbox = observed.sandbox()
        address, host = sandbox.ip if sandbox else "", self.parts.config.node_ip
        return {"podIP": address, "podIPs": address, "hostIP": host, "hostIPs": host}

    async def _mount(self, worker: Worker, observed: Observed) -> dict[str, str]:
        stamp = f"{self.parts.clock.now():.6f}".replace(".", "_")
        return await self.parts.volumes.prepare(worker.pod, self._addresses(observed), stamp)

    async def refresh_volumes(self, uid: str) -> None:
        """A ConfigMap, Secret or token that the pod has mounted is newer."""
        worker = self.workers.get(uid)
        if worker is None or worker.finished or worker.gone or self.parts.simulated:
            return
        try:
            await self._mount(worker, await self._observe(worker.pod))
        except VolumeError as problem:
            log.info("refreshing volumes of %s: %s", pods.full_name(worker.pod), problem)
        if worker.waiting:
            self.wake(uid)

    def _key(self, pod: Obj, name: str) -> str:
        return f"{pod['metadata']['uid']}/{name}"

    async def _start(self, worker: Worker, name: str) -> bool:
        """Pull, create and start one container; False when that has to wait."""
        pod, now = worker.pod, self.parts.clock.now()
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
            left = self.backoff.remaining(key, latest.finished_at, now)
            if left > 0:
                wait = go_duration(self.backoff.wait(key))
                text = f"back-off {wait} restarting failed container={name} pod={pods.full_name(pod)}"
                if worker.waiting.get(name) != ("CrashLoopBackOff", text):
                    said = f"Back-off restarting failed container {name} in pod {pods.full_name(pod)}"
                    self.parts.event(pod, "Warning", "BackOff", said, name)
                worker.waiting[name] = ("CrashLoopBackOff", text)
                self._wake_later(worker, left)
                return False
            self.backoff.next(key, latest.finished_at, now)
        problem = await self.parts.images.ensure(pod, container)
        if problem is not None:
            worker.waiting[name] = (problem.reason, problem.message)
            if problem.retry_after:
                self._wake_later(worker, problem.retry_after)
            return False
        attempt = latest.attempt + 1 if latest else 0
        if latest is not None and latest.state == cri.CREATED:
            attempt = latest.attempt
            await self.parts.runtime.remove_container(latest.id)
        return await self._create_and_start(worker, container, attempt, observed, sandbox)

    async def _create_and_start(
        self, worker: Worker, container: Obj, attempt: int, observed: Observed, sandbox: cri.PodSandboxStatus
    ) -> bool:
        pod, name = worker.pod, container["name"]
        try:
            config = await self._container_config(worker, container, attempt, observed)
        except (ConfigError, VolumeError) as problem:
            worker.waiting[name] = ("CreateContainerConfigError", str(problem))
            self.parts.event(pod, "Warning", "Failed", f"Error: {problem}", name)
            self._wake_later(worker, 5 * RETRY)
            return False
        try:
            identity = await self.parts.runtime.create_container(
                sandbox.id, config, self._sandbox_config(pod, sandbox.attempt)
            )
        except cri.CriError as problem:
            worker.waiting[name] = ("CreateContainerError", str(problem))
            self.parts.event(pod, "Warning", "Failed", f"Error: {problem}", name)
            self._wake_later(worker, 10 * RETRY)
            return False
        self.parts.event(pod, "Normal", "Created", "Container created", name)
        try:
            await self.parts.runtime.start_container(identity)
        except cri.CriError as problem:
            worker.waiting[name] = ("RunContainerError", str(problem))
            self.parts.event(pod, "Warning", "Failed", f"Error: {problem}", name)
            worker.dirty = True
            return False
        self.parts.event(pod, "Normal", "Started", "Container started", name)
        worker.waiting.pop(name, None)
        await self._post_start(pod, container, identity, sandbox.ip)
        return True

    async def _container_config(
        self, worker: Worker, container: Obj, attempt: int, observed: Observed
    ) -> cri.ContainerConfig:
        pod, name = worker.pod, container["name"]
        if self.parts.simulated:
            return configs.container_config(pod, container, attempt, values={}, mounts=[])
        paths = await self._mount(worker, observed)
        values = container_environment(
            pod,
            container,
            services=self.parts.services(),
            lookup=self.parts.lookup,
            status=self._addresses(observed),
            allocatable=self.parts.allocatable,
        )
        found = mounts(container, paths, values)
        message = self._message_file(pod, name, attempt)
        os.makedirs(os.path.dirname(message), mode=0o711, exist_ok=True)
        with open(message, "wb"):
            os.chmod(message, 0o666)
        found.append(cri.Mount(container.get("terminationMessagePath") or "/dev/termination-log", message))
        sandbox = observed.sandbox()
        if sandbox and not sandbox.host_network and all(m.container_path != "/etc/hosts" for m in found):
            hosts = os.path.join(self.parts.volumes.directory(pod["metadata"]["uid"]), "etc-hosts")
            with open(hosts, "w") as file:
                file.write(configs.etc_hosts(pod, sandbox.ip, self.parts.config.cluster_domain))
            found.append(cri.Mount("/etc/hosts", hosts))
        return configs.container_config(
            pod, container, attempt, values=values, mounts=found, memory_capacity=self.parts.memory
        )

    async def _post_start(self, pod: Obj, container: Obj, identity: str, address: str) -> None:
        handler = (container.get("lifecycle") or {}).get("postStart")
        if not handler or self.parts.simulated:
            return
        problem = await run_hook(
            self.parts.runtime, handler, pod, container, identity, address, self.parts.shift, self.parts.clock
        )
        if problem is None:
            return
        self.parts.event(pod, "Warning", "FailedPostStartHook", "PostStartHook failed", container["name"])
        self.parts.event(pod, "Normal", "Killing", "FailedPostStartHook", container["name"])
        await self.parts.runtime.stop_container(identity, _grace(pod))

    def _probe(self, worker: Worker, observed: Observed) -> None:
        if self.parts.simulated:
            return
        sandbox = observed.sandbox()
        for container in [*pods.containers(worker.pod), *pods.init_containers(worker.pod)]:
            latest = observed.latest(container["name"])
            if latest is None or sandbox is None:
                continue
            if latest.state == cri.RUNNING:
                old = self.parts.clock.now() - latest.started_at > 10
                self.prober.watch(worker.pod, container, latest, sandbox.ip, added=worker.start_time, restarted=old)
            else:
                self.prober.forget(latest.id)

    def _unhealthy(self, pod: Obj, name: str, kind: str, output: str) -> None:
        self.parts.event(pod, "Warning", "Unhealthy", f"{kind.capitalize()} probe failed: {output}", name)

    async def _prune(self, observed: Observed) -> None:
        """Keep the last two attempts of each container; older ones go."""
        for name in {container.name for container in observed.containers}:
            for old in observed.history(name)[2:]:
                if old.state == cri.EXITED:
                    self.prober.forget(old.id)
                    await self.parts.runtime.remove_container(old.id)

    # -- ending --------------------------------------------------------------------------------------------------

    async def _kill_container(self, pod: Obj, observed: Observed, kill: Kill, grace: float) -> None:
        """preStop, then the runtime's stop, within the grace period."""
        container = pods.container_named(pod, kill.name) or {"name": kill.name}
        self.prober.forget(kill.container_id)
        self.parts.event(pod, "Normal", "Killing", kill.message or f"Stopping container {kill.name}", kill.name)
        probe = container.get({"LivenessProbe": "livenessProbe", "StartupProbe": "startupProbe"}.get(kill.reason, ""))
        if probe and probe.get("terminationGracePeriodSeconds") is not None:
            grace = float(probe["terminationGracePeriodSeconds"])
        handler = (container.get("lifecycle") or {}).get("preStop")
        if handler and grace > 0 and not self.parts.simulated:
            begun = self.parts.clock.monotonic()
            sandbox = observed.sandbox()
            try:
                problem = await asyncio.wait_for(
                    run_hook(
                        self.parts.runtime, handler, pod, container, kill.container_id,
                        sandbox.ip if sandbox else "", self.parts.shift, self.parts.clock,
                    ),
                    grace,
                )  # fmt: skip
            except TimeoutError:
                problem = None
            if problem is not None:
                self.parts.event(pod, "Warning", "FailedPreStopHook", "PreStopHook failed", kill.name)
            grace = max(MINIMUM_GRACE, grace - (self.parts.clock.monotonic() - begun))
        await self.parts.runtime.stop_container(kill.container_id, grace)

    async def _kill_pod(self, worker: Worker, observed: Observed, grace: float) -> None:
        """All containers at once, sidecars after the others, then the sandbox."""
        pod = worker.pod
        sidecars = {c["name"] for c in pods.init_containers(pod) if pods.is_sidecar(c)}
        begun = self.parts.clock.monotonic()
        running = observed.running()
        for group in (
            [c for c in running if c.name not in sidecars],
            [c for c in running if c.name in sidecars][::-1],
        ):
            left = max(MINIMUM_GRACE, grace - (self.parts.clock.monotonic() - begun)) if grace else 0
            await asyncio.gather(*(self._kill_container(pod, observed, Kill(c.id, c.name, ""), left) for c in group))
        for sandbox in observed.sandboxes:
            if sandbox.state == cri.READY:
                await self.parts.runtime.stop_pod_sandbox(sandbox.id)

    async def _terminate(self, worker: Worker, deleting: bool) -> None:
        pod = worker.pod
        observed = await self._observe(pod)
        if observed.running():
            self._report(worker, observed)
        if observed.running() or any(s.state == cri.READY for s in observed.sandboxes):
            grace = 0.0 if worker.gone and pod["metadata"].get("deletionTimestamp") else _grace(pod)
            await self._kill_pod(worker, observed, grace)
            observed = await self._observe(pod)
        self._report(worker, observed, stopped=True)
        if worker.timer:
            worker.timer.cancel()
        if worker.gone:
            await self._forget(worker)
        elif worker.pod["metadata"].get("deletionTimestamp"):
            await self._cleanup(worker)
            worker.finished = True
            await self.parts.statuses.finish(pod)
            self.wake(pod["metadata"]["uid"])

    async def _cleanup(self, worker: Worker) -> None:
        uid = worker.pod["metadata"]["uid"]
        for container in await self.parts.runtime.list_containers(uid):
            self.prober.forget(container.id)
        for sandbox in await self.parts.runtime.list_pod_sandbox(uid):
            await self.parts.runtime.remove_pod_sandbox(sandbox.id)
        self.backoff.forget(uid)
        if not self.parts.simulated:
            self.parts.volumes.remove(uid)
            remove_logs(self.log_directory(worker.pod))

    async def _forget(self, worker: Worker) -> None:
        if not worker.finished:
            await self._cleanup(worker)
        if worker.timer:
            worker.timer.cancel()
        self.workers.pop(worker.pod["metadata"]["uid"], None)

    async def remove_orphans(self) -> None:
        """After the first list: end what we once started and what nobody asks for any more."""
        known = set(self.workers)
        for sandbox in await self.parts.runtime.list_pod_sandbox():
            if sandbox.uid not in known:
                log.info("removing orphaned pod %s/%s", sandbox.namespace, sandbox.name)
                await self.parts.runtime.remove_pod_sandbox(sandbox.id)
                if not self.parts.simulated:
                    self.parts.volumes.remove(sandbox.uid)
                    pod: Obj = {"metadata": {"name": sandbox.name, "namespace": sandbox.namespace, "uid": sandbox.uid}}
                    remove_logs(self.log_directory(pod))


def default_ports(image: str) -> tuple[int, ...]:
    """The ports that an image listens on by itself."""
    try:
        standin = catalogue.find(image)
    except catalogue.InvalidImageName:
        return ()
    return standin.ports if standin else ()


def remove_logs(directory: str) -> None:
    """A pod's log directory."""
    import shutil

    shutil.rmtree(directory, ignore_errors=True)


def _grace(pod: Obj) -> float:
    """Seconds between SIGTERM and SIGKILL."""
    given = pod["metadata"].get("deletionGracePeriodSeconds")
    if given is None:
        given = pod["spec"].get("terminationGracePeriodSeconds")
    return 30.0 if given is None else float(given)


def _same_for_us(old: Obj, new: Obj) -> bool:
    """True for a change that needs no sync, such as our own write of the status."""
    if old is new:
        return False
    before, after = old["metadata"], new["metadata"]
    keys: tuple[str, ...] = ("deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations")
    gates = bool(new["spec"].get("readinessGates"))
    return (
        old["spec"] == new["spec"]
        and all(before.get(key) == after.get(key) for key in keys)
        and (not gates or _foreign(old) == _foreign(new))
        and meta.uid(old) == meta.uid(new)
    )


def _foreign(pod: Obj) -> list[Any]:
    found = (pod.get("status") or {}).get("conditions") or []
    return [(c["type"], c["status"]) for c in found if "/" in c["type"]]
