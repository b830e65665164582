"""What the watch cache holds of one kind: objects as bytes that are ready to serve, the last changes, and who watches.

Entries never change, so the same bytes serve every reader. A watcher is a queue between the one who fills the cache and
a client; a client who reads too slowly is cut off, and what a change costs is paid by those alone who see it.

Upstream: `staging/src/k8s.io/apiserver/pkg/storage/cacher/{watch_cache,cache_watcher}.go`.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import msgspec
from sortedcontainers import SortedDict

from workshop.api import errors
from workshop.api.meta import Obj
from workshop.apiserver.storage.ciphers import MARK, why_unreadable

WINDOW = 2_000
"""Events kept a shelf, so that a client may resume a watch after a broken connection."""
WATCHER_BACKLOG, WATCHER_BYTES = 10_000, 16 << 20
"""Events, and bytes, that a slow watcher may fall behind before it is cut off; it resumes from its last version or gets
410."""
LAST = "\U0010ffff"
"""What sorts after all that a key may go on with."""
_decode = msgspec.json.Decoder().decode
_METADATA = b'"metadata":{'


def with_version(value: bytes, revision: int) -> bytes:
    """Stored bytes as they are served: with the revision as resourceVersion.

    >>> with_version(b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}', 7)
    b'{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"7","name":"a"}}'
    """
    at = value.find(_METADATA, 0, 200)
    if at < 0 or value.count(b"{", 0, at) > 1:  # far away, or inside another field of a custom resource
        obj = _decode(value)
        obj.setdefault("metadata", {})["resourceVersion"] = str(revision)
        return msgspec.json.encode(obj)
    at += len(_METADATA)
    comma = b"" if value[at : at + 1] == b"}" else b","
    return b'%b"resourceVersion":"%d"%b%b' % (value[:at], revision, comma, value[at:].rstrip(b"\n"))


class Stored:
    """One version of one object: the bytes that are served, 1.4 kB a pod where the decoded dict takes 7.

    `obj` decodes anew each time (5 µs); what selectors ask for is kept once it was looked up.
    """

    __slots__ = ("_attributes", "key", "raw", "revision")

    def __init__(self, key: str, value: bytes, revision: int) -> None:
        self.key = key
        self.revision = revision
        self.raw = value if value.startswith(MARK) else with_version(value, revision)
        self._attributes: tuple[dict[str, str], dict[str, str]] | None = None

    @property
    def obj(self) -> Obj:
        try:
            found: Obj = _decode(self.raw)
        except msgspec.DecodeError:
            raise self.refusal from None
        return found

    @property
    def sealed(self) -> bool:
        """Nobody here can decrypt it."""
        return self.raw.startswith(MARK)

    @property
    def unreadable(self) -> errors.ApiError:
        """What is told of a sealed object to who asked for it, or watches: 500."""
        return errors.internal(why_unreadable(self.raw))

    @property
    def refusal(self) -> errors.ApiError:
        """What is told to who lists it: 500."""
        return errors.internal(f"unable to transform key {errors.quote(self.key)}: {why_unreadable(self.raw)}")

    def attributes(self, fields_of: Callable[[Obj], dict[str, str]]) -> tuple[dict[str, str], dict[str, str]]:
        """Labels and selectable fields. `fields_of` must be the same function for all of a shelf."""
        if self._attributes is None:
            obj = self.obj
            self._attributes = obj["metadata"].get("labels") or {}, fields_of(obj)
        return self._attributes


class Change:
    """`old` is None for a creation; `new` is, for a deletion, the last state under the deletion's revision."""

    __slots__ = ("_line", "new", "old", "revision", "type")

    def __init__(self, revision: int, type: str, new: Stored, old: Stored | None) -> None:
        self.revision, self.type, self.new, self.old = revision, type, new, old
        self._line: bytes | None = None

    @property
    def line(self) -> bytes:
        """The event as a watch sends it. The object's bytes are the cache's own: nothing is encoded. Raises ApiError
        500 where nobody can read them."""
        if self.new.sealed:
            raise self.new.unreadable
        return self._line or event_line(self.type, self.new.raw)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Its line is put together once for all who are told meanwhile."""
        self._line = None if self.new.sealed else self.line
        try:
            yield
        finally:
            self._line = None


def event_line(type: str, raw: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (type.encode(), raw)


Sees = Callable[[Change], bool]


class Watcher:
    """A queue of changes of one shelf. `cut` tells a reader that fell too far behind, or whose cache was rebuilt.

    It hears of the keys that begin with `scope` (or of one key, where `alone`), and of changes that it `sees`.
    """

    def __init__(self, shelf: Shelf, scope: str = "", alone: bool = False, sees: Sees | None = None) -> None:
        self._shelf, self.scope, self.alone, self.sees = shelf, scope, alone, sees
        self._changes: deque[Change] = deque()
        self._bytes = 0
        self._wake: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.cut = False
        self.on_overflow: Callable[[], None] | None = None
        """Called when the reader has fallen too far behind: it may be stuck in a write and not come back for more."""
        self.pass_on: Callable[[Change], bool] | None = None
        """Sends a change to the client, if he sees it, without waking anybody; False if that cannot be just now."""

    @property
    def _waits(self) -> bool:
        return self._wake is not None and not self._wake.done() and not self._changes

    def tell(self, change: Change, at_once: bool) -> None:
        """A change in its scope. One that came alone goes out `at_once` where he waits and has a way for that."""
        try:
            if at_once and self.pass_on is not None and self._waits and self.pass_on(change):
                return
            wanted = self.sees is None or self.sees(change)
        except errors.ApiError:  # an object that nobody can read: its reader has to say so, the cache goes on
            wanted = True
        if wanted:
            self.push(change)

    def push(self, change: Change) -> None:
        """For the reader, when he comes."""
        self._bytes += len(change.new.raw)
        if len(self._changes) >= WATCHER_BACKLOG or self._bytes > WATCHER_BYTES:
            self.close()
            if self.on_overflow is not None:
                self.on_overflow()
        else:
            self._changes.append(change)
        self._rouse()

    def close(self) -> None:
        self.cut = True
        self._changes.clear()
        self._shelf.leave(self)
        self._rouse()
        if self._timer is not None:
            self._timer.cancel()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def next(self, timeout: float | None) -> list[Change]:
        """All changes that have come, at least one; [] after `timeout` seconds at most, or when it was cut off.

        A timer is set once and runs on over the calls that follow: each change would have to set one and take it back.
        """
        if not self._changes and not self.cut:
            loop = asyncio.get_running_loop()
            if timeout is not None:
                due = loop.time() + timeout
                if self._timer is None or self._timer.cancelled() or not loop.time() < self._timer.when() <= due + 0.01:
                    if self._timer is not None:
                        self._timer.cancel()
                    self._timer = loop.call_at(due, self._rouse)
            self._wake = loop.create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        changes = list(self._changes)
        self._changes.clear()
        self._bytes = 0
        return changes


class Shelf:
    """The objects under one prefix in key order, the last changes, and who watches."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.items: SortedDict = SortedDict()
        self.window: deque[Change] = deque(maxlen=WINDOW)
        self.oldest = 0  # a watch may begin at this revision or later
        self.watchers: set[Watcher] = set()
        self._alone: dict[str, set[Watcher]] = {}  # those of one key

    def enter(self, watcher: Watcher) -> None:
        (self._alone.setdefault(watcher.scope, set()) if watcher.alone else self.watchers).add(watcher)

    def leave(self, watcher: Watcher) -> None:
        self.watchers.discard(watcher)
        if watcher.alone and (others := self._alone.get(watcher.scope)) is not None:
            others.discard(watcher)
            if not others:
                del self._alone[watcher.scope]

    def everybody(self) -> list[Watcher]:
        return [*self.watchers, *(watcher for alone in self._alone.values() for watcher in alone)]

    def put(self, change: Change, at_once: bool = False) -> None:
        if change.type == "DELETED":
            self.items.pop(change.new.key, None)
        else:
            self.items[change.new.key] = change.new
        if len(self.window) == WINDOW:
            self.oldest = self.window[0].revision
        self.window.append(change)
        key = change.new.key
        watchers = (*self.watchers, *self._alone.get(key, ()))
        with change.held() if at_once and len(watchers) > 1 else nullcontext():
            for watcher in watchers:
                if key.startswith(watcher.scope):
                    watcher.tell(change, at_once)

    def under(self, prefix: str, after: str = "") -> Iterator[Stored]:
        """The objects whose key begins with `prefix`, those that come after the key `after`."""
        if prefix == self.prefix and not after:
            return iter(self.items.values())
        keys = self.items.irange(after or prefix, prefix + LAST, inclusive=(not after, True))
        return map(self.items.__getitem__, keys)

    def count_after(self, prefix: str, after: str) -> int:
        """How many of them there are after a key."""
        found: int = self.items.bisect_left(prefix + LAST) - self.items.bisect_right(after)
        return found

    def since(self, revision: int) -> list[Change]:
        """The changes after `revision`. Raises ApiError 410 when they are forgotten."""
        if revision < self.oldest:
            raise errors.gone_expired(f"too old resource version: {revision} ({self.oldest})")
        changes = list(self.window)
        return changes[bisect_right(changes, revision, key=lambda c: c.revision) :]
