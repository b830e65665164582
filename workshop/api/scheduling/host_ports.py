"""Ports of the node that pods take: no two pods can have the same. Upstream: `pkg/scheduler/util/utils.go`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HostPort = tuple[str, str, int]
"""(protocol, address, port); the address 0.0.0.0 stands for all."""

ANY_ADDRESS = "0.0.0.0"


def host_ports(spec: Mapping[str, Any]) -> tuple[HostPort, ...]:
    """Those that a pod's spec asks for."""
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return tuple(
        (port.get("protocol") or "TCP", port.get("hostIP") or ANY_ADDRESS, port["hostPort"])
        for container in containers
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )


def clash(a: HostPort, b: HostPort) -> bool:
    same_address = a[1] == b[1] or ANY_ADDRESS in (a[1], b[1])
    return a[0] == b[0] and a[2] == b[2] and same_address
