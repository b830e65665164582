"""Node ports: a set of taken numbers, rebuilt from the Services at start.

Upstream: `pkg/registry/core/service/portallocator/allocator.go`.
"""

from __future__ import annotations

from random import Random

from workshop.apiserver.allocators.bands import pick, static_band
from workshop.apiserver.allocators.ips import AllocationError, RangeFull


class PortAllocator:
    """Ports `first..last`, both included."""

    def __init__(self, first: int, last: int, random: Random) -> None:
        self._first = first
        self._last = last
        self._random = random
        self._band = static_band(last - first + 1, least=16, most=128, share=32)
        self.used: set[int] = set()

    def allocate(self, port: int) -> None:
        """Take this very port. Raises AllocationError."""
        if not self._first <= port <= self._last:
            ports = f"{self._first}-{self._last}"
            raise AllocationError(f"provided port is not in the valid range. The range of valid ports is {ports}")
        if port in self.used:
            raise AllocationError("provided port is already allocated")
        self.used.add(port)

    def allocate_next(self) -> int:
        """Take a free port. Raises RangeFull."""
        port = pick(self._first, self._last, self._band, self.used, self._random)
        if port is None:
            raise RangeFull
        self.used.add(port)
        return port

    def release(self, port: int) -> None:
        """Give the port back."""
        self.used.discard(port)
