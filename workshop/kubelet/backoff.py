"""CrashLoopBackOff and ImagePullBackOff: 10 s, doubling to 300 s. Pure. Upstream: `client-go/util/flowcontrol`.

A container that crashes is started again at once the first time; each later crash waits longer. After it has been
quiet for twice the longest wait, it starts anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field

INITIAL, LONGEST = 10.0, 300.0


@dataclass
class Backoff:
    """Waiting times by key."""

    initial: float = INITIAL
    longest: float = LONGEST
    _entries: dict[str, tuple[float, float]] = field(default_factory=dict)  # key -> (wait, last update)

    def wait(self, key: str) -> float:
        """The current waiting time; 0 for an unknown key."""
        return self._entries.get(key, (0.0, 0.0))[0]

    def remaining(self, key: str, since: float, now: float) -> float:
        """Seconds that are still to be waited after an event at `since`; 0 when it may go on."""
        wait, updated = self._entries.get(key, (0.0, 0.0))
        if not wait or since - updated > 2 * self.longest:
            return 0.0
        return max(0.0, since + wait - now)

    def next(self, key: str, since: float, now: float) -> None:
        """Go on to the next longer wait."""
        wait, updated = self._entries.get(key, (0.0, 0.0))
        if not wait or since - updated > 2 * self.longest:
            self._entries[key] = (self.initial, now)
        else:
            self._entries[key] = (min(wait * 2, self.longest), now)

    def forget(self, prefix: str) -> None:
        """Drop all keys of a pod."""
        for key in [key for key in self._entries if key.startswith(prefix)]:
            del self._entries[key]


def go_duration(seconds: float) -> str:
    """As Go prints it: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
