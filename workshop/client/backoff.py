"""How long to wait before the next try. Upstream: `apimachinery/pkg/util/wait/backoff.go`."""

from __future__ import annotations

from random import Random


class Backoff:
    """Doubling delays with jitter: 20 ms, 40 ms, 80 ms, … up to `cap`, each up to twice as long by chance.

    The jitter keeps ten components that lost the same server from coming back in step.
    """

    def __init__(self, random: Random, base: float = 0.02, cap: float = 1.0) -> None:
        self._random = random
        self._base = base
        self._cap = cap
        self._delay = base

    def next(self) -> float:
        """Seconds to wait now; the next call answers twice as much."""
        delay = self._delay
        self._delay = min(self._cap, delay * 2)
        return delay * (1 + self._random.random())

    def reset(self) -> None:
        """The try succeeded: begin from the shortest delay again."""
        self._delay = self._base
