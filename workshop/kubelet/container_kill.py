"""Ending containers: preStop, SIGTERM, SIGKILL, within the grace period.

Upstream: `pkg/kubelet/kuberuntime/kuberuntime_container.go` (`killContainer`), `kuberuntime_manager.go` (`killPod…`).
"""

from __future__ import annotations

import asyncio

from workshop.kubelet import cri, pods
from workshop.kubelet.actions import Kill
from workshop.kubelet.lifecycle import Hooks
from workshop.kubelet.pod_parts import Parts
from workshop.kubelet.pods import Obj, Observed
from workshop.kubelet.prober import Prober

MINIMUM_GRACE = 2.0
RESTART_ALL = "RestartAllContainers"


class Killer:
    def __init__(self, parts: Parts, prober: Prober) -> None:
        self._parts, self._prober = parts, prober
        self._hooks = Hooks(parts.runtime, parts.shift, parts.clock, parts.event)

    async def kill_container(self, pod: Obj, observed: Observed, kill: Kill, grace: float) -> None:
        """preStop, then the runtime's stop, within the grace period."""
        container = pods.container_named(pod, kill.name) or {"name": kill.name}
        self._prober.forget(kill.container_id)
        self._parts.event(pod, "Normal", "Killing", kill.message or f"Stopping container {kill.name}", kill.name)
        probe = container.get({"LivenessProbe": "livenessProbe", "StartupProbe": "startupProbe"}.get(kill.reason, ""))
        if probe and probe.get("terminationGracePeriodSeconds") is not None:
            grace = float(probe["terminationGracePeriodSeconds"])
        handler = (container.get("lifecycle") or {}).get("preStop")
        if handler and grace > 0 and not self._parts.simulated:
            begun, sandbox = self._parts.clock.monotonic(), observed.sandbox()
            address = sandbox.ip if sandbox else ""
            try:
                running = self._hooks.run(handler, pod, container, kill.container_id, address)
                problem = await asyncio.wait_for(running, grace)
            except TimeoutError:
                problem = ""
            if problem:
                self._parts.event(pod, "Warning", "FailedPreStopHook", "PreStopHook failed", kill.name)
            grace = max(MINIMUM_GRACE, grace - (self._parts.clock.monotonic() - begun))
        if kill.reason == RESTART_ALL:
            grace = MINIMUM_GRACE
        await self._parts.runtime.stop_container(kill.container_id, grace)

    async def kill_pod(self, pod: Obj, observed: Observed, grace: float) -> None:
        """All containers at once, sidecars after the others, then the sandbox."""
        sidecars = {c["name"] for c in pods.init_containers(pod) if pods.is_sidecar(c)}
        begun = self._parts.clock.monotonic()
        running = observed.running()
        for group in (
            [c for c in running if c.name not in sidecars],
            [c for c in running if c.name in sidecars][::-1],
        ):
            left = max(MINIMUM_GRACE, grace - (self._parts.clock.monotonic() - begun)) if grace else 0
            await asyncio.gather(*(self.kill_container(pod, observed, Kill(c.id, c.name, ""), left) for c in group))
        for sandbox in observed.sandboxes:
            if sandbox.state == cri.READY:
                await self._parts.runtime.stop_pod_sandbox(sandbox.id)
