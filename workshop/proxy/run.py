"""kube-proxy's loop: two informers, one pure decision, one difference applied. Upstream: `cmd/kube-proxy/app`."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from workshop.api.meta import Key, Obj
from workshop.api.resources import resource
from workshop.client.events import Recorder
from workshop.client.informer import Informer
from workshop.client.rest import Client
from workshop.clock import SYSTEM, Clock
from workshop.proxy import health
from workshop.proxy.forwarder import Forwarder
from workshop.proxy.rules import NodeView, health_checks, render, unheeded
from workshop.proxy.service_health import ServiceHealth
from workshop.serving import listen, serve

log = logging.getLogger(__name__)

ZONE = "topology.kubernetes.io/zone"
RETRY_SECONDS = 5.0
"""How soon a port that could not be opened is tried again."""


@dataclass(frozen=True)
class Config:
    kubeconfig: str
    node_name: str
    bind_address: str
    healthz: tuple[str, int] | None
    metrics: tuple[str, int] | None
    min_sync_period: float


def lowest_port() -> int:
    """The lowest port that this process may bind: 0 with the capability, else what the system says."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        start = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii")
    except OSError:
        return 0 if os.geteuid() == 0 else 1024
    effective = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff")), 0)
    return 0 if effective & 1 << 10 else int(start)  # CAP_NET_BIND_SERVICE is the tenth capability


class Proxy:
    """One node's proxy."""

    def __init__(self, config: Config, client: Client, clock: Clock = SYSTEM) -> None:
        self.config, self.clock = config, clock
        self.node = NodeView(config.node_name, config.bind_address, lowest_port())
        self.services = Informer(
            client, resource("services"), label_selector="!service.kubernetes.io/service-proxy-name"
        )
        self.slices = Informer(
            client, resource("endpointslices.discovery.k8s.io"), label_selector="!service.kubernetes.io/headless"
        )
        self.forwarder = Forwarder(clock, Random(), shared=self.node.shared)
        self.state = health.State(clock)
        self.checks = ServiceHealth(config.bind_address, lambda: bool(self.state.updated))
        self.recorder = Recorder(client, "kube-proxy", host=config.node_name, clock=clock)
        self.nodes = Informer(client, resource("nodes"), field_selector=f"metadata.name={config.node_name}")
        self.dirty = asyncio.Event()
        self._told: set[str] = set()
        for informer in (self.services, self.slices, self.nodes):
            informer.add_handler(self._changed, self._moved, self._changed)

    def _changed(self, obj: object) -> None:
        self.dirty.set()

    def _moved(self, old: Obj, new: Obj) -> None:
        """Of the Node only its labels count: its status changes all the time."""
        if new.get("kind") == "Node" and (old["metadata"].get("labels") == new["metadata"].get("labels")):
            return
        self._changed(new)

    def view(self) -> NodeView:
        """The node as it is now."""
        labels = next((node["metadata"].get("labels") or {} for node in self.nodes.store.list()), {})
        return replace(self.node, zone=labels.get(ZONE, ""))

    def _tell(self, problems: dict[str, tuple[str, str]]) -> None:
        """{what is wrong: (namespace/name of the Service, reason)}: an event there, once as long as it lasts."""
        for said in problems.keys() - self._told:
            log.warning("%s", said)
            service, reason = problems[said]
            namespace, _, name = service.partition("/")
            about = self.services.store.get(Key(namespace, name))
            if about is not None:
                self.recorder.event({"apiVersion": "v1", "kind": "Service", **about}, "Warning", reason, said)
        self._told = set(problems)

    def _unheeded(self, services: list[Obj], node: NodeView) -> dict[str, tuple[str, str]]:
        found = {}
        for service in services:
            if fields := unheeded(service, node):
                key = f"{service['metadata'].get('namespace', '')}/{service['metadata']['name']}"
                why = "all nodes share the Service's address on one machine, and any of their proxies answers"
                said = f"Accepted but not enforced in mode plain for {key}: {', '.join(fields)} ({why})"
                found[said] = (key, "NotEnforced")
        return found

    async def follow(self) -> None:
        """Apply the rules whenever Services or EndpointSlices have changed."""
        await self.services.synced.wait()
        await self.slices.synced.wait()
        await self.nodes.synced.wait()
        retry: float | None = 0.0
        while True:
            try:
                await asyncio.wait_for(self.dirty.wait(), retry)
            except TimeoutError:
                pass  # the first time, or a port failed to open
            self.dirty.clear()
            services, slices, node = self.services.store.list(), self.slices.store.list(), self.view()
            rules = render(services, slices, node)
            failed = await self.forwarder.apply(rules)
            unchecked = await self.checks.apply(health_checks(services, slices, node))
            problems = {said: (rules[at].port_name.rpartition(":")[0] or rules[at].port_name, "PortNotOpened")
                        for at, said in failed.items()}  # fmt: skip
            for (namespace, name), said in unchecked.items():
                whole = f"node {self.config.node_name} {said}"
                problems[whole] = (f"{namespace}/{name}", "FailedToStartServiceHealthcheck")
            self._tell(problems | self._unheeded(services, node))
            self.state.updated, self.state.rules = self.clock.now(), len(rules)
            self.state.syncs, self.state.failures = self.state.syncs + 1, self.state.failures + len(failed)
            retry = RETRY_SECONDS if failed or unchecked else None
            await self.clock.sleep(self.config.min_sync_period)


async def run(config: Config, stop: asyncio.Event) -> None:
    """Until `stop` is set."""
    async with AsyncExitStack() as stack:
        client = Client.from_kubeconfig(config.kubeconfig, user_agent="kube-proxy/v1.36.2")
        stack.push_async_callback(client.close)
        proxy = Proxy(config, client)
        stack.push_async_callback(proxy.forwarder.close)
        stack.push_async_callback(proxy.checks.close)
        for address in {config.healthz, config.metrics} - {None}:
            assert address is not None
            await stack.enter_async_context(serve(health.app(proxy.state), [listen(*address)]))
        log.info("using the userspace proxy on node %s, %s", config.node_name, config.bind_address)
        works = (proxy.services, proxy.slices, proxy.nodes, proxy.recorder)
        tasks = [asyncio.ensure_future(work) for work in (*(each.run() for each in works), proxy.follow())]
        ending = asyncio.ensure_future(stop.wait())
        try:
            done, _ = await asyncio.wait([ending, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in [ending, *tasks]:
                task.cancel()
            await asyncio.gather(ending, *tasks, return_exceptions=True)
