"""Who counts, and what a majority of them means. Pure arithmetic.

    voters 1 2 3 4 5, of whose disks the leader knows that they hold   9 7 5 5 2
    sorted, the third of five is 5: three members (1, 2, and 3 or 4) hold entry 5, so it is on a majority.

Source: Raft paper, sections 5.2 and 5.3; upstream: `go.etcd.io/raft/v3/quorum/majority.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

PENDING, WON, LOST = "pending", "won", "lost"


class Configuration(NamedTuple):
    """Voters decide; learners only receive the log until they are promoted."""

    voters: frozenset[int] = frozenset()
    learners: frozenset[int] = frozenset()

    @property
    def members(self) -> frozenset[int]:
        return self.voters | self.learners

    @property
    def majority(self) -> int:
        return len(self.voters) // 2 + 1

    def outcome(self, votes: Mapping[int, bool]) -> str:
        """WON, LOST or still PENDING, by the votes of voters (others do not count)."""
        yes = sum(votes.get(voter, False) for voter in self.voters)
        no = sum(not votes.get(voter, True) for voter in self.voters)
        if self.voters and yes >= self.majority:
            return WON
        return LOST if len(self.voters) - no < self.majority else PENDING

    def reached(self, value: Callable[[int], int]) -> int:
        """The highest number that `value(voter)` reaches, or exceeds, at a majority."""
        values = sorted(map(value, self.voters), reverse=True)
        return values[self.majority - 1] if values else 0

    def holds(self, members: frozenset[int] | set[int]) -> bool:
        """Are a majority of the voters among `members`?"""
        return bool(self.voters) and len(self.voters & members) >= self.majority
