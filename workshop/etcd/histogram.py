"""How long something takes, counted as Prometheus wants it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

#: Seconds: upstream's buckets for the disk, each twice the one before.
DISK_BUCKETS = [0.001 * 2**power for power in range(14)]


class Histogram:
    """How often a duration fell into which bucket."""

    def __init__(self, buckets: list[float]) -> None:
        self._buckets = buckets
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._buckets, value)] += 1
        self._sum += value

    def lines(self, name: str) -> Iterator[str]:
        seen = 0
        for limit, count in zip([*map("{:g}".format, self._buckets), "+Inf"], self._counts, strict=True):
            seen += count
            yield f'{name}_bucket{{le="{limit}"}} {seen}'
        yield f"{name}_sum {self._sum:g}"
        yield f"{name}_count {seen}"
