"""How many seats each priority level has.

The server's seats are shared out by nominalConcurrencyShares. A level may lend a part of its own and borrow up to a
limit; every ten seconds the shares are drawn anew from what each level asked for meanwhile.

Upstream: `util/flowcontrol/{apf_controller,conc_alloc}.go`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from workshop.api.meta import Obj

PERIOD = 10.0
"""Seconds between two adjustments."""
_SMOOTHING = 0.977


@dataclass(frozen=True)
class Level:
    """A PriorityLevelConfiguration. `queues` is 0 where a request that finds no seat is refused at once."""

    name: str
    uid: str = ""
    exempt: bool = False
    shares: int = 0
    lendable_percent: int = 0
    borrowing_percent: int | None = None
    queues: int = 0
    hand_size: int = 1
    queue_length: int = 50


def read(obj: Obj) -> Level:
    """What a PriorityLevelConfiguration says, with upstream's defaults."""
    spec, metadata = obj["spec"], obj["metadata"]
    exempt = spec.get("type") == "Exempt"
    settings = spec.get("exempt" if exempt else "limited") or {}
    response = settings.get("limitResponse") or {}
    queuing = (response.get("queuing") or {}) if response.get("type") == "Queue" else {}
    return Level(
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        exempt=exempt,
        shares=settings.get("nominalConcurrencyShares", 0 if exempt else 30),
        lendable_percent=settings.get("lendablePercent", 0),
        borrowing_percent=settings.get("borrowingLimitPercent"),
        queues=queuing.get("queues", 64) if response.get("type") == "Queue" else 0,
        hand_size=queuing.get("handSize", 8),
        queue_length=queuing.get("queueLengthLimit", 50),
    )


@dataclass(frozen=True)
class Limits:
    """Seats: what a level owns, the least it keeps when it lends all that it may, the most it can get."""

    nominal: int
    least: int
    most: int


@dataclass(frozen=True)
class Demand:
    """What a level asked for in a period: the most seats at once, and a mean that forgets slowly."""

    high: int = 0
    smoothed: float = 0.0


def nominal(levels: Mapping[str, Level], total: int) -> dict[str, Limits]:
    """`total` seats shared out; fractions are rounded up, so the sum may be a little more."""
    shares = sum(level.shares for level in levels.values()) or 1
    owned = {name: math.ceil(total * level.shares / shares) for name, level in levels.items()}
    found = {}
    for name, level in levels.items():
        mine = owned[name]
        lendable = _round(mine * level.lendable_percent / 100)
        percent = level.borrowing_percent
        borrowing = total if percent is None or level.exempt else _round(mine * percent / 100)
        found[name] = Limits(mine, mine - lendable, mine + borrowing)
    return found


def smoothed(before: float, mean: float, deviation: float) -> float:
    """A demand that rises at once and falls slowly."""
    envelope = mean + deviation
    return max(envelope, _SMOOTHING * before + (1 - _SMOOTHING) * envelope)


def borrow(levels: Mapping[str, Level], limits: Mapping[str, Limits], demand: Mapping[str, Demand]) -> dict[str, int]:
    """The seats of each level for the next period.

    Nobody gets less than it needs and owns; what is left over goes to all in proportion to what they asked for.
    """
    found: dict[str, int] = {}
    remaining = sum(limit.nominal for limit in limits.values())
    for name, level in levels.items():
        if level.exempt:
            found[name] = max(limits[name].least, demand[name].high)
            remaining -= found[name]
    limited = [name for name, level in levels.items() if not level.exempt]
    need = {n: max(limits[n].least, min(limits[n].nominal, demand[n].high)) for n in limited}
    least_sum, need_sum = sum(limits[n].least for n in limited), sum(need.values())
    if remaining <= least_sum:
        found.update({n: limits[n].least for n in limited})
    elif remaining <= need_sum:
        part = (remaining - least_sum) / (need_sum - least_sum)
        found.update({n: limits[n].least + _round((need[n] - limits[n].least) * part) for n in limited})
    else:
        targets = {n: max(float(need[n]), demand[n].smoothed, 0.001) for n in limited}
        factor = _fair_factor(sum(limit.nominal for limit in limits.values()), targets, need, limits)
        found.update({n: _round(_between(need[n], factor * targets[n], limits[n].most)) for n in limited})
    return found


def _fair_factor(
    total: int, targets: Mapping[str, float], need: Mapping[str, int], limits: Mapping[str, Limits]
) -> float:
    """The factor by which all targets grow so that together, kept within their bounds, they come to `total`."""
    low, high = 0.0, max((limits[name].most / target for name, target in targets.items()), default=0.0)
    for _ in range(60):
        middle = (low + high) / 2
        got = sum(_between(need[name], middle * target, limits[name].most) for name, target in targets.items())
        low, high = (middle, high) if got < total else (low, middle)
    return high


def _between(low: float, value: float, high: float) -> float:
    return max(low, min(high, value))


def _round(value: float) -> int:
    return math.floor(value + 0.5)
