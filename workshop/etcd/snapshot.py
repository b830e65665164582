"""Snapshots of the whole state, so that the log need not grow for ever.

A file `TERM-INDEX.snap`: magic, CRC-32, a protobuf-free table of lengths. It is written beside, synced and renamed,
so it is whole or not there; the two newest are kept, and the log as far back as the older of them needs.

Upstream: `server/etcdserver/api/snap`. (Upstream keeps the store itself in a bbolt file; here the snapshot holds it.)
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from workshop.etcd.mvcc.key_index import Record
from workshop.etcd.wal import sync_folder

MAGIC = b"\xf5SNAP001"
HEAD = struct.Struct("<QQqqIII")
ALARM = struct.Struct("<IQ")
LEASE = struct.Struct("<qq")
RECORD = struct.Struct("<qIqqqII")

#: How many snapshots are kept.
KEEP = 2


@dataclass
class Snapshot:
    """The state after applying the log up to `index` (whose term is `term`). `alarms` are (type, member),
    `leases` (id, ttl)."""

    index: int = 0
    term: int = 0
    revision: int = 1
    compacted: int = 0
    alarms: list[tuple[int, int]] = field(default_factory=list)
    leases: list[tuple[int, int]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)


def encode(snapshot: Snapshot) -> bytes:
    parts = [
        HEAD.pack(
            snapshot.index,
            snapshot.term,
            snapshot.revision,
            snapshot.compacted,
            len(snapshot.alarms),
            len(snapshot.leases),
            len(snapshot.records),
        )
    ]
    parts += [ALARM.pack(*alarm) for alarm in snapshot.alarms]
    parts += [LEASE.pack(*lease) for lease in snapshot.leases]
    for r in snapshot.records:
        parts += (RECORD.pack(r.main, r.sub, r.create, r.version, r.lease, len(r.key), len(r.kv)), r.key, r.kv)
    body = b"".join(parts)
    return MAGIC + struct.pack("<I", zlib.crc32(body)) + body


def decode(data: bytes) -> Snapshot:
    """Raises ValueError when the bytes are not a whole snapshot."""
    start = len(MAGIC) + 4
    if data[: len(MAGIC)] != MAGIC or zlib.crc32(data[start:]) != struct.unpack_from("<I", data, len(MAGIC))[0]:
        raise ValueError("not a snapshot, or damaged")
    index, term, revision, compacted, alarms, leases, records = HEAD.unpack_from(data, start)
    snapshot = Snapshot(index, term, revision, compacted)
    offset = start + HEAD.size
    for _ in range(alarms):
        snapshot.alarms.append(ALARM.unpack_from(data, offset))
        offset += ALARM.size
    for _ in range(leases):
        snapshot.leases.append(LEASE.unpack_from(data, offset))
        offset += LEASE.size
    known: dict[bytes, bytes] = {}
    for _ in range(records):
        main, sub, create, version, lease, key_size, size = RECORD.unpack_from(data, offset)
        offset += RECORD.size
        key = data[offset : offset + key_size]
        key = known.setdefault(key, key)  # the versions of a key share its name
        kv = data[offset + key_size : offset + key_size + size]
        snapshot.records.append(Record(key, main, sub, create, version, lease, kv))
        offset += key_size + size
    return snapshot


def save(folder: Path, data: bytes, term: int, index: int) -> None:
    """Write an encoded snapshot, then remove those that are no longer kept."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{term:016x}-{index:016x}.snap"
    beside = path.with_suffix(".tmp")
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]
        os.fsync(file)
    finally:
        os.close(file)
    beside.rename(path)
    sync_folder(folder)
    for old in sorted(folder.glob("*.snap"))[:-KEEP]:
        old.unlink()


def load(folder: Path) -> Snapshot:
    """The newest whole snapshot; an empty state if there is none. Raises ValueError when all are damaged."""
    paths = sorted(folder.glob("*.snap"), reverse=True)
    for path in paths:
        try:
            return decode(path.read_bytes())
        except ValueError:
            continue
    if paths:
        raise ValueError(f"snap: none of the snapshots in {folder} can be read")
    return Snapshot()


def oldest_index(folder: Path) -> int:
    """The index of the oldest snapshot that is kept: the log before it is not needed any more."""
    return min((int(path.stem[17:], 16) for path in folder.glob("*.snap")), default=0)
