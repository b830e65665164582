"""PURE: which server a new connection goes to."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Seconds for which a server that refused a connection is asked last.
PENALTY = 1.0


@dataclass
class Choice:
    """`open`: connections by server. Times are monotonic seconds.

    >>> choice = Choice(["a", "b"])
    >>> choice.order(0.0)
    ['a', 'b']
    >>> choice.opened("a"); choice.order(0.0)
    ['b', 'a']
    >>> choice.failed("b", 0.0); choice.order(0.5)
    ['a', 'b']
    >>> choice.order(1.5)
    ['b', 'a']
    """

    servers: list[str]
    open: dict[str, int] = field(default_factory=dict)
    _until: dict[str, float] = field(default_factory=dict)

    def order(self, now: float) -> list[str]:
        """All servers, the one to try first in front."""
        return sorted(self.servers, key=lambda s: (self._until.get(s, 0.0) > now, self.open.get(s, 0)))

    def opened(self, server: str) -> None:
        self.open[server] = self.open.get(server, 0) + 1

    def closed(self, server: str) -> None:
        self.open[server] -= 1

    def failed(self, server: str, now: float) -> None:
        self._until[server] = now + PENALTY
