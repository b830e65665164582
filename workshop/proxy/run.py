"""kube-proxy's loop: two informers, one pure decision, one difference applied. Upstream: `cmd/kube-proxy/app`."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

from workshop.api.resources import resource
from workshop.client.informer import Informer
from workshop.client.rest import Client
from workshop.clock import SYSTEM, Clock
from workshop.proxy import health
from workshop.proxy.forwarder import Forwarder
from workshop.proxy.rules import NodeView, render
from workshop.serving import listen, serve

log = logging.getLogger(__name__)

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
        self.forwarder = Forwarder(clock, Random())
        self.state = health.State(clock)
        self.dirty = asyncio.Event()
        for informer in (self.services, self.slices):
            informer.add_handler(self._changed, lambda old, new: self._changed(new), self._changed)

    def _changed(self, obj: object) -> None:
        self.dirty.set()

    async def follow(self) -> None:
        """Apply the rules whenever Services or EndpointSlices have changed."""
        await self.services.synced.wait()
        await self.slices.synced.wait()
        retry: float | None = 0.0
        while True:
            try:
                await asyncio.wait_for(self.dirty.wait(), retry)
            except TimeoutError:
                pass  # the first time, or a port failed to open
            self.dirty.clear()
            rules = render(self.services.store.list(), self.slices.store.list(), self.node)
            problems = await self.forwarder.apply(rules)
            for problem in problems:
                log.error("%s", problem)
            self.state.updated, self.state.rules = self.clock.now(), len(rules)
            self.state.syncs, self.state.failures = self.state.syncs + 1, self.state.failures + len(problems)
            retry = RETRY_SECONDS if problems else None
            await self.clock.sleep(self.config.min_sync_period)


async def run(config: Config, stop: asyncio.Event) -> None:
    """Until `stop` is set."""
    async with AsyncExitStack() as stack:
        client = Client.from_kubeconfig(config.kubeconfig, user_agent="kube-proxy/v1.36.2")
        stack.push_async_callback(client.close)
        proxy = Proxy(config, client)
        stack.push_async_callback(proxy.forwarder.close)
        for address in {config.healthz, config.metrics} - {None}:
            assert address is not None
            await stack.enter_async_context(serve(health.app(proxy.state), [listen(*address)]))
        log.info("using the userspace proxy on node %s, %s", config.node_name, config.bind_address)
        tasks = [asyncio.ensure_future(work) for work in (proxy.services.run(), proxy.slices.run(), proxy.follow())]
        ending = asyncio.ensure_future(stop.wait())
        try:
            done, _ = await asyncio.wait([ending, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in [ending, *tasks]:
                task.cancel()
            await asyncio.gather(ending, *tasks, return_exceptions=True)
