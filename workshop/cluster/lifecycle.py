"""PURE: what the supervisor decides about processes: when to try again, in which order to stop."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from workshop.cluster.plan import Component

FIRST_DELAY, LAST_DELAY = 0.05, 5.0
STEADY = 10.0
"""A process that has lived so many seconds is taken for healthy: its next end counts as the first."""


def back_off(failures: int) -> float:
    """Seconds until the next start after `failures` quick ends in a row.

    >>> [back_off(n) for n in (0, 1, 2, 7, 100)]
    [0.05, 0.1, 0.2, 5.0, 5.0]
    """
    return min(LAST_DELAY, FIRST_DELAY * float(2 ** min(failures, 16)))


def stop_order(components: Sequence[Component]) -> list[list[str]]:
    """Names in groups: each group is stopped when the one before has ended, clients before those they call.

    The API server outlives what reports to it, etcd outlives the API server.
    """
    ranks = {"etcd": 2, "kube-apiserver": 1, "load-balancer": 1}
    groups: dict[int, list[str]] = {}
    for component in components:
        groups.setdefault(ranks.get(component.program, 0), []).append(component.name)
    return [groups[rank] for rank in sorted(groups)]


def describe_exit(status: int | None) -> str:
    """`status 1`, `SIGKILL`, or `an unknown status` (an adopted process is no child).

    >>> describe_exit(-9)
    'SIGKILL'
    """
    if status is None:
        return "an unknown status"
    if status < 0:
        return signal.Signals(-status).name
    return f"status {status}"
