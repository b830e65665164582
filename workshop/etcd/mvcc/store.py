"""The multi-version store: every change makes a new revision, old ones stay readable until they are compacted.

Three views of the same records:

    keys      key -> KeyIndex      all versions of a key         (reads at an old revision)
    live      key -> Record        the current version           (reads now; most of them)
    history   [Record, …]          in the order of revisions     (watches that start in the past, snapshots)

Pure and synchronous. Upstream: `server/storage/mvcc/kvstore.go`, `index.go`.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Iterator

from sortedcontainers import SortedDict

from workshop.etcd import encode, errors
from workshop.etcd.mvcc.key_index import KeyIndex, Record
from workshop.wire import etcd_pb2 as pb

#: What a record costs in memory beside its encoded bytes, about.
RECORD_OVERHEAD = 200


class Store:
    """Changes go `put`/`delete` … `commit`: all of them together are one revision."""

    def __init__(self) -> None:
        self.keys: SortedDict[bytes, KeyIndex] = SortedDict()
        self.live: SortedDict[bytes, Record] = SortedDict()
        self.history: list[Record] = []
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
        record: Record | None = self.live.get(key)
        return record

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
        for name in self._names(self.keys, key, end):
            record = self.keys[name].find(revision)
            if record is not None:
                records.append(record)
        return records[:limit] if limit else records, len(records)

    def _find(self, key: bytes, revision: int) -> Record | None:
        index = self.keys.get(key)
        return index.find(revision) if index is not None else None

    def _range_now(self, key: bytes, end: bytes, limit: int) -> tuple[list[Record], int]:
        low = self.live.bisect_left(key)
        high = self.live.bisect_left(end) if end else len(self.live)
        count = max(high - low, 0)
        stop = min(high, low + limit) if limit else high
        return [self.live[name] for name in self.live.islice(low, stop)] if count else [], count

    @staticmethod
    def _names(of: SortedDict, key: bytes, end: bytes) -> Iterator[bytes]:
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
        old = self.live.get(key)
        main = self.revision + 1
        create, version = (old.create, old.version + 1) if old is not None else (main, 1)
        record = Record.put(key, main, len(self._changes), create, version, value, lease)
        self.live[key] = record
        self._add(record)
        return record

    def delete(self, key: bytes) -> Record | None:
        """A tombstone for `key`; the version it ended, None if the key was not there."""
        old: Record | None = self.live.pop(key, None)
        if old is not None:
            self._add(Record.tombstone(key, self.revision + 1, len(self._changes)))
        return old

    def _add(self, record: Record) -> None:
        self._changes.append(record)
        self._remember(record)

    def _remember(self, record: Record) -> None:
        index = self.keys.get(record.key)
        if index is None:
            index = self.keys[record.key] = KeyIndex()
        index.versions.append(record)
        self.history.append(record)
        self.size += len(record.kv) + RECORD_OVERHEAD

    def commit(self) -> list[Record]:
        """End the transaction; its changes. Without changes the revision stays."""
        changes, self._changes = self._changes, []
        if changes:
            self.revision += 1
        return changes

    # Forgetting

    def compact(self, revision: int) -> None:
        """Forget versions that were overwritten or deleted before `revision`. Raises Compacted, FutureRevision."""
        if revision <= self.compacted:
            raise errors.Compacted
        if revision > self.revision:
            raise errors.FutureRevision
        self.compacted = revision
        end = bisect_left(self.history, (revision, 1 << 62), key=lambda r: (r.main, r.sub))
        gone: set[int] = set()
        for key in {record.key for record in self.history[:end]}:
            index = self.keys[key]
            forgotten = index.compact(revision)
            gone.update(map(id, forgotten))
            self.size -= sum(len(record.kv) + RECORD_OVERHEAD for record in forgotten)
            if not index.versions:
                del self.keys[key]
        if gone:
            self.history[:end] = [record for record in self.history[:end] if id(record) not in gone]

    # As a whole

    def since(self, revision: int) -> int:
        """The place in `history` of the first record of `revision` or later."""
        return bisect_left(self.history, revision, key=lambda r: r.main)

    def hash(self, revision: int = 0) -> int:
        """A checksum of everything up to `revision` that a read at it, or later, can see. Members that applied
        the same log and were compacted alike have the same."""
        upto = revision or self.revision
        crc = zlib.crc32(encode.varint(self.compacted))
        for record in self.history:
            if record.main <= upto:
                crc = zlib.crc32(record.kv, zlib.crc32(encode.varint(record.sub), crc))
        return crc

    def restore(self, revision: int, compacted: int, records: list[Record]) -> None:
        """Fill an empty store from a snapshot."""
        for record in records:
            self._remember(record)
        self.live = SortedDict(
            (key, index.versions[-1]) for key, index in self.keys.items() if index.versions[-1].version
        )
        self.revision, self.compacted = revision, compacted
