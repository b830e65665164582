"""What a node stands on: how time passes, the way to the other members, and how its time may end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from workshop.etcd import membership
from workshop.etcd.raft import Message as PeerMessage


@dataclass(frozen=True)
class Timing:
    """Seconds, and counts of log entries."""

    tick: float = 0.1
    election_ticks: int = 10
    snapshot_count: int = 10_000
    catch_up_entries: int = 5_000

    @property
    def election(self) -> float:
        return self.tick * self.election_ticks

    @property
    def patience(self) -> float:
        """How long a request may wait (upstream's `ReqTimeout`)."""
        return 5.0 + 2 * self.election


class Transport(Protocol):
    """The way to the other members. It may lose what it is given."""

    def send(self, messages: Sequence[PeerMessage]) -> None: ...

    def remind(self, notices: Sequence[PeerMessage]) -> None:
        """Send them with what else goes to the same member, within a millisecond or two."""
        ...

    def update(self, members: Sequence[membership.Member], removed: set[int]) -> None: ...

    def connected_since(self, member: int) -> float | None:
        """Since when (monotonic) the member is heard; None: it is not."""
        ...


class Nobody:
    """The transport of a member that is alone."""

    def send(self, messages: Sequence[PeerMessage]) -> None:
        return

    def remind(self, notices: Sequence[PeerMessage]) -> None:
        return

    def update(self, members: Sequence[membership.Member], removed: set[int]) -> None:
        return

    def connected_since(self, member: int) -> float | None:
        return None


class Removed(Exception):
    """This member does not belong to the cluster any more."""
