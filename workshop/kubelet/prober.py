"""Probes in action: one small task for each probe of a running container.

Upstream: `pkg/kubelet/prober`, `pkg/probe/{http,tcp,exec,grpc}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import struct
from collections.abc import Callable, Mapping
from typing import Any

from workshop.clock import Clock
from workshop.http2.client import DEADLINE_EXCEEDED, UNIMPLEMENTED, Channel, RpcError
from workshop.kubelet import cri, pods, probes
from workshop.kubelet.backoff import go_duration
from workshop.kubelet.pods import Obj
from workshop.kubelet.probes import KINDS, Result, Settings

RELIST = 0.5
"""Seconds after which a container that was started is seen to run, half of the period of upstream's PLEG on average;
its readiness is tried then."""

HEALTH = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
SERVING = 1

Port = Callable[[int], int]
Unhealthy = Callable[[Obj, str, str, str], None]  # (pod, container, kind, output)


def port_number(container: Obj, port: int | str) -> int:
    """A number, or the named port of the container."""
    if isinstance(port, int) or str(port).isdigit():
        return int(port)
    for entry in container.get("ports") or ():
        if entry.get("name") == port:
            return int(entry["containerPort"])
    raise ValueError(f'couldn\'t find port: "{port}"')


async def http(
    host: str, port: int, action: Mapping[str, Any], timeout: float, agent: str = "kube-probe/1.36"
) -> Result:
    """GET; 200 to 399 is success, redirects are not followed to other hosts."""
    scheme = (action.get("scheme") or "HTTP").lower()
    path = "/" + str(action.get("path") or "/").lstrip("/")
    url = f"{scheme}://{host}:{port}{path}"
    context = None
    if scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    headers = {"Host": f"{host}:{port}", "User-Agent": agent, "Accept": "*/*", "Connection": "close"}
    headers |= {entry["name"]: entry["value"] for entry in action.get("httpHeaders") or ()}
    head = f"GET {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
            writer.write(head.encode("latin-1", "replace"))
            line = await reader.readline()
    except TimeoutError:
        return Result(False, f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)')
    except OSError as problem:
        text = (
            "connection refused" if isinstance(problem, ConnectionRefusedError) else (problem.strerror or str(problem))
        )
        return Result(False, f'Get "{url}": dial tcp {host}:{port}: connect: {text.lower()}')
    finally:
        if writer is not None:
            writer.close()
    words = line.split()
    code = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    if 200 <= code < 400:
        return Result(True)
    return Result(False, f"HTTP probe failed with statuscode: {code}" if code else f'Get "{url}": EOF')


async def tcp(host: str, port: int, timeout: float) -> Result:
    """Can it be connected to?"""
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Result(False, f"dial tcp {host}:{port}: i/o timeout")
    except OSError as problem:
        text = (
            "connection refused" if isinstance(problem, ConnectionRefusedError) else (problem.strerror or str(problem))
        )
        return Result(False, f"dial tcp {host}:{port}: connect: {text.lower()}")
    writer.close()
    return Result(True)


async def grpc(host: str, port: int, service: str, timeout: float) -> Result:
    """grpc.health.v1.Health/Check; the two messages are small enough to be written by hand."""
    name = service.encode()
    request = b"\x0a" + struct.pack("B", len(name)) + name if name else b""
    channel = Channel(host, port)
    try:
        answer = await channel.unary("/grpc.health.v1.Health/Check", request, timeout)
    except RpcError as problem:
        limit = go_duration(timeout)
        if problem.code == DEADLINE_EXCEEDED and not channel.connected:
            return Result(
                False, f'timeout: failed to connect service "{host}:{port}" within {limit}: context deadline exceeded'
            )
        if problem.code == DEADLINE_EXCEEDED:
            return Result(False, f"timeout: health rpc did not complete within {limit}")
        if problem.code == UNIMPLEMENTED:
            health = "the grpc health protocol (grpc.health.v1.Health)"
            return Result(False, f"error: this server does not implement {health}: {problem}")
        return Result(False, f"error: health rpc probe failed: {problem}")
    finally:
        await channel.close()
    status = answer[1] if answer[:1] == b"\x08" and len(answer) > 1 else 0
    if status == SERVING:
        return Result(True)
    said = HEALTH[status] if status < len(HEALTH) else str(status)
    return Result(False, f'service unhealthy (responded with "{said}")')


class Prober:
    """All probes of this node. `results` holds verdicts by container id; `changed` tells the pod's worker."""

    def __init__(
        self, runtime: cri.Runtime, clock: Clock, shift: Port, unhealthy: Unhealthy, changed: Callable[[str], None]
    ) -> None:
        self._runtime, self._clock, self._shift = runtime, clock, shift
        self._unhealthy, self._changed = unhealthy, changed
        self._random = random.Random()
        self.ready: dict[str, bool] = {}
        self.started: dict[str, bool] = {}
        self.liveness_failed: set[str] = set()
        self.startup_failed: set[str] = set()
        self._tasks: dict[str, dict[str, asyncio.Task[None]]] = {}
        self._pokes: dict[str, asyncio.Event] = {}

    def watch(
        self, pod: Obj, container: Obj, status: cri.ContainerStatus, address: str, *, added: float, restarted: bool
    ) -> None:
        """Probe a running container from now on; one that is not ready is tried again at once each time this is
        called. `added`: when the pod came to this node; `restarted`: kubelet did, the container ran before."""
        if status.id in self._tasks:
            if self.started.get(status.id) and not self.ready.get(status.id):
                self._pokes[status.id].set()
            return
        wanted = {kind: container[field] for kind, field in KINDS.items() if container.get(field)}
        if not wanted:
            return
        self.ready[status.id] = "readiness" not in wanted
        self.started[status.id] = "startup" not in wanted
        self._pokes[status.id] = asyncio.Event()
        create = asyncio.get_running_loop().create_task
        now, chance = self._clock.now(), self._random.random()
        self._tasks[status.id] = {
            kind: create(
                self._loop(
                    kind,
                    probe,
                    pod,
                    container,
                    status,
                    address,
                    probes.first_try(
                        kind, Settings.of(probe), now, added=added, chance=chance if restarted else None, relist=RELIST
                    ),
                )
            )
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
        poked = self._pokes[status.id]
        await self._clock.sleep(due - self._clock.now())
        while True:
            poked.clear()
            started = kind == "startup" or self.started.get(status.id, True)
            # in whole seconds, as upstream counts
            if started and int(self._clock.now() - status.started_at) >= settings.initial_delay:
                result = await self._try(probe, container, status, address, settings.timeout)
                before = state.verdict
                state = probes.observe(state, result, settings)
                if not result.ok:
                    self._unhealthy(pod, container["name"], kind, result.output)
                if state.verdict != before:
                    self._conclude(kind, pod, status.id, bool(state.verdict))
                if kind == "startup" and state.verdict is not None:
                    return
            # Ticks do not wait for a slow try; one that is overdue comes at once, and the others are dropped.
            due += settings.period
            now = self._clock.now()
            if due < now - settings.period:
                due = now
            if await self._tick_or_poke(due - now, poked if kind == "readiness" else None):
                due = self._clock.now()

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
                done = await self._runtime.exec_sync(status.id, list(probe["exec"].get("command") or ()), timeout)
                output = (done.stdout + done.stderr).decode(errors="replace")[:10240]
                return Result(done.exit_code == 0, output)
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
        except cri.CriError as problem:
            if problem.reason == "Timeout":
                return Result(False, f"command timed out: {problem}")
            return Result(False, str(problem))
        except ValueError as problem:
            return Result(False, str(problem))
        return Result(False, "missing probe handler")


async def run_hook(
    runtime: cri.Runtime,
    handler: Obj,
    pod: Obj,
    container: Obj,
    container_id: str,
    address: str,
    shift: Port,
    clock: Clock,
) -> str | None:
    """postStart or preStop: None, or what went wrong. Upstream: `pkg/kubelet/lifecycle/handlers.go`."""
    if "exec" in handler:
        command = list(handler["exec"].get("command") or ())
        try:
            done = await runtime.exec_sync(container_id, command, 0)
        except cri.CriError as problem:
            return str(problem)
        if done.exit_code:
            output = (done.stdout + done.stderr).decode(errors="replace")
            return f"command '{' '.join(command)}' exited with {done.exit_code}: {output}"
        return None
    if "httpGet" in handler:
        action = handler["httpGet"]
        with contextlib.suppress(ValueError):
            port = shift(port_number(container, action.get("port") or 80))
            result = await http(action.get("host") or address, port, action, 30, "kube-lifecycle/1.36")
            return None if result.ok else result.output
        return f"couldn't find port: {action.get('port')!r}"
    if "sleep" in handler:
        await clock.sleep(float(handler["sleep"].get("seconds") or 0))
        return None
    return f"invalid handler of pod {pods.full_name(pod)}"
