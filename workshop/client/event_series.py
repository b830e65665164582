"""Which of many similar events are written or merged: pure. Upstream: `client-go/tools/record/events_cache.go`.

Three rules, in this order:

1. *Spam*: one source may say 25 things about one object at once, then one more every 5 minutes. The rest is lost.
2. *Aggregation*: more than 10 events about one object that differ only in their message, within 10 minutes,
   become one: "(combined from similar events): …".
3. *Counting*: the same event again moves `count` and `lastTimestamp` of the first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Generic, TypeVar

BURST = 25
REFILL_SECONDS = 300.0
SIMILAR = 10
SIMILAR_SECONDS = 600.0
CACHE = 4096

K = TypeVar("K")
V = TypeVar("V")


class Lru(Generic[K, V]):
    """A dict that forgets what was not used for longest."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def put(self, key: K, value: V) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)


@dataclass(frozen=True)
class Occurrence:
    """One call of `Recorder.event`. `subject` is (kind, namespace, name, uid) of the object that it is about."""

    subject: tuple[str, ...]
    type: str
    reason: str
    message: str
    action: str = ""


@dataclass
class Written:
    """An event that stands on the server, or is about to."""

    occurrence: Occurrence
    first: float
    count: int = 1
    name: str = ""


@dataclass
class _Bucket:
    tokens: float
    last: float


@dataclass
class _Similar:
    last: float
    messages: set[str] = field(default_factory=set)


class Correlator:
    """`correlate(occurrence, now)` answers what to write: None, or a `Written` whose count says whether it is new."""

    def __init__(self) -> None:
        self._buckets: Lru[tuple[str, ...], _Bucket] = Lru(CACHE)
        self._similar: Lru[tuple[object, ...], _Similar] = Lru(CACHE)
        self._written: Lru[Occurrence, Written] = Lru(CACHE)

    def correlate(self, occurrence: Occurrence, now: float) -> Written | None:
        if self._is_spam(occurrence.subject, now):
            return None
        key, shown = self._aggregated(occurrence, now)
        written = self._written.get(key)
        if written is None:
            written = Written(shown, now)
            self._written.put(key, written)
        else:
            written.count += 1
            written.occurrence = shown
        return written

    def _is_spam(self, subject: tuple[str, ...], now: float) -> bool:
        bucket = self._buckets.get(subject)
        if bucket is None:
            bucket = _Bucket(BURST, now)
            self._buckets.put(subject, bucket)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.last) / REFILL_SECONDS)
        bucket.last = now
        if bucket.tokens < 1:
            return True
        bucket.tokens -= 1
        return False

    def _aggregated(self, o: Occurrence, now: float) -> tuple[Occurrence, Occurrence]:
        """The key under which it is counted, and the event as it is shown."""
        group = (o.subject, o.type, o.reason, o.action)
        similar = self._similar.get(group)
        if similar is None or now - similar.last > SIMILAR_SECONDS:
            similar = _Similar(now)
        similar.last = now
        similar.messages.add(o.message)
        self._similar.put(group, similar)
        if len(similar.messages) < SIMILAR:
            return o, o
        # The set need not hold more: it is already over the limit.
        similar.messages.discard(o.message)
        message = f"(combined from similar events): {o.message}"
        key = Occurrence(o.subject, o.type, o.reason, "", o.action)
        return key, Occurrence(o.subject, o.type, o.reason, message, o.action)
