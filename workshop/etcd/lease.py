"""Leases: keys that end with their owner's interest in them.

Granting and revoking go through the log, so all members know the same leases. Time does not: only the leader
counts, and when a lease has run out it proposes its revocation. After a restart or an election every lease gets
its whole time again; it may live longer than asked for, never shorter.

Pure: `now` is handed in, in seconds of a clock that never jumps. Upstream: `server/lease/lessor.go`.
"""

from __future__ import annotations

import heapq
import math

from workshop.etcd import errors

#: Seconds. Longer ones are refused; shorter ones than `min_ttl` are lengthened.
MAX_TTL = 9_000_000_000


class Lease:
    """`ttl` seconds as granted; `expiry` on the leader's clock."""

    __slots__ = ("expiry", "id", "keys", "revoking", "ttl")

    def __init__(self, id: int, ttl: int, expiry: float) -> None:
        self.id, self.ttl, self.expiry = id, ttl, expiry
        self.keys: set[bytes] = set()
        self.revoking = False

    def remaining(self, now: float) -> int:
        """Whole seconds left, as TimeToLive tells them."""
        return max(int(self.expiry - now), 0) if self.expiry < math.inf else self.ttl


class Lessor:
    """All leases and which keys hang on them."""

    def __init__(self, min_ttl: int = 2) -> None:
        self.leases: dict[int, Lease] = {}
        self._min_ttl = min_ttl
        self._counting = True
        self.granted = self.revoked = self.renewed = self.ran_out = 0  # how many, ever
        self._due: list[tuple[float, int]] = []  # a heap; entries may be outdated by a renewal

    def grant(self, id: int, ttl: int, now: float) -> Lease:
        """Raises LeaseTtlTooLarge, LeaseExists."""
        if ttl > MAX_TTL:
            raise errors.LeaseTtlTooLarge
        if id in self.leases:
            raise errors.LeaseExists
        ttl = max(ttl, self._min_ttl)
        self.granted += 1
        lease = self.leases[id] = Lease(id, ttl, now + ttl if self._counting else math.inf)
        if self._counting:
            heapq.heappush(self._due, (lease.expiry, id))
        return lease

    def renew(self, id: int, now: float) -> int:
        """The time to live that starts anew; 0 if there is no such lease (or it is about to be revoked)."""
        lease = self.leases.get(id)
        if lease is None or lease.revoking or lease.expiry <= now:
            return 0
        lease.expiry = now + lease.ttl
        self.renewed += 1
        return lease.ttl

    def revoke(self, id: int) -> list[bytes]:
        """Forget a lease; the keys that go with it, in order. Raises LeaseNotFound."""
        lease = self.leases.pop(id, None)
        if lease is None:
            raise errors.LeaseNotFound
        self.revoked += 1
        return sorted(lease.keys)

    def attach(self, id: int, key: bytes) -> None:
        self.leases[id].keys.add(key)

    def detach(self, id: int, key: bytes) -> None:
        if id in self.leases:
            self.leases[id].keys.discard(key)

    def expired(self, now: float) -> list[int]:
        """Leases that have run out, each told once."""
        gone = []
        while self._due and self._due[0][0] <= now:
            _, id = heapq.heappop(self._due)
            lease = self.leases.get(id)
            if lease is None or lease.revoking:
                continue
            if lease.expiry > now:  # renewed since
                heapq.heappush(self._due, (lease.expiry, id))
            else:
                lease.revoking = True
                self.ran_out += 1
                gone.append(id)
        return gone

    def retry(self, id: int) -> None:
        """The revocation of a lease that ran out did not come about: tell it again."""
        lease = self.leases.get(id)
        if lease is not None and lease.revoking:
            lease.revoking = False
            heapq.heappush(self._due, (lease.expiry, id))

    def next_expiry(self) -> float:
        """When to look again; infinity without leases. May be early, never late."""
        return self._due[0][0] if self._due else math.inf

    def promote(self, now: float, extend: float = 0.0) -> None:
        """This member leads now: every lease gets its whole time, and `extend` seconds for what the change took."""
        self._counting, self._due = True, []
        for lease in self.leases.values():
            lease.expiry, lease.revoking = now + lease.ttl + extend, False
            heapq.heappush(self._due, (lease.expiry, lease.id))

    def demote(self) -> None:
        """Another member leads: it counts, here nothing runs out."""
        self._counting, self._due = False, []
        for lease in self.leases.values():
            lease.expiry, lease.revoking = math.inf, False
