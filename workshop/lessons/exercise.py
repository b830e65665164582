"""PURE: an exercise is a task, a judge of the state, and hints in tiers. State is judged, not commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workshop.cluster.board import World

TIERS = ("what is wrong", "where to look", "half of the way", "the solution")


@dataclass(frozen=True)
class Finding:
    """What a judge found. `looked_at` is said in either case; `wrong` is empty when the exercise is solved."""

    looked_at: str
    wrong: str = ""

    @property
    def passed(self) -> bool:
        return not self.wrong


@dataclass(frozen=True)
class Exercise:
    """`solution` is source for a notebook cell. `where` and `half` are the hints in between."""

    name: str
    task: str
    judge: Callable[[World], Finding]
    where: str
    half: str
    solution: str
    explanation: str

    def hint(self, tier: int, last: Finding | None) -> str:
        """The hint of a tier (from 0); the first is the failure's own."""
        wrong = last.wrong if last is not None and last.wrong else "nothing has been checked yet: check first"
        texts = (wrong, self.where, self.half, self.solution)
        tier = max(0, min(tier, len(TIERS) - 1))
        return f"hint {tier + 1} of {len(TIERS)}, {TIERS[tier]}:\n{texts[tier]}"
