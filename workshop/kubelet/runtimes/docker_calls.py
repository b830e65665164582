"""How the `docker` runtime asks its engine: one connection, plain calls in threads, and the engine's events."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from workshop.clock import Clock
from workshop.kubelet import cri
from workshop.kubelet.cri import CriError, NotFound, PodSandboxStatus
from workshop.kubelet.runtimes import docker_objects as objects
from workshop.kubelet.runtimes import docker_streams as streams
from workshop.kubelet.runtimes.docker_engine import FAILURES, connect, refusal
from workshop.kubelet.runtimes.networking import OnNodeNetwork

log = logging.getLogger(__name__)

T = TypeVar("T")


class DockerCalls(OnNodeNetwork):
    """The engine. Everything of ours there carries a label with the kubelet's root directory."""

    def __init__(self, url: str, root_dir: str, cni_conf_dir: str, node_ip: str, clock: Clock) -> None:
        super().__init__(cni_conf_dir, node_ip, clock)
        self.url, self._owner = url, root_dir
        self._checkpoints = Path(root_dir, "docker")
        self._engine: Any = None
        self._streams: streams.Endpoint | None = None
        self._version = ""
        self._follower: asyncio.Task[None] | None = None
        self._logs: dict[str, asyncio.Task[None]] = {}

    async def _take_up(self) -> None:
        """The engine answers for the first time: find again what ran before."""
        raise NotImplementedError

    async def list_pod_sandbox(self, pod_uid: str | None = None) -> list[PodSandboxStatus]:
        raise NotImplementedError

    async def start(self) -> None:
        """Find what ran before. An engine that does not answer makes the node NotReady; it is tried again."""
        self._checkpoints.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._network.load()
        try:
            await self._connect()
        except CriError as problem:
            log.error("%s", problem)

    async def _connect(self) -> streams.Endpoint:
        if self._streams is None:
            try:
                engine, self._version = await asyncio.to_thread(connect, self.url)
            except FAILURES as problem:
                raise refusal(self.url, problem) from None
            self._engine, self._streams = engine, streams.Endpoint(self.url, engine.api_version)
            self._follower = self._spawn(self._follow_events())
            await self._take_up()
        return self._streams

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)

    async def close(self) -> None:
        tasks = [*self._logs.values(), *([self._follower] if self._follower else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._engine is not None:
            await asyncio.to_thread(self._engine.close)

    async def _call(self, function: Callable[..., T], *args: Any, **more: Any) -> T:
        try:
            return await asyncio.to_thread(function, *args, **more)
        except FAILURES as problem:
            raise refusal(self.url, problem) from None

    async def _follow_events(self) -> None:
        """The engine's events of our containers; after a lost connection everything is looked at again."""
        kinds = ["start", "die", "oom", "destroy", "pause", "unpause"]
        query = {"filters": json.dumps({"type": ["container"], "label": [self._label], "event": kinds})}
        while True:
            endpoint = self._streams
            assert endpoint is not None
            with contextlib.suppress(CriError, OSError, ValueError):
                async for event in endpoint.lines("/events", query):
                    uid = event["Actor"]["Attributes"].get(cri.POD_UID, "")
                    stopped = event["Action"] in ("die", "destroy")
                    kind = "CONTAINER_STOPPED_EVENT" if stopped else "CONTAINER_STARTED_EVENT"
                    self._events.put_nowait(cri.ContainerEvent(event["Actor"]["ID"], kind, uid))
            await self.clock.sleep(1.0)
            for uid in await self._known_pods():
                self._events.put_nowait(cri.ContainerEvent("", "CONTAINER_STOPPED_EVENT", uid))

    async def _known_pods(self) -> set[str]:
        try:
            return {sandbox.uid for sandbox in await self.list_pod_sandbox()}
        except CriError:
            return set()

    async def _inspected(self, kind: str, pod_uid: str | None = None) -> list[dict[str, Any]]:
        """`docker inspect` of all of ours of one kind, the oldest first."""
        await self._connect()
        wanted = [self._label, f"{objects.TYPE}={kind}", *([f"{cri.POD_UID}={pod_uid}"] if pod_uid else [])]
        listed = await self._call(self._engine.containers, all=True, filters={"label": wanted})
        found = await asyncio.gather(*(self._inspect(entry["Id"]) for entry in reversed(listed)))
        return [one for one in found if one is not None]

    async def _inspect(self, identity: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = await self._call(self._engine.inspect_container, identity)
        except NotFound:
            return None
        return found

    async def _create(self, body: dict[str, Any], name: str) -> str:
        """Create; a container of that name which a crash left behind gives way."""
        try:
            made = await self._call(self._engine.create_container_from_config, body, name)
        except CriError as problem:
            if "is already in use by container" not in str(problem):
                raise
            await self._remove(name)
            made = await self._call(self._engine.create_container_from_config, body, name)
        return str(made["Id"])

    async def _remove(self, identity: str) -> None:
        with contextlib.suppress(NotFound):
            await self._call(self._engine.remove_container, identity, v=True, force=True)

    async def _stop(self, identity: str, timeout: float, stop_signal: str) -> None:
        endpoint = await self._connect()
        if timeout > 0:
            await self._signal(identity, stop_signal)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(endpoint.read("POST", f"/containers/{identity}/wait"), timeout)
                return
        await self._signal(identity, "SIGKILL")
        try:
            await asyncio.wait_for(endpoint.read("POST", f"/containers/{identity}/wait"), 10)
        except TimeoutError:
            raise CriError(f"container {identity} did not end") from None

    async def _signal(self, identity: str, name: str) -> None:
        """Harmless when it does not run any more."""
        number = getattr(signal, name if name.startswith("SIG") else f"SIG{name}", None)
        try:
            await self._call(self._engine.kill, identity, int(number) if number else name)
        except CriError as problem:
            if "is not running" not in str(problem):
                raise

    @property
    def _label(self) -> str:
        return f"{objects.OWNER}={self._owner}"
