"""What a leader knows of one follower, and how much it dares to send.

    probe       unsure where the logs part: one message at a time, until one is accepted
    replicate   they agree up to `match`: entries are sent ahead, up to MAX_INFLIGHT messages without an answer
    snapshot    the follower needs what the log no longer has: nothing else until the snapshot is there

Upstream: `go.etcd.io/raft/v3/tracker/progress.go`.
"""

from __future__ import annotations

from collections import deque

PROBE, REPLICATE, SNAPSHOT = "probe", "replicate", "snapshot"

#: Messages with entries that may be on their way to one follower.
MAX_INFLIGHT = 256


class Progress:
    """`match`: last entry known to agree. `next`: the next one to send. `inflight`: last indexes of messages that are
    on their way. `acked_tick`: when the newest heartbeat was sent that this follower has answered."""

    __slots__ = ("acked_tick", "active", "inflight", "match", "next", "paused", "pending_snapshot", "state")

    def __init__(self, next: int) -> None:
        self.match, self.next, self.state = 0, next, PROBE
        self.inflight: deque[int] = deque()
        self.paused = self.active = False
        self.pending_snapshot = 0
        self.acked_tick = -1

    def may_send(self) -> bool:
        if self.state == REPLICATE:
            return len(self.inflight) < MAX_INFLIGHT
        return self.state == PROBE and not self.paused

    def sent(self, last: int | None) -> None:
        """A message whose last entry is `last` (None: it had no entries) was sent."""
        if self.state == PROBE:
            self.paused = True
        elif last is not None:
            self.next = last + 1
            self.inflight.append(last)

    def accepted(self, index: int) -> bool:
        """The follower agrees up to `index`; True if that is news."""
        news = index > self.match
        self.match = max(self.match, index)
        self.next = max(self.next, self.match + 1)
        while self.inflight and self.inflight[0] <= index:
            self.inflight.popleft()
        if self.state == PROBE or (self.state == SNAPSHOT and self.match >= self.pending_snapshot):
            self.become(REPLICATE)
        return news

    def rejected(self, index: int, hint: int) -> bool:
        """The follower has no fitting entry at `index`; go on behind `hint`. False: an old answer, known already."""
        if self.state == REPLICATE:
            if index <= self.match:
                return False
            self.become(PROBE)
            return True
        if self.state == SNAPSHOT or self.next - 1 != index:
            return False
        self.next = max(min(index, hint + 1), self.match + 1)
        self.paused = False
        return True

    def become(self, state: str) -> None:
        if state == PROBE and self.state == SNAPSHOT:
            self.next = max(self.match + 1, self.pending_snapshot + 1)
        elif state in (PROBE, REPLICATE):
            self.next = self.match + 1
        self.state, self.paused, self.pending_snapshot = state, False, 0
        self.inflight.clear()
