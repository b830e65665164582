"""One lease for many short-lived keys: an Event is deleted an hour after it was written, and a lease each would cost
more than the Events do. A lease is granted a little longer than asked for, and used again while it fits.

Pure: `now` is handed in. Upstream: `staging/src/k8s.io/apiserver/pkg/storage/etcd3/lease_manager.go`.
"""

from __future__ import annotations

from dataclasses import dataclass

#: A lease is reused for at most so many seconds, or this part of its time to live.
REUSE_SECONDS, REUSE_PART = 60, 0.05
#: Keys on one lease: revoking it deletes them all in one transaction.
MAX_KEYS = 1000


@dataclass
class LeaseReuse:
    """The last lease granted. `id` 0: none yet."""

    id: int = 0
    expiry: float = 0.0
    keys: int = 0

    def find(self, ttl: int, now: float) -> int:
        """The lease to put one more key of `ttl` seconds on; 0 if a new one is needed (of `granted_ttl(ttl)`)."""
        self.keys += 1
        fits = now + ttl < self.expiry < now + granted_ttl(ttl) + 1e-9
        return self.id if fits and self.keys <= MAX_KEYS else 0

    def granted(self, id: int, ttl: int, now: float) -> None:
        """A new lease was granted for a key of `ttl` seconds."""
        self.id, self.expiry, self.keys = id, now + granted_ttl(ttl), 1


def granted_ttl(ttl: int) -> int:
    return ttl + min(int(ttl * REUSE_PART), REUSE_SECONDS)
