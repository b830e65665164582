"""Who hears whom, and how late."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random


@dataclass
class Network:
    """Seconds and probabilities. `cut`: (from, to) pairs between which nothing passes."""

    random: Random
    delay: float = 0.001
    spread: float = 0.004
    loss: float = 0.0
    duplication: float = 0.0
    cut: set[tuple[int, int]] = field(default_factory=set)

    def arrivals(self, sender: int, to: int) -> list[float]:
        """After how many seconds a message arrives: not at all, once, or twice. Its order is not kept."""
        if (sender, to) in self.cut or (self.loss and self.random.random() < self.loss):
            return []
        copies = 2 if self.duplication and self.random.random() < self.duplication else 1
        return [self.delay + self.spread * self.random.random() ** 2 for _ in range(copies)]

    def partition(self, groups: Sequence[Collection[int]]) -> None:
        """Members hear only those of their own group. Whoever is in no group hears nobody."""
        everybody = {member for group in groups for member in group}
        self.cut = {
            (one, other)
            for one in everybody
            for other in everybody
            if one != other and not any(one in group and other in group for group in groups)
        }

    def isolate(self, member: int, others: Iterable[int]) -> None:
        for other in others:
            self.cut |= {(member, other), (other, member)}

    def cut_one_way(self, sender: int, to: int) -> None:
        self.cut.add((sender, to))

    def heal(self) -> None:
        self.cut.clear()
        self.loss = self.duplication = 0.0
        self.delay, self.spread = 0.001, 0.004
