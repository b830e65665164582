"""PURE: the addresses of a cluster.

Addresses of `P.k.0.0/16` (P is 127 in mode plain, else 10):

    P.k.254.m        master m (1 to 7)          P.k.0.0/17     pods, a /24 a node
    P.k.254.10       the load balancer, where there are several masters
    P.k.254.(10+n)   node n                     P.k.128.0/18   Services
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Addresses:
    """The addresses of one cluster: where everybody listens."""

    mode: str
    block: int
    masters: int = 1

    @property
    def prefix(self) -> str:
        return f"{127 if self.mode == 'plain' else 10}.{self.block}"

    @property
    def range(self) -> str:
        return f"{self.prefix}.0.0/16"

    @property
    def control_plane(self) -> str:
        """The first master, and the host's end of the bridge."""
        return self.master(1)

    def master(self, number: int) -> str:
        return f"{self.prefix}.254.{number}"

    @property
    def control_planes(self) -> tuple[str, ...]:
        return tuple(self.master(number) for number in range(1, self.masters + 1))

    @property
    def front(self) -> str:
        """Where API servers are reached: with several masters the load balancer, else the only one."""
        return self.control_plane if self.masters == 1 else f"{self.prefix}.254.10"

    @property
    def outside(self) -> str:
        """Where the host reaches the API servers: in mode userns through a socket opened before."""
        return f"127.{self.block}.254.1" if self.mode == "userns" else self.front

    def node(self, number: int) -> str:
        return f"{self.prefix}.254.{10 + number}"

    @property
    def pods(self) -> str:
        return f"{self.prefix}.0.0/17"

    @property
    def services(self) -> str:
        return f"{self.prefix}.128.0/18"

    @property
    def kubernetes_service(self) -> str:
        return f"{self.prefix}.128.1"

    @property
    def dns_service(self) -> str:
        return f"{self.prefix}.128.10"

    @property
    def api_server(self) -> str:
        return f"https://{self.outside}:6443"


@dataclass(frozen=True)
class Node:
    name: str
    address: str
    namespace: str | None
    """Name of the node's network namespace, as `ip netns` shows it; None in mode plain."""
