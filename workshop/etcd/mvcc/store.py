"""The multi-version store: every change makes a new revision, old ones stay readable until they are compacted.

Two views of the same records:

    live      key -> KeyIndex      all versions of the keys that are there, sorted; the last one is the current
    ended     key -> KeyIndex      those of keys that are deleted, and not forgotten yet
    history   [Record, …]          in the order of revisions  (watches that start in the past, snapshots)

Compaction has two steps, so that it never stops service: the first only moves a mark. The second takes away what was
superseded up to the mark: not by a search through everything, but from a queue in which each version was put at
the revision that ended it. A slice takes a millisecond; one pass over a million keys took 6 seconds.

Everything is in memory, on disk there are the log and snapshots of the whole (`wal.py`, `snapshot.py`). An embedded
store in the place of that was measured (200,000 keys of 256 bytes, processor time of one operation):

    this store    put 12 µs    get 5 µs     148 MB    started in 1.6 s
    lmdb          put  4 µs    get 9 µs     125 MB    started in 0.4 s     (with an index of keys as upstream has,
    sqlite3       put  9 µs    get 14 µs     54 MB    started in 0.5 s      without encoding: some 4 µs of a put)

A put costs a member 65 µs in all and a get 20, so no store would make it faster; a read gets bytes that are there
already, a snapshot is taken by sharing them, the simulation needs no files, and there is one place where a crash can
do harm. What it costs is the start: five seconds of processor time for a million keys. Beside Debian's etcd 3.4, in one
run of `python -m bench etcd --million` on two busy cores:

    1,000,000 keys of 256 bytes      ours       Debian's
    memory                           759 MB     1,171 MB
    start after kill -9              11.5 s     10.9 s
    longest wait of a client while half of them, superseded, are compacted
                                     43 ms      240 ms

Pure and synchronous. Upstream: `server/storage/mvcc/kvstore.go`, `index.go`.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import groupby

from sortedcontainers import SortedDict

from workshop.etcd import crc32c, encode, errors
from workshop.etcd.mvcc.history import History
from workshop.etcd.mvcc.key_index import KeyIndex, Record
from workshop.wire import etcd_pb2 as pb

#: What a record costs in memory beside its encoded bytes, about.
RECORD_OVERHEAD = 200


class Store:
    """Changes go `put`/`delete` … `commit`: all of them together are one revision."""

    def __init__(self) -> None:
        self.live: SortedDict[bytes, KeyIndex] = SortedDict()
        self.ended: SortedDict[bytes, KeyIndex] = SortedDict()
        self.history = History()
        self._superseded: deque[tuple[int, Record]] = deque()  # (first compaction that may take it, record)
        self.revision = 1
        self.compacted = 0
        self.size = 0
        self._changes: list[Record] = []

    # Reading

    def visible_revision(self) -> int:
        """What a read sees now; inside a transaction its own changes too."""
        return self.revision + 1 if self._changes else self.revision

    def check_revision(self, revision: int) -> None:
        """Raise unless a read at `revision` is possible."""
        if revision > self.revision:
            raise errors.FutureRevision
        if 0 < revision < self.compacted:
            raise errors.Compacted

    def get(self, key: bytes) -> Record | None:
        """The current version of `key`."""
        index: KeyIndex | None = self.live.get(key)
        return index[-1] if index is not None else None

    def index(self, key: bytes) -> KeyIndex | None:
        """All known versions of `key`."""
        index: KeyIndex | None = self.live.get(key)
        return index if index is not None else self.ended.get(key)

    def range(self, key: bytes, end: bytes | None, revision: int = 0, limit: int = 0) -> tuple[list[Record], int]:
        """Records of a range in key order, at most `limit` (0: all), and how many there are without the limit.

        `end` None is the one key; b"" is every key from `key` on. `revision` 0 is now.
        """
        current = revision <= 0 or revision == self.revision
        if end is None:
            found = self.get(key) if current else self._find(key, revision)
            return ([found], 1) if found else ([], 0)
        if current:
            return self._range_now(key, end, limit)
        records = []
        for name in merge(self._names(self.live, key, end), self._names(self.ended, key, end)):
            index = self.index(name)
            record = index.find(revision) if index is not None else None
            if record is not None:
                records.append(record)
        return records[:limit] if limit else records, len(records)

    def _find(self, key: bytes, revision: int) -> Record | None:
        index = self.index(key)
        return index.find(revision) if index is not None else None

    def _range_now(self, key: bytes, end: bytes, limit: int) -> tuple[list[Record], int]:
        low = self.live.bisect_left(key)
        high = self.live.bisect_left(end) if end else len(self.live)
        count = max(high - low, 0)
        stop = min(high, low + limit) if limit else high
        return [self.live[name][-1] for name in self.live.islice(low, stop)] if count else [], count

    @staticmethod
    def _names(of: SortedDict[bytes, KeyIndex], key: bytes, end: bytes) -> Iterator[bytes]:
        names: Iterator[bytes] = of.irange(key, end or None, inclusive=(True, False))
        return names

    @staticmethod
    def value(record: Record) -> bytes:
        """The value inside a record's encoded bytes."""
        return bytes(pb.PutResponse.FromString(record.kv).prev_kv.value)

    def previous(self, record: Record) -> Record | None:
        """The version that `record` replaced, if it is still known."""
        return self._find(record.key, record.main - 1)

    # Writing

    def put(self, key: bytes, value: bytes, lease: int = 0) -> Record:
        """A new version of `key`, part of the open transaction."""
        old = self.get(key)
        main = self.revision + 1
        create, version = (old.create, old.version + 1) if old is not None else (main, 1)
        record = Record.put(key, main, len(self._changes), create, version, value, lease)
        if old is None:
            self.live[key] = self.ended.pop(key, None) or KeyIndex()
        self._add(self.live[key], record)
        return record

    def delete(self, key: bytes) -> Record | None:
        """A tombstone for `key`; the version it ended, None if the key was not there."""
        old = self.get(key)
        if old is not None:
            index = self.ended[key] = self.live.pop(key)
            self._add(index, Record.tombstone(key, self.revision + 1, len(self._changes)))
        return old

    def _add(self, index: KeyIndex, record: Record) -> None:
        self._changes.append(record)
        self._remember(index, record)

    def _remember(self, index: KeyIndex, record: Record) -> None:
        if index and index[-1].version:
            self._superseded.append((record.main, index[-1]))
        index.append(record)
        self.history.append(record)
        self.size += len(record.kv) + RECORD_OVERHEAD

    def commit(self) -> list[Record]:
        """End the transaction; its changes. Without changes the revision stays."""
        changes, self._changes = self._changes, []
        if changes:
            self.revision += 1
            self._bury(changes)
        return changes

    def _bury(self, changes: list[Record]) -> None:
        """A tombstone may go one revision later: a watch may still start at its own."""
        self._superseded.extend((record.main + 1, record) for record in changes if not record.version)

    # Forgetting

    def compact(self, revision: int) -> None:
        """From now on nobody reads before `revision`. Raises Compacted, FutureRevision.

        What that makes superfluous is still there: `scrub` takes it away, a little at a time.
        """
        if revision <= self.compacted:
            raise errors.Compacted
        if revision > self.revision:
            raise errors.FutureRevision
        self.compacted = revision

    @property
    def littered(self) -> bool:
        """Is there something to `scrub`?"""
        return bool(self._superseded) and self._superseded[0][0] <= self.compacted

    def scrub(self, most: int) -> None:
        """Take away at most so many versions that no read from the compacted revision on can see."""
        gone: list[Record] = []
        while self.littered and len(gone) < most:
            _, record = self._superseded.popleft()
            index = self.index(record.key)
            assert index is not None
            del index[0]  # versions of a key are superseded in their order
            if not index:
                del self.ended[record.key]
            self.size -= len(record.kv) + RECORD_OVERHEAD
            gone.append(record)
        self.history.discard(gone)

    # As a whole

    def clear(self) -> None:
        """Forget everything, history too."""
        self.live.clear()
        self.ended.clear()
        self._superseded.clear()
        self.history = History()
        self.revision, self.compacted, self.size = 1, 0, 0

    def hash(self, revision: int = 0) -> int:
        """A checksum of the records up to `revision` that a read at it can see, and of those between the compacted
        revision and it. Members that applied the same log and were compacted at the same revision have the same,
        upstream's too (`server/storage/mvcc/hash.go`)."""
        return hash_of(self.history, self.compacted, revision or self.revision)

    def restore(self, revision: int, compacted: int, records: Iterable[Record]) -> None:
        """Fill an empty store from a snapshot."""
        known: dict[bytes, KeyIndex] = {}
        for _, transaction in groupby(records, key=lambda record: record.main):
            changes = list(transaction)
            for record in changes:
                index = known.get(record.key)
                if index is None:
                    index = known[record.key] = KeyIndex()
                self._remember(index, record)
            self._bury(changes)
        self.live.update((key, index) for key, index in known.items() if index[-1].version)
        self.ended.update((key, index) for key, index in known.items() if not index[-1].version)
        self.revision, self.compacted = revision, compacted


#: What a record's revision looks like as a key of upstream's store, and what a tombstone has behind it.
REVISION_KEY = struct.Struct(">qcq")
TOMBSTONE_MARK = b"t"


def revision_key(record: Record) -> bytes:
    """A record's name in upstream's store: main and sub revision, in the order of time."""
    key = REVISION_KEY.pack(record.main, b"_", record.sub)
    return key if record.version else key + TOMBSTONE_MARK


def hash_of(records: Iterable[Record], compacted: int, revision: int) -> int:
    """See `Store.hash`. Takes a second for a million records; `records` may be read in another thread."""
    crc = crc32c.extend(0, b"key")
    upto = [record for record in records if record.main <= revision]
    seen = {record.key: record for record in upto}  # the last of each key
    # Where nothing is seen at all, upstream takes whatever it still has.
    anything = any(record.version for record in seen.values())
    for record in upto:
        if record.main <= compacted:
            if anything and (seen[record.key] is not record or not record.version):
                continue
            if record.main == compacted and not record.version:
                continue
        crc = crc32c.extend(crc, revision_key(record))
        crc = crc32c.extend(crc, encode.upstream_value(record.key, record.kv, not record.version))
    return crc
