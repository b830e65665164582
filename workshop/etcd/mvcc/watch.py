"""Who wants to hear of which change.

A watcher that is `synced` gets its events as they happen. One that starts in the past, or whose stream's reader is
slow, is behind: it keeps the next revision it needs and reads it from the store's history when there is room. So a
slow reader costs no memory, and a watch never misses or doubles an event.

Pure: what is to be sent gathers in `Stream.outbox`. Upstream: `server/storage/mvcc/watchable_store.go`,
`server/etcdserver/api/v3rpc/watch.go`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from workshop.etcd import encode, errors
from workshop.etcd.mvcc.key_index import Record
from workshop.etcd.mvcc.operations import Message, end_of
from workshop.etcd.mvcc.store import Store

#: Bytes waiting in a stream above which its watchers fall behind.
ROOM = 1 << 20
#: Bytes of events that one catching-up answer holds, about; a revision is never split.
BATCH = 1 << 18
#: Records that one turn of catching up reads at most: some 10 ms.
SCAN = 20_000
#: The watch id of answers that concern no watcher, or all of a stream.
NO_WATCHER = -1


class Watcher:
    """One watch. `next` is the first revision not yet sent."""

    __slots__ = ("end", "fragment", "id", "key", "next", "no_delete", "no_put", "prev_kv", "quiet", "stream", "synced")

    def __init__(self, id: int, stream: Stream, key: bytes, end: bytes | None, request: Message) -> None:
        self.id, self.stream, self.key, self.end = id, stream, key, end
        self.no_put, self.no_delete = 0 in request.filters, 1 in request.filters
        self.prev_kv, self.fragment = request.prev_kv, request.fragment
        #: Wants progress notifications, and no event was sent since the last one was due; None: does not want.
        self.quiet = True if request.progress_notify else None
        self.next, self.synced = 0, True

    def wants(self, record: Record) -> bool:
        """Is this change one of its range, kind and time?"""
        if self.end is None:
            if record.key != self.key:
                return False
        elif record.key < self.key or (self.end and record.key >= self.end):
            return False
        return record.main >= self.next and not (self.no_delete if record.version == 0 else self.no_put)


class Stream:
    """One client's stream with any number of watchers. `wake` is called when `outbox` gets its first answer."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.watchers: dict[int, Watcher] = {}
        self.outbox: deque[bytes] = deque()
        self.waiting_bytes = 0
        self.behind = False
        self.progress_wanted = False
        self.wake = wake
        self._next_id = 0

    def send(self, answer: bytes) -> None:
        self.outbox.append(answer)
        self.waiting_bytes += len(answer)
        self.wake()

    def take(self) -> bytes:
        """The next answer to put on the wire."""
        answer = self.outbox.popleft()
        self.waiting_bytes -= len(answer)
        return answer

    def free_id(self) -> int:
        while self._next_id in self.watchers:
            self._next_id += 1
        self._next_id += 1
        return self._next_id - 1


