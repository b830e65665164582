"""Mode plain: every address of 127.0.0.0/8 can be bound on Linux, so a pod simply gets one. Nothing to set up."""

from __future__ import annotations

from workshop.kubelet.network import NetworkConfig, NetworkError
from workshop.kubelet.network.ipam import Pool


class Loopback:
    """Addresses out of the node's pod CIDR on the host's own loopback device."""

    def __init__(self, config: NetworkConfig) -> None:
        self.config = config
        self.pool: Pool | None = None
        self._kept: dict[str, str] = {}

    def namespaced(self) -> bool:
        return False

    async def start(self, pod_cidr: str) -> None:
        if self.pool is None:
            self.pool = Pool(pod_cidr)
            for sandbox, address in self._kept.items():
                self.pool.keep(sandbox, address)

    async def attach(self, sandbox: str, pid: int) -> str:
        if self.pool is None:
            raise NetworkError("cni plugin not initialized: the node has no podCIDR yet")
        return self.pool.take(sandbox)

    async def adopt(self, sandbox: str, address: str) -> None:
        if self.pool is None:
            self._kept[sandbox] = address
        else:
            self.pool.keep(sandbox, address)

    async def detach(self, sandbox: str) -> None:
        if self.pool is not None:
            self.pool.release(sandbox)

    async def routes(self, nodes: dict[str, str]) -> None:
        return None
