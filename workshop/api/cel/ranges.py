"""From least to most: of a size, or of a cost. What is too much is all that fits 64 bits.

>>> Range(1, 3).plus(exactly(2)).by(0.5)
Range(least=2, most=3)

Upstream: cel-go checker/cost.go (SizeEstimate, CostEstimate).
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import NamedTuple

MOST = (1 << 64) - 1


class Range(NamedTuple):
    """From least to most, of a size or of a cost; what is too much is all that fits 64 bits."""

    least: int
    most: int

    def plus(self, other: Range) -> Range:
        return Range(min(self.least + other.least, MOST), min(self.most + other.most, MOST))

    def times(self, other: Range) -> Range:
        return Range(min(self.least * other.least, MOST), min(self.most * other.most, MOST))

    def by(self, factor: float) -> Range:
        return Range(_scaled(self.least, factor), _scaled(self.most, factor))

    def union(self, other: Range) -> Range:
        return Range(min(self.least, other.least), max(self.most, other.most))


def _scaled(number: int, factor: float) -> int:
    made = float(number) * factor
    return MOST if made >= 2.0**64 else ceil(made)


def exactly(number: int) -> Range:
    return Range(number, number)


UNKNOWN, ZERO, ONE = Range(0, MOST), Range(0, 0), Range(1, 1)
Path = tuple[str, ...]
Sizes = Callable[[Path], Range | None]
