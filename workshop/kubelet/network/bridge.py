"""Modes root and userns: a bridge in the node's network namespace, a veth pair a pod, host-gateway routes.

    pod (own namespace)        node (own namespace)
    eth0 10.4.1.7 ── veth… ── cni0 10.4.1.1 ── routes: 10.4.2.0/24 via node-2's address

The commands go to `ip -batch` as text, so that one process does a pod's whole side. Upstream: `plugins/main/bridge`
and flannel's `host-gw` backend.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from workshop.kubelet.network import NetworkConfig, NetworkError
from workshop.kubelet.network.ipam import Pool


def bridge_script(bridge: str, gateway: str, prefix: int, mtu: int) -> str:
    """Make the bridge. Lines that may already be done are told apart by `ip -force`."""
    return (
        f"link add {bridge} mtu {mtu} type bridge\n"
        f"addr add {gateway}/{prefix} dev {bridge}\n"
        f"link set {bridge} up\n"
        "link set lo up\n"
    )


def veth_script(veth: str, bridge: str, pid: int, mtu: int) -> str:
    """The node's side of a pod: a veth pair, one end in the pod's namespace under the name eth0."""
    return (
        f"link add {veth} mtu {mtu} type veth peer name eth0 mtu {mtu} netns {pid}\n"
        f"link set {veth} master {bridge} up\n"
    )


def pod_script(address: str, prefix: int, gateway: str) -> str:
    """The pod's side: loopback, address and default route."""
    return (
        "link set lo up\n"
        f"addr add {address}/{prefix} dev eth0\n"
        "link set eth0 up\n"
        f"route add default via {gateway} dev eth0\n"
    )


def route_changes(have: dict[str, str], want: dict[str, str]) -> str:
    """The lines that lead from the routes we made to those we want, both {pod CIDR: node address}."""
    gone = [f"route del {cidr} via {have[cidr]}\n" for cidr in have if cidr not in want]
    new = [f"route replace {cidr} via {via}\n" for cidr, via in want.items() if have.get(cidr) != via]
    return "".join(gone + new)


async def ip_batch(script: str, *, pid: int | None = None, force: bool = False) -> None:
    """Feed lines to one `ip -batch -`, inside the network namespace of `pid` if given. Raises NetworkError."""
    command = ["ip", *(["-force"] if force else []), "-batch", "-"]
    if pid is not None:
        command = ["nsenter", "-t", str(pid), "-n", *command]
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as problem:
        raise NetworkError(f"cannot run {command[0]}: {problem.strerror}") from None
    _, errors = await process.communicate(script.encode())
    if process.returncode and not force:
        raise NetworkError(errors.decode(errors="replace").strip() or f"ip -batch ended with {process.returncode}")


class Bridge:
    """The plugin of modes root and userns."""

    def __init__(self, config: NetworkConfig) -> None:
        self.config = config
        self.pool: Pool | None = None
        self._kept: dict[str, str] = {}
        self._routes: dict[str, str] = {}

    def namespaced(self) -> bool:
        return True

    async def start(self, pod_cidr: str) -> None:
        if self.pool is not None:
            return
        pool = Pool(pod_cidr)
        prefix = pool.network.prefixlen
        if not Path("/sys/class/net", self.config.bridge).exists():
            # /sys may belong to another namespace, so "File exists" is not an error
            await ip_batch(bridge_script(self.config.bridge, pool.gateway, prefix, self.config.mtu), force=True)
        for path in ("/proc/sys/net/ipv4/ip_forward",):
            try:
                Path(path).write_text("1\n")
            except OSError as problem:
                raise NetworkError(f"cannot switch on forwarding: {problem}") from None
        for sandbox, address in self._kept.items():
            pool.keep(sandbox, address)
        self.pool = pool

    async def attach(self, sandbox: str, pid: int) -> str:
        if self.pool is None:
            raise NetworkError("cni plugin not initialized: the node has no podCIDR yet")
        address = self.pool.take(sandbox)
        try:
            await ip_batch(veth_script(f"veth{sandbox[:8]}", self.config.bridge, pid, self.config.mtu))
            await ip_batch(pod_script(address, self.pool.network.prefixlen, self.pool.gateway), pid=pid)
        except NetworkError:
            self.pool.release(sandbox)
            raise
        return address

    async def adopt(self, sandbox: str, address: str) -> None:
        if self.pool is None:
            self._kept[sandbox] = address
        else:
            self.pool.keep(sandbox, address)

    async def detach(self, sandbox: str) -> None:
        # the veth pair goes with the pod's namespace; the address may be given again after that
        if self.pool is not None:
            self.pool.release(sandbox)

    async def routes(self, nodes: dict[str, str]) -> None:
        script = route_changes(self._routes, nodes)
        if script:
            await ip_batch(script, force=True)
            self._routes = dict(nodes)
