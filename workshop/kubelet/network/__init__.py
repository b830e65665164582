"""Pod networking: what a CNI plugin does for a real kubelet, chosen by a file in `--cni-conf-dir`.

The first `*.conf` or `*.json` file of that directory (by name) is read, again whenever the node is not ready yet.
Without one the node says `cni plugin not initialized`, as with a real runtime. The format is CNI's network
configuration (https://www.cni.dev/docs/spec/) with keys of our own:

    {"cniVersion": "1.0.0",
     "name": "workshop",               the cluster's name; only shown
     "type": "bridge",                 modes root and userns: kubelet already runs inside the node's network namespace
     "bridge": "cni0",                 optional; the bridge made inside the node, it carries podCIDR's .1
     "mtu": 1500,                      optional
     "clusterCIDR": "10.4.0.0/17",     all pods of the cluster
     "kubeconfig": "/…/proxy.conf",    optional; who may watch all Nodes, for the routes to their pods
     "serviceCIDR": "10.4.128.0/18"}   all Services

    {"cniVersion": "1.0.0", "name": "workshop",
     "type": "loopback",               mode plain: pods get addresses 127.k.n.m of spec.podCIDR, nothing is set up
     "portShift": 10000,               optional; what is added to ports that may not be bound
     "clusterCIDR": "127.4.0.0/17", "serviceCIDR": "127.4.128.0/18"}

Files: `ipam.py` hands out addresses, `bridge.py` and `loopback.py` are the two plugins. A plugin is a `PodNetwork`.
`hostports.py` is the portmap plugin. Left out: plugin chains, IPv6. Upstream: `containernetworking/plugins`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class NetworkConfig:
    """A network configuration file, read and checked."""

    name: str
    type: str
    cluster_cidr: str = ""
    service_cidr: str = ""
    bridge: str = "cni0"
    mtu: int = 1500
    port_shift: int = 10000
    kubeconfig: str = ""


class NetworkError(Exception):
    """The pod's network could not be made; the text becomes part of FailedCreatePodSandBox."""


def load(directory: str) -> NetworkConfig | None:
    """The first configuration of `directory`, or None when there is none (yet). Raises NetworkError when it is bad."""
    folder = Path(directory)
    if not folder.is_dir():
        return None
    for path in sorted(folder.iterdir()):
        if path.suffix not in (".conf", ".json", ".conflist"):
            continue
        try:
            raw = json.loads(path.read_text())
            if "plugins" in raw:
                raw = {**raw, **raw["plugins"][0]}
            config = NetworkConfig(
                name=str(raw["name"]),
                type=str(raw["type"]),
                cluster_cidr=str(raw.get("clusterCIDR", "")),
                service_cidr=str(raw.get("serviceCIDR", "")),
                bridge=str(raw.get("bridge", "cni0")),
                mtu=int(raw.get("mtu", 1500)),
                port_shift=int(raw.get("portShift", 10000)),
                kubeconfig=str(raw.get("kubeconfig", "")),
            )
        except (ValueError, KeyError, TypeError, IndexError) as problem:
            raise NetworkError(f"error parsing configuration {path}: {problem}") from None
        if config.type not in ("bridge", "loopback"):
            raise NetworkError(f'failed to find plugin "{config.type}" in path [bridge, loopback]')
        return config
    return None


class PodNetwork(Protocol):
    """What a plugin offers to the runtime."""

    def namespaced(self) -> bool:
        """True when a pod lives in a network namespace of its own."""
        ...

    async def start(self, pod_cidr: str) -> None:
        """Prepare the node for pods out of `pod_cidr`. May be called again, also after a restart."""
        ...

    async def attach(self, sandbox: str, pid: int) -> str:
        """Give the sandbox an address; `pid` is a process in its network namespace. Returns the address."""
        ...

    async def adopt(self, sandbox: str, address: str) -> None:
        """Remember the address of a sandbox that was already there."""
        ...

    async def detach(self, sandbox: str) -> None:
        """Take the address back. Harmless when there is none."""
        ...

    async def routes(self, nodes: dict[str, str]) -> None:
        """Reach other nodes' pods: {pod CIDR: node address}."""
        ...
