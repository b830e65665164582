"""Probes in action: one small task for each probe of a running container.

Upstream: `pkg/kubelet/prober`, `pkg/probe/exec`; `dial.py` asks by network.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any

from workshop.clock import Clock
from workshop.kubelet import cri, env, probes
from workshop.kubelet.backoff import go_duration
from workshop.kubelet.dial import grpc, http, port_number, tcp
from workshop.kubelet.pods import Obj
from workshop.kubelet.probes import KINDS, Result, Settings

RELIST = 0.5
"""Seconds after which a container that was started is seen to run, half of the period of upstream's PLEG on average;
its readiness is tried then."""
OUTPUT = 10 * 1024

Port = Callable[[int], int]
Tell = Callable[[Obj, str, str, str], None]
"""(pod, reason, message, container): a warning event."""


class Errored(Exception):
    """A try that says nothing about the container: it is not counted."""


class Prober:
    """All probes of this node. `results` holds verdicts by container id; `changed` tells the pod's worker."""

    def __init__(
        self, runtime: cri.Runtime, clock: Clock, shift: Port, tell: Tell, changed: Callable[[str], None]
    ) -> None:
        self._runtime, self._clock, self._shift = runtime, clock, shift
        self._tell, self._changed = tell, changed
        self._random = random.Random()
        self.ready: dict[str, bool] = {}
        self.started: dict[str, bool] = {}
        self.liveness_failed: set[str] = set()
        self.startup_failed: set[str] = set()
        self._tasks: dict[str, dict[str, asyncio.Task[None]]] = {}
        self._pokes: dict[str, asyncio.Event] = {}

    def watch(
        self,
        pod: Obj,
        container: Obj,
        status: cri.ContainerStatus,
        address: str,
        *,
        added: float,
        told: Mapping[str, Any] | None = None,
    ) -> None:
        """Probe a running container from now on; one that is not ready is tried again at once each time this is
        called. `added`: when the pod came to this node; `told`: what an earlier kubelet said of the container, which
        stays true until a probe says otherwise."""
        if status.id in self._tasks:
            if self.started.get(status.id) and not self.ready.get(status.id):
                self._pokes[status.id].set()
            return
        wanted = {kind: container[field] for kind, field in KINDS.items() if container.get(field)}
        if not wanted:
            return
        if told and told.get("started"):
            wanted.pop("startup", None)
        self.started[status.id] = "startup" not in wanted
        self.ready[status.id] = "readiness" not in wanted or bool(told and told.get("ready"))
        self._pokes[status.id] = asyncio.Event()
        create = asyncio.get_running_loop().create_task
        now, chance = self._clock.now(), self._random.random() if told else None
        due = {
            kind: probes.first_try(kind, Settings.of(probe), now, added=added, chance=chance, relist=RELIST)
            for kind, probe in wanted.items()
        }
        self._tasks[status.id] = {
            kind: create(self._loop(kind, probe, pod, container, status, address, due[kind]))
            for kind, probe in wanted.items()
        }

    def forget(self, container_id: str) -> None:
        """The container has ended."""
        for task in self._tasks.pop(container_id, {}).values():
            task.cancel()
        self._pokes.pop(container_id, None)
        self.ready.pop(container_id, None)
        self.started.pop(container_id, None)
        self.liveness_failed.discard(container_id)
        self.startup_failed.discard(container_id)

    def only(self, container_ids: set[str]) -> None:
        """Forget all others."""
        for container_id in [known for known in self._tasks if known not in container_ids]:
            self.forget(container_id)

    async def close(self) -> None:
        tasks = [task for by_kind in self._tasks.values() for task in by_kind.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _loop(
        self, kind: str, probe: Obj, pod: Obj, container: Obj, status: cri.ContainerStatus, address: str, due: float
    ) -> None:
        settings, state = Settings.of(probe), probes.initial(kind)
        if kind == "readiness" and self.ready.get(status.id):
            state = probes.State(verdict=True)
        poked = self._pokes[status.id]
        await self._clock.sleep(due - self._clock.now())
        while True:
            poked.clear()
            started = kind == "startup" or self.started.get(status.id, True)
            # in whole seconds, as upstream counts
            if started and int(self._clock.now() - status.started_at) >= settings.initial_delay:
                before = state.verdict
                if (result := await self._judged(kind, probe, pod, container, status, address, settings)) is not None:
                    state = probes.observe(state, result, settings)
                if state.verdict != before:
                    self._conclude(kind, pod, status.id, bool(state.verdict))
                if state.verdict is not None and (kind == "startup" or (kind == "liveness" and not state.verdict)):
                    return
            # Ticks do not wait for a slow try; one that is overdue comes at once, and the others are dropped.
            due += settings.period
            now = self._clock.now()
            if due < now - settings.period:
                due = now
            if await self._tick_or_poke(due - now, poked if kind == "readiness" else None):
                due = self._clock.now()

    async def _judged(
        self,
        kind: str,
        probe: Obj,
        pod: Obj,
        container: Obj,
        status: cri.ContainerStatus,
        address: str,
        settings: Settings,
    ) -> Result | None:
        """One try, with the event that tells of it; None when it does not count."""
        who, name = kind.capitalize(), container["name"]
        try:
            result = await self._try(probe, container, status, address, settings.timeout)
        except Errored as problem:
            said = f"{who} probe errored and resulted in unknown state: {problem}"
            self._tell(pod, "Unhealthy", said, name)
            return None
        if not result.ok:
            self._tell(pod, "Unhealthy", f"{who} probe failed: {result.output}", name)
        elif result.warning:
            self._tell(pod, "ProbeWarning", f"{who} probe warning: {result.warning}", name)
        return result

    async def _tick_or_poke(self, seconds: float, poked: asyncio.Event | None) -> bool:
        """Wait for the next tick; True when it was a poke that ended it."""
        if poked is None:
            await self._clock.sleep(seconds)
            return False
        waits = [asyncio.ensure_future(poked.wait()), asyncio.ensure_future(self._clock.sleep(seconds))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
        return poked.is_set()

    def _conclude(self, kind: str, pod: Obj, container_id: str, verdict: bool) -> None:
        if kind == "readiness":
            self.ready[container_id] = verdict
        elif kind == "startup":
            self.started[container_id] = verdict
            if not verdict:
                self.startup_failed.add(container_id)
        elif not verdict:
            self.liveness_failed.add(container_id)
        self._changed(pod["metadata"]["uid"])

    async def _try(
        self, probe: Obj, container: Obj, status: cri.ContainerStatus, address: str, timeout: float
    ) -> Result:
        try:
            if "exec" in probe:
                static = {entry["name"]: entry.get("value") or "" for entry in container.get("env") or ()}
                command = [env.expand(word, static) for word in probe["exec"].get("command") or ()]
                return await self._exec(status.id, command, timeout)
            if "httpGet" in probe:
                action = probe["httpGet"]
                port = self._shift(port_number(container, action["port"]))
                return await http(action.get("host") or address, port, action, timeout)
            if "tcpSocket" in probe:
                action = probe["tcpSocket"]
                port = self._shift(port_number(container, action["port"]))
                return await tcp(action.get("host") or address, port, timeout)
            if "grpc" in probe:
                port = self._shift(int(probe["grpc"]["port"]))
                return await grpc(address, port, probe["grpc"].get("service") or "", timeout)
        except ValueError as problem:
            raise Errored(str(problem)) from None
        raise Errored("missing probe handler")

    async def _exec(self, container_id: str, command: list[str], timeout: float) -> Result:
        try:
            done = await self._runtime.exec_sync(container_id, command, timeout)
        except cri.CriError as problem:
            if problem.reason == "Timeout":
                said = f'command timed out: "{" ".join(command)}" timed out after {go_duration(timeout)}'
                return Result(False, said)
            raise Errored(f"rpc error: code = Unknown desc = {problem}") from None
        output = (done.stdout + done.stderr).decode(errors="replace")[:OUTPUT]
        return Result(done.exit_code == 0, output)