class WatchHub:
    """All watchers of a member. `max_response` bytes is where fragmenting watchers want answers cut."""

    def __init__(self, store: Store, header: encode.Header, max_response: int) -> None:
        self._store, self._header, self._max_response = store, header, max_response
        self._points: dict[bytes, set[Watcher]] = {}
        self._ranges: dict[Watcher, None] = {}
        self.streams: set[Stream] = set()

    # A stream's requests

    def open(self, wake: Callable[[], None]) -> Stream:
        stream = Stream(wake)
        self.streams.add(stream)
        return stream

    def close(self, stream: Stream) -> None:
        for watcher in list(stream.watchers.values()):
            self._forget(watcher)
        self.streams.discard(stream)

    def create(self, stream: Stream, request: Message, forbidden: str = "") -> None:
        """Answer a `WatchCreateRequest`: created, or created and canceled at once (because it is `forbidden`, say)."""
        key, end = request.key or b"\x00", end_of(request.range_end)
        refusal = forbidden
        if request.start_revision < 0:
            refusal = errors.Compacted.text
        elif not refusal and end and end <= key:
            refusal = errors.WATCH_EMPTY_RANGE
        elif not refusal and request.watch_id and request.watch_id in stream.watchers:
            refusal = errors.WATCH_ID_TAKEN
        header = self._header(self._store.revision)
        if refusal:
            stream.send(encode.watch_response(header, NO_WATCHER, created=True, canceled=True, cancel_reason=refusal))
            return
        watcher = Watcher(request.watch_id or stream.free_id(), stream, key, end, request)
        stream.watchers[watcher.id] = watcher
        if end is None:
            self._points.setdefault(key, set()).add(watcher)
        else:
            self._ranges[watcher] = None
        now = self._store.revision
        watcher.next = request.start_revision or now + 1
        watcher.synced = watcher.next > now
        stream.send(encode.watch_response(header, watcher.id, created=True))
        if not watcher.synced:
            stream.behind = True
            self.catch_up(stream)

    def cancel(self, stream: Stream, watch_id: int) -> None:
        """Answer a `WatchCancelRequest`; an unknown id is not answered."""
        watcher = stream.watchers.get(watch_id)
        if watcher is not None:
            self._forget(watcher)
            stream.send(encode.watch_response(self._header(self._store.revision), watch_id, canceled=True))

    def request_progress(self, stream: Stream) -> None:
        """Promise that every event up to now has been sent: at once, or when the stream has caught up."""
        if not stream.watchers:
            return
        now = self._store.revision
        if any(not watcher.synced for watcher in stream.watchers.values()):
            stream.progress_wanted = True
        elif all(watcher.next <= now + 1 for watcher in stream.watchers.values()):
            stream.send(encode.watch_response(self._header(now), NO_WATCHER))

    def report_progress(self) -> None:
        """The interval is over: tell the watchers that want it and had no event since the last time."""
        header = self._header(self._store.revision)
        for stream in self.streams:
            for watcher in stream.watchers.values():
                if watcher.quiet and watcher.synced and watcher.next <= self._store.revision + 1:
                    stream.send(encode.watch_response(header, watcher.id))
                if watcher.quiet is not None:
                    watcher.quiet = True

    def _forget(self, watcher: Watcher) -> None:
        del watcher.stream.watchers[watcher.id]
        self._ranges.pop(watcher, None)
        same = self._points.get(watcher.key)
        if same is not None and watcher.end is None:
            same.discard(watcher)
            if not same:
                del self._points[watcher.key]

    # Events

    def notify(self, changes: list[Record]) -> None:
        """One transaction was applied."""
        batches: dict[Watcher, list[Record]] = {}
        for record in changes:
            for watcher in self._points.get(record.key, ()):
                if watcher.synced and watcher.wants(record):
                    batches.setdefault(watcher, []).append(record)
            for watcher in self._ranges:
                if watcher.synced and watcher.wants(record):
                    batches.setdefault(watcher, []).append(record)
        encoded: dict[tuple[int, bool], bytes] = {}
        for watcher, records in batches.items():
            if watcher.stream.waiting_bytes > ROOM:
                watcher.synced, watcher.next = False, records[0].main
                watcher.stream.behind = True
            else:
                self._send(watcher, records, encoded)

    def resync(self, told: int) -> None:
        """The store was replaced by a later one. What happened after revision `told` is read from its history."""
        for stream in list(self.streams):
            for watcher in stream.watchers.values():
                if watcher.synced:
                    watcher.next = max(watcher.next, told + 1)
                    watcher.synced = watcher.next > self._store.revision
            stream.behind = True
            if not stream.outbox:
                self.catch_up(stream)

    def catch_up(self, stream: Stream) -> None:
        """Send watchers that are behind what there is room for. Called when the outbox has become empty."""
        behind = False
        budget = SCAN
        for watcher in list(stream.watchers.values()):
            while not watcher.synced and stream.waiting_bytes <= ROOM and budget > 0:
                if watcher.next < self._store.compacted:
                    self._cancel_compacted(watcher)
                    break
                budget -= self._catch_up(watcher, budget)
            behind = behind or not watcher.synced
        stream.behind = behind and any(not watcher.synced for watcher in stream.watchers.values())
        if stream.behind and not stream.outbox:
            stream.wake()  # nothing for them in what was read: go on soon
        if stream.progress_wanted and not stream.behind:
            stream.progress_wanted = False
            self.request_progress(stream)

    def _catch_up(self, watcher: Watcher, most: int) -> int:
        """Read on for one watcher; how many records that were."""
        records: list[Record] = []
        size, last, main, read = 0, self._store.revision, 0, 0
        for record in self._store.history.since(watcher.next):
            if (size > BATCH or read >= most) and record.main != main:
                last = record.main - 1
                break
            main, read = record.main, read + 1
            if watcher.wants(record):
                records.append(record)
                size += len(record.kv)
        if records:
            self._send(watcher, records, {})
        watcher.next = last + 1
        watcher.synced = last == self._store.revision
        return read

    def _cancel_compacted(self, watcher: Watcher) -> None:
        self._forget(watcher)
        header = self._header(self._store.revision)
        answer = encode.watch_response(header, watcher.id, canceled=True, compact_revision=self._store.compacted)
        watcher.stream.send(answer)

    def _send(self, watcher: Watcher, records: list[Record], encoded: dict[tuple[int, bool], bytes]) -> None:
        events = []
        for record in records:
            with_previous = watcher.prev_kv and not record.created
            known = (id(record), with_previous)
            event = encoded.get(known)
            if event is None:
                previous = self._store.previous(record) if with_previous else None
                event = encode.event(record.deleted, record.kv, previous.kv if previous else b"")
                encoded[known] = event
            events.append(event)
        if watcher.quiet:
            watcher.quiet = False
        header = self._header(self._store.revision)
        for part, more in self._cut(watcher, events):
            watcher.stream.send(encode.watch_response(header, watcher.id, part, fragment=more))

    def _cut(self, watcher: Watcher, events: list[bytes]) -> list[tuple[list[bytes], bool]]:
        """All events in one answer, or for a fragmenting watcher in as many as the limit asks for."""
        if not watcher.fragment or sum(map(len, events)) < self._max_response:
            return [(events, False)]
        parts: list[list[bytes]] = [[]]
        size = 0
        for event in events:
            if parts[-1] and size + len(event) >= self._max_response:
                parts.append([])
                size = 0
            parts[-1].append(event)
            size += len(event)
        return [(part, i + 1 < len(parts)) for i, part in enumerate(parts)]
