"""Versions of one key, and how to find the one that a revision sees.

A revision is (main, sub): `main` counts transactions, `sub` the changes inside one. A `Record` is one version of
one key; a deletion is a record too, a tombstone. From one tombstone to the next a key lives through a generation,
in which `create` stays and `version` counts from 1:

    put(1.0) put(2.0) delete(3.0) put(4.0) delete(5.0)

    generation 1   [1.0 v1] [2.0 v2] [3.0 tombstone]
    generation 2   [4.0 v1] [5.0 tombstone]

    find(2) -> 2.0      find(3) -> None      find(4) -> 4.0      find(9) -> None
    compact(2): [2.0 v2] [3.0 tombstone] [4.0 v1] [5.0 tombstone]     (2 is still readable)
    compact(3): [3.0 tombstone] [4.0 v1] [5.0 tombstone]              (a watch may still start at 3)
    compact(4): [4.0 v1] [5.0 tombstone]
    compact(6): nothing is left, the key is forgotten

Upstream: `server/storage/mvcc/key_index.go`.
"""

from __future__ import annotations

from bisect import bisect_right

from workshop.etcd import encode


class Record:
    """One version of one key. `kv` is its encoded `KeyValue` (field 2), the only place where the value is."""

    __slots__ = ("create", "key", "kv", "lease", "main", "sub", "version")

    def __init__(self, key: bytes, main: int, sub: int, create: int, version: int, lease: int, kv: bytes) -> None:
        self.key, self.main, self.sub, self.kv = key, main, sub, kv
        self.create, self.version, self.lease = create, version, lease

    @classmethod
    def put(cls, key: bytes, main: int, sub: int, create: int, version: int, value: bytes, lease: int) -> Record:
        return cls(key, main, sub, create, version, lease, encode.key_value(key, create, main, version, value, lease))

    @classmethod
    def tombstone(cls, key: bytes, main: int, sub: int) -> Record:
        return cls(key, main, sub, 0, 0, 0, encode.key_value(key, 0, main, 0, b"", 0))

    @property
    def deleted(self) -> bool:
        return self.version == 0

    @property
    def created(self) -> bool:
        return self.create == self.main


def _main(record: Record) -> int:
    return record.main


class KeyIndex(list[Record]):
    """All known versions of one key, oldest first. (A list itself: there is one for each of a million keys.)"""

    __slots__ = ()

    def at(self, revision: int) -> Record | None:
        """The last record up to `revision`, be it a tombstone."""
        if not self or self[-1].main <= revision:
            return self[-1] if self else None
        place = bisect_right(self, revision, key=_main)
        return self[place - 1] if place else None

    def find(self, revision: int) -> Record | None:
        """What a read at `revision` sees; None if the key was not there."""
        record = self.at(revision)
        return None if record is None or record.version == 0 else record
