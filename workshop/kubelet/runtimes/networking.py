"""A node's pod network as a runtime holds it: the CNI configuration, the node's range, the routes, and what is wrong.

The process runtime and the Docker runtime have one each. Not ready until there is a configuration and a podCIDR;
`condition()` says why in the words that a Node's Ready condition shows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from workshop.clock import Clock
from workshop.kubelet import cri
from workshop.kubelet.network import NetworkConfig, NetworkError, PodNetwork, load
from workshop.kubelet.network.bridge import Bridge
from workshop.kubelet.network.loopback import Loopback

log = logging.getLogger(__name__)

PLUGIN = "Network plugin returns error: "


class NodeNetwork:
    """The plugin that `--cni-conf-dir` chooses, started as soon as the node has its range."""

    def __init__(self, cni_conf_dir: str) -> None:
        self._directory = cni_conf_dir
        self.config: NetworkConfig | None = None
        self.plugin: PodNetwork | None = None
        self.problem = f"{PLUGIN}cni plugin not initialized"
        """Why there is no plugin."""
        self._start_problem = ""
        self.pod_cidr = ""
        self._routes: dict[str, str] = {}

    def load(self) -> None:
        """Read the configuration if that has not been done; `problem` says why it cannot be."""
        if self.plugin is not None or not self._directory:
            return
        try:
            self.config = load(self._directory)
        except NetworkError as problem:
            self.problem = f"{PLUGIN}{problem}"
            return
        if self.config is not None:
            self.plugin = Bridge(self.config) if self.config.type == "bridge" else Loopback(self.config)

    @property
    def namespaced(self) -> bool:
        """Whether a pod has a network namespace of its own (modes root and userns)."""
        return self.plugin is not None and self.plugin.namespaced()

    @property
    def kubeconfig(self) -> str:
        """Who may watch all Nodes, for the routes; "" for the kubelet itself."""
        return self.config.kubeconfig if self.config else ""

    @property
    def port_shift(self) -> int:
        """Mode plain: what is added to a port that may not be bound."""
        return self.config.port_shift if self.config and self.config.type == "loopback" else 0

    async def start(self, cidr: str) -> None:
        """The node's range is known (or is tried again)."""
        self.pod_cidr = cidr
        self.load()
        if self.plugin is None:
            return
        try:
            await self.plugin.start(cidr)
            self._start_problem = ""
            if self._routes:
                await self.plugin.routes(self._routes)
        except NetworkError as problem:
            self._start_problem = f"{PLUGIN}{problem}"

    async def routes(self, nodes: dict[str, str]) -> None:
        """The other nodes' pod ranges: {pod CIDR: node address}."""
        self._routes = dict(nodes)
        if self.plugin is not None and self.pod_cidr:
            try:
                await self.plugin.routes(self._routes)
            except NetworkError as problem:
                log.error("routes to other nodes: %s", problem)

    async def condition(self) -> cri.RuntimeCondition:
        """NetworkReady; tries again what failed before."""
        self.load()
        if self.plugin is not None and self.pod_cidr:
            await self.start(self.pod_cidr)
        if self.plugin is not None and self.pod_cidr and not self._start_problem:
            return cri.RuntimeCondition("NetworkReady", True)
        message = self.problem
        if self.plugin is not None:
            message = self._start_problem or f"{PLUGIN}the node has no podCIDR yet"
        return cri.RuntimeCondition("NetworkReady", False, "NetworkPluginNotReady", message)


class OnNodeNetwork:
    """What every runtime with real containers does alike: CRI's verbs about the network, and the stream of events."""

    def __init__(self, cni_conf_dir: str, node_ip: str, clock: Clock) -> None:
        self._network = NodeNetwork(cni_conf_dir)
        self._node_ip, self.clock = node_ip, clock
        self._events: asyncio.Queue[cri.ContainerEvent] = asyncio.Queue()

    @property
    def namespaced(self) -> bool:
        return self._network.namespaced

    async def set_pod_cidr(self, cidr: str) -> None:
        await self._network.start(cidr)

    async def set_routes(self, nodes: dict[str, str]) -> None:
        await self._network.routes(nodes)

    def routed(self) -> str | None:
        """Whose kubeconfig may watch all Nodes ("": our own), where pods are reached by routes. None: no routes."""
        return self._network.kubeconfig if self._network.namespaced else None

    async def events(self) -> AsyncIterator[cri.ContainerEvent]:
        while True:
            yield await self._events.get()
