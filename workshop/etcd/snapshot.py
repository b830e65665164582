"""Snapshots of the whole state, so that the log need not grow for ever.

A file `TERM-INDEX.snap`: magic, a table of lengths, what they are of, CRC-32. It is written beside, synced and renamed,
so it is whole or not there; the two newest are kept, and the log as far back as the older of them needs.

Upstream: `server/etcdserver/api/snap`. (Upstream keeps the store itself in a bbolt file; here the snapshot holds it.)
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from workshop.etcd.disk import SYSTEM_DISK, Disk
from workshop.etcd.mvcc.key_index import Record
from workshop.etcd.wal import REMEDY

MAGIC = b"\xf5SNAP004"
HEAD = struct.Struct("<QQqqIIIII")
ALARM = struct.Struct("<IQ")
LEASE = struct.Struct("<qq")
RECORD = struct.Struct("<qIqqqII")
CHECK = struct.Struct("<I")

#: Parts (three a record) that are joined to one piece.
PIECE = 3_000

#: How many snapshots are kept.
KEEP = 2


class Records(Protocol):
    """Versions in the order of their revisions: a list, or a store's history."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Record]: ...


@dataclass
class Snapshot:
    """The state after applying the log up to `index` (whose term is `term`). `alarms` are (type, member),
    `leases` (id, ttl), `cluster` the members as `membership.Cluster` encodes them, `auth` users and roles as
    `AuthStore` does."""

    index: int = 0
    term: int = 0
    revision: int = 1
    compacted: int = 0
    alarms: list[tuple[int, int]] = field(default_factory=list)
    leases: list[tuple[int, int]] = field(default_factory=list)
    records: Records = ()
    cluster: bytes = b""
    auth: bytes = b""


def pieces(snapshot: Snapshot) -> Iterator[bytes]:
    """The file in pieces of some hundred kilobytes: a large state is written beside other work, never held twice."""
    yield MAGIC
    check = 0
    for piece in _body(snapshot):
        check = zlib.crc32(piece, check)
        yield piece
    yield CHECK.pack(check)


def _body(snapshot: Snapshot) -> Iterator[bytes]:
    lengths = (
        len(snapshot.alarms),
        len(snapshot.leases),
        len(snapshot.records),
        len(snapshot.cluster),
        len(snapshot.auth),
    )
    parts = [
        HEAD.pack(snapshot.index, snapshot.term, snapshot.revision, snapshot.compacted, *lengths),
        snapshot.cluster,
        snapshot.auth,
        *(ALARM.pack(*alarm) for alarm in snapshot.alarms),
        *(LEASE.pack(*lease) for lease in snapshot.leases),
    ]
    for r in snapshot.records:
        parts += (RECORD.pack(r.main, r.sub, r.create, r.version, r.lease, len(r.key), len(r.kv)), r.key, r.kv)
        if len(parts) > PIECE:
            yield b"".join(parts)
            parts.clear()
    yield b"".join(parts)


def encode(snapshot: Snapshot) -> bytes:
    return b"".join(pieces(snapshot))


def decode(data: bytes) -> Snapshot:
    """Raises ValueError when the bytes are not a whole snapshot."""
    start = len(MAGIC)
    body = memoryview(data)[start : -CHECK.size]
    if data[:start] != MAGIC or CHECK.pack(zlib.crc32(body)) != data[-CHECK.size :]:
        raise ValueError("not a snapshot, or damaged")
    index, term, revision, compacted, alarms, leases, records, cluster, auth = HEAD.unpack_from(data, start)
    middle = start + HEAD.size + cluster
    offset = middle + auth
    snapshot = Snapshot(
        index, term, revision, compacted, cluster=data[start + HEAD.size : middle], auth=data[middle:offset]
    )
    for _ in range(alarms):
        snapshot.alarms.append(ALARM.unpack_from(data, offset))
        offset += ALARM.size
    for _ in range(leases):
        snapshot.leases.append(LEASE.unpack_from(data, offset))
        offset += LEASE.size
    known: dict[bytes, bytes] = {}
    found: list[Record] = []
    snapshot.records = found
    for _ in range(records):
        main, sub, create, version, lease, key_size, size = RECORD.unpack_from(data, offset)
        offset += RECORD.size
        key = data[offset : offset + key_size]
        key = known.setdefault(key, key)  # the versions of a key share its name
        kv = data[offset + key_size : offset + key_size + size]
        found.append(Record(key, main, sub, create, version, lease, kv))
        offset += key_size + size
    return snapshot


def save(folder: Path, taken: Snapshot, disk: Disk = SYSTEM_DISK) -> None:
    """Write a snapshot, then remove those that are no longer kept."""
    disk.make_folder(folder)
    name = f"{taken.term:016x}-{taken.index:016x}"
    for left in (left for left in disk.names(folder) if left.endswith(".tmp")):
        disk.remove(folder / left)
    beside = folder / f"{name}.tmp"
    file = disk.append(beside)
    try:
        for piece in pieces(taken):
            file.write(piece)
        file.sync()
    finally:
        file.close()
    disk.rename(beside, folder / f"{name}.snap")
    disk.sync_folder(folder)
    for old in _names(folder, disk)[:-KEEP]:
        disk.remove(folder / old)


def _names(folder: Path, disk: Disk) -> list[str]:
    return [name for name in disk.names(folder) if name.endswith(".snap")]


def load(folder: Path, disk: Disk = SYSTEM_DISK) -> Snapshot:
    """The newest whole snapshot; an empty state if there is none. Raises ValueError when all are damaged."""
    names = _names(folder, disk)
    for name in reversed(names):
        try:
            return decode(disk.read(folder / name))
        except (ValueError, struct.error):
            continue
    if names:
        raise ValueError(f"snap: none of the snapshots in {folder} can be read: {REMEDY}")
    return Snapshot()


def oldest_index(folder: Path, disk: Disk = SYSTEM_DISK) -> int:
    """The index of the oldest snapshot that is kept: the log before it is not needed any more."""
    return min((int(name[17:33], 16) for name in _names(folder, disk)), default=0)
