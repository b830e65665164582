"""Choosing a free number of a range. Pure.

The low part of a range is the static band: numbers there are given away by chance only when the rest is full, so
that whoever names an address or port himself likely finds it free.

    10.96.0.0/16:  .0.1 … .1.0 static band (256)  |  .1.1 … .255.254 at random
    30000-32767:   30000 … 30085 static band (86) |  30086 … 32767 at random

Upstream: `calculateRangeOffset` in `pkg/registry/core/service/{ipallocator,portallocator}`.
"""

from __future__ import annotations

import itertools
from collections.abc import Container
from random import Random

#: So many throws of the dice before looking at one number after another.
THROWS = 16


def static_band(size: int, least: int, most: int, share: int) -> int:
    """How many numbers of a range of `size` the band holds: a `share`th, between `least` and `most`."""
    return 0 if size <= least else min(max(size // share, least), most)


def pick(first: int, last: int, band: int, used: Container[int], random: Random) -> int | None:
    """A number of `first..last` that is not `used`; None if there is none."""
    upper = min(first + band, last + 1)
    for low, high in ((upper, last), (first, upper - 1)):
        if low > high:
            continue
        for _ in range(THROWS):
            number: int = random.randint(low, high)
            if number not in used:
                return number
        start = random.randint(low, high)
        for number in itertools.chain(range(start, high + 1), range(low, start)):
            if number not in used:
                return number
    return None
