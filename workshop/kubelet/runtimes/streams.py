"""exec, attach and port-forward into the `process` runtime's containers: sessions with their shims."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Protocol

from workshop.kubelet import cri
from workshop.kubelet.cri import ContainerStatus, CriError, PodSandboxStatus
from workshop.kubelet.runtimes import shims, spec
from workshop.kubelet.runtimes.output import collect


class Containers(Protocol):
    """Of the runtime what is needed here."""

    @property
    def namespaced(self) -> bool: ...

    def known(self, container_id: str) -> ContainerStatus: ...

    def folder(self, status: ContainerStatus) -> str: ...

    def directory(self, sandbox_id: str) -> str: ...

    def port_shift(self, port: int) -> int: ...

    async def pod_sandbox_status(self, sandbox_id: str) -> PodSandboxStatus: ...


class Streams:
    def __init__(self, runtime: Containers) -> None:
        self._runtime = runtime

    def _exec_spec(
        self, container_id: str, command: list[str], *, stdin: bool, tty: bool
    ) -> tuple[str, dict[str, Any]]:
        status = self._runtime.known(container_id)
        if status.state != cri.RUNNING:
            raise CriError(f'container "{container_id}" is not running: state {status.state}')
        made = json.loads(Path(self._runtime.folder(status), "spec.json").read_text())
        return self._runtime.directory(status.sandbox_id), spec.exec_spec(
            made, command, status.pid, stdin=stdin, tty=tty
        )

    async def exec_sync(self, container_id: str, command: list[str], timeout: float) -> cri.ExecResult:
        """Raises CriError, with reason `Timeout` when `timeout` (0: none) passed; the process is then killed."""
        session = await self._exec(container_id, command, stdin=False, tty=False, kill_on_close=True)
        return await collect(session, command, timeout)

    async def exec(self, container_id: str, command: list[str], *, stdin: bool, tty: bool) -> cri.Stream:
        return await self._exec(container_id, command, stdin=stdin, tty=tty, kill_on_close=False)

    async def _exec(
        self, container_id: str, command: list[str], *, stdin: bool, tty: bool, kill_on_close: bool
    ) -> shims.Session:
        directory, made = self._exec_spec(container_id, command, stdin=stdin, tty=tty)
        try:
            return await shims.Session.open(directory, verb="exec", spec=made, kill_on_close=kill_on_close)
        except CriError as problem:
            if problem.reason in ("2", "13", "20"):
                text = (
                    str(problem)
                    if str(problem).startswith("exec:")
                    else f'exec: "{command[0]}": {str(problem).lower()}'
                )
                raise CriError(
                    f"OCI runtime exec failed: exec failed: unable to start container process: {text}",
                    "NotFound" if problem.reason != "13" else "Denied",
                ) from None
            raise

    async def attach(self, container_id: str) -> cri.Stream:
        status = self._runtime.known(container_id)
        return await shims.Session.open(self._runtime.directory(status.sandbox_id), verb="attach", id=container_id)

    async def port_forward(self, sandbox_id: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sandbox = await self._runtime.pod_sandbox_status(sandbox_id)
        namespaced = self._runtime.namespaced and not sandbox.host_network
        addresses = ["127.0.0.1", "::1"] if namespaced else [sandbox.ip, "127.0.0.1"]
        number = port if namespaced else self._runtime.port_shift(port)
        return await shims.dial(self._runtime.directory(sandbox_id), addresses, number)
