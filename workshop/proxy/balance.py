"""PURE: which endpoint a new connection gets. Upstream: `pkg/proxy/userspace/roundrobin.go` of 1.25.

With ClientIP affinity a client comes back to the endpoint that it had, as long as it asks again in time:

    state = Balance()
    pick(state, web, "10.7.0.9", now=0)    Endpoint('10.7.0.5', 80)
    pick(state, web, "10.7.0.9", now=5)    Endpoint('10.7.0.5', 80) with affinity, else the next one
"""

from __future__ import annotations

from dataclasses import dataclass, field

from workshop.hooks import hook
from workshop.proxy.rules import Endpoint, Target


@dataclass
class Balance:
    """What one Service port remembers between connections."""

    turn: int = 0
    sticky: dict[str, tuple[Endpoint, float]] = field(default_factory=dict)
    """Client's address → its endpoint and when it last came."""


@hook("kube-proxy")
def pick(state: Balance, target: Target, client: str, now: float) -> Endpoint | None:
    """The endpoint for a connection of `client` at `now` (monotonic seconds); None when there is none."""
    if not target.endpoints:
        return None
    if target.affinity:
        found = state.sticky.get(client)
        if found is not None and found[0] in target.endpoints and now - found[1] < target.affinity:
            state.sticky[client] = (found[0], now)
            return found[0]
    endpoint = target.endpoints[state.turn % len(target.endpoints)]
    state.turn = (state.turn + 1) % len(target.endpoints)
    if target.affinity:
        forget(state, target, now)
        state.sticky[client] = (endpoint, now)
    return endpoint


def failed(state: Balance, client: str) -> None:
    """The endpoint of `client` refused: the next pick may choose another."""
    state.sticky.pop(client, None)


def forget(state: Balance, target: Target, now: float) -> None:
    """Drop clients that have not come back in time, or whose endpoint is gone."""
    for client, (endpoint, last) in list(state.sticky.items()):
        if now - last >= target.affinity or endpoint not in target.endpoints:
            del state.sticky[client]
