"""Liveness, readiness and startup probes: the pure part, from single results to what they mean.

Upstream: `pkg/kubelet/prober/worker.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

KINDS = {"startup": "startupProbe", "liveness": "livenessProbe", "readiness": "readinessProbe"}


@dataclass(frozen=True)
class Settings:
    """A probe's numbers with upstream's defaults."""

    initial_delay: float = 0
    timeout: float = 1
    period: float = 10
    success_threshold: int = 1
    failure_threshold: int = 3

    @classmethod
    def of(cls, probe: Mapping[str, Any]) -> Settings:
        return cls(
            probe.get("initialDelaySeconds") or 0,
            probe.get("timeoutSeconds") or 1,
            probe.get("periodSeconds") or 10,
            probe.get("successThreshold") or 1,
            probe.get("failureThreshold") or 3,
        )


@dataclass(frozen=True)
class Result:
    """One try."""

    ok: bool
    output: str = ""
    warning: str = ""
    """What an event says of a success."""
    code: int = 0
    """The status of an HTTP answer that was none of success."""


@dataclass(frozen=True)
class State:
    """The run of equal results so far, and the verdict that stands (None: no threshold reached yet)."""

    last: bool | None = None
    run: int = 0
    verdict: bool | None = None


def first_try(kind: str, settings: Settings, now: float, *, added: float, chance: float | None, relist: float) -> float:
    """When a container that is found running at `now` is tried first; then once a period.

    Upstream's workers tick from the moment when the pod came to the node (`added`), whatever becomes of its containers;
    only readiness is also tried as soon as the container is seen to run, `relist` seconds after its start. After a
    restart of kubelet the first tick falls anywhere in the period (`chance`, 0 to 1), so that they do not all fall
    together.

    >>> first_try("liveness", Settings(period=10), 103.0, added=100.0, chance=None, relist=0.5)
    110.0
    """
    if chance is not None:
        return now + chance * settings.period
    if kind == "readiness":
        return now + relist
    return added + settings.period * (1 + max(0.0, now - added) // settings.period)


def initial(kind: str) -> State:
    """Liveness starts as alive, readiness as not ready, startup as unknown."""
    return State(verdict={"liveness": True, "readiness": False}.get(kind))


def observe(state: State, result: Result, settings: Settings) -> State:
    """The state after one more result; the verdict changes when a threshold is reached."""
    run = state.run + 1 if state.last == result.ok else 1
    state = replace(state, last=result.ok, run=run)
    threshold = settings.success_threshold if result.ok else settings.failure_threshold
    return replace(state, verdict=result.ok) if run >= threshold else state
