"""Lifecycle hooks: what a container wants done right after its start and before its end.

Upstream: `pkg/kubelet/lifecycle/handlers.go`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from workshop.clock import Clock
from workshop.kubelet import cri, pods
from workshop.kubelet.dial import NO_TLS, http, port_number
from workshop.kubelet.pods import Obj

AGENT = "kube-lifecycle/1.36"
LIMIT = 30.0


@dataclass(frozen=True)
class Hooks:
    """Runs a handler. `shift`: mode plain's ports; `event(pod, type, reason, message, container)`."""

    runtime: cri.Runtime
    shift: Callable[[int], int]
    clock: Clock
    event: Callable[[Obj, str, str, str, str], None]

    async def run(self, handler: Obj, pod: Obj, container: Obj, container_id: str, address: str) -> str:
        """What went wrong, or "". An answer by HTTP is fine, whatever its status."""
        where = f'for Container "{container["name"]}" in Pod "{pods.full_name(pod)}" failed - error:'
        if "exec" in handler:
            command = list(handler["exec"].get("command") or ())
            problem, output = await self._exec(command, container_id)
            said = f"Exec lifecycle hook ([{' '.join(command)}]) {where} {problem}, message: {json.dumps(output)}"
        elif "httpGet" in handler:
            problem = await self._http(handler["httpGet"], pod, container, address)
            said = f"HTTP lifecycle hook ({handler['httpGet'].get('path') or ''}) {where} {problem}"
        elif "sleep" in handler:
            await self.clock.sleep(float(handler["sleep"].get("seconds") or 0))
            return ""
        else:
            problem, said = "invalid handler", f"Cannot run handler: invalid handler: {handler}"
        return said if problem else ""

    async def _exec(self, command: list[str], container_id: str) -> tuple[str, str]:
        try:
            done = await self.runtime.exec_sync(container_id, command, 0)
        except cri.CriError as problem:
            return str(problem), ""
        output = (done.stdout + done.stderr).decode(errors="replace")
        return f"command '{' '.join(command)}' exited with {done.exit_code}: {output}" if done.exit_code else "", output

    async def _http(self, action: Obj, pod: Obj, container: Obj, address: str) -> str:
        try:
            port = self.shift(port_number(container, action["port"]))
        except (ValueError, KeyError) as problem:
            return str(problem)
        host = action.get("host") or address
        result = await http(host, port, action, LIMIT, AGENT)
        if not result.ok and NO_TLS in result.output:
            # as upstream: a hook that says HTTPS to a server without it was never checked before 1.25
            result = await http(host, port, {**action, "scheme": "HTTP"}, LIMIT, AGENT)
            if result.ok or result.code:
                said = f"request to HTTPS lifecycle hook {host}:{port} got HTTP response, retry with HTTP succeeded"
                self.event(pod, "Warning", "LifecycleHTTPFallback", said, "")
        return "" if result.ok or result.code else result.output
