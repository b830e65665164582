"""What a controller has asked for and not yet seen. Upstream: `ControllerExpectations` in
`pkg/controller/controller_utils.go`.

A ReplicaSet that wants 3 pods creates 3, and is woken by each of them arriving in its cache. Looking at the first it
sees one pod and would create two more. So it notes "3 to come" and does nothing further until they have come, or 5
minutes have passed (an event can be lost for good, and nothing may hang on it).

    expectations.expect_creations(key, 3, now)
    expectations.creation_observed(key)      # as each arrives, or for a creation that failed
    expectations.satisfied(key, now)         # False, False, True
"""

from __future__ import annotations

from dataclasses import dataclass, field

from workshop.api.meta import Key

TIMEOUT = 300.0


@dataclass
class _Expected:
    since: float
    creations: int = 0
    deletions: set[str] = field(default_factory=set)


class Expectations:
    """Deletions are counted by uid: a pod whose deletion is seen twice (marked, then gone) counts once."""

    def __init__(self) -> None:
        self._expected: dict[Key, _Expected] = {}

    def satisfied(self, key: Key, now: float) -> bool:
        expected = self._expected.get(key)
        if expected is None:
            return True
        return (expected.creations <= 0 and not expected.deletions) or now - expected.since > TIMEOUT

    def expect_creations(self, key: Key, count: int, now: float) -> None:
        self._expected[key] = _Expected(now, creations=count)

    def expect_deletions(self, key: Key, uids: set[str], now: float) -> None:
        self._expected[key] = _Expected(now, deletions=set(uids))

    def expect(self, key: Key, creations: int, uids: set[str], now: float) -> None:
        self._expected[key] = _Expected(now, creations, set(uids))

    def creation_observed(self, key: Key, count: int = 1) -> None:
        if key in self._expected:
            self._expected[key].creations -= count

    def deletion_observed(self, key: Key, uid: str) -> None:
        if key in self._expected:
            self._expected[key].deletions.discard(uid)

    def forget(self, key: Key) -> None:
        self._expected.pop(key, None)
