"""Snapshots for people: a member's state as the file that upstream's own store would be, and back.

    key       main 8  "_"  sub 8 [t]  ->  KeyValue          every version; t marks a tombstone
    lease     id 8                    ->  ID, TTL
    alarm     type and member         ->  nothing
    members   id in hex               ->  JSON               who was in the cluster
    meta      consistent_index, term, scheduledCompactRev, …

`etcdctl snapshot save` writes such a file with its SHA-256 (32 bytes) behind it. `restore` makes a data directory of
one, be it ours or upstream's. Upstream: `server/storage/schema`, `etcdutl/snapshot`.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from workshop.etcd import encode
from workshop.etcd.bolt import NotBolt, Pair, Reader, Writer
from workshop.etcd.mvcc.key_index import Record
from workshop.etcd.mvcc.store import REVISION_KEY, TOMBSTONE_MARK, revision_key
from workshop.etcd.snapshot import Snapshot
from workshop.wire import etcd_pb2 as pb

NUMBER = struct.Struct(">Q")
DIGEST_SIZE = 32

#: The version of the layout, as upstream names it.
STORAGE_VERSION = "3.6.0"


@dataclass
class Backup:
    """A snapshot and what else stands in its file: JSON of each member by its id, buckets of auth as they are."""

    snapshot: Snapshot
    members: dict[int, dict[str, object]] = field(default_factory=dict)
    auth: Mapping[bytes, Iterable[Pair]] = field(default_factory=dict)


def write(file: BinaryIO, backup: Backup) -> None:
    """Write the file, without its digest. Takes seconds for a million records; may run in a thread."""
    snapshot = backup.snapshot
    voters = [id for id, member in backup.members.items() if not member.get("isLearner")]
    learners = [id for id, member in backup.members.items() if member.get("isLearner")]
    confirmation = {
        "voters": sorted(voters),
        **({"learners": sorted(learners)} if learners else {}),
        "auto_leave": False,
    }
    meta = {
        b"consistent_index": NUMBER.pack(snapshot.index),
        b"term": NUMBER.pack(snapshot.term),
        b"confState": json.dumps(confirmation, separators=(",", ":")).encode(),
        b"storageVersion": STORAGE_VERSION.encode(),
    }
    if snapshot.compacted:
        done = REVISION_KEY.pack(snapshot.compacted, b"_", 0)
        meta |= {b"scheduledCompactRev": done, b"finishedCompactRev": done}
    buckets: dict[bytes, Iterable[Pair]] = {
        b"alarm": sorted((encode.number(1, member) + encode.number(2, kind), b"") for kind, member in snapshot.alarms),
        b"auth": (),
        b"authRoles": (),
        b"authUsers": (),
        b"cluster": [(b"clusterVersion", STORAGE_VERSION.encode())],
        b"key": _versions(snapshot.records),
        b"lease": sorted(
            (NUMBER.pack(id), encode.number(1, id) + encode.number(2, ttl)) for id, ttl in snapshot.leases
        ),
        b"members": sorted(
            (f"{id:x}".encode(), json.dumps({"id": id, **member}, separators=(",", ":")).encode())
            for id, member in backup.members.items()
        ),
        b"members_removed": (),
        b"meta": sorted(meta.items()),
        **backup.auth,
    }
    writer = Writer(file)
    for name in sorted(buckets):
        writer.bucket(name, buckets[name])
    writer.finish()


def _versions(records: Iterable[Record]) -> Iterator[Pair]:
    for record in records:
        yield revision_key(record), encode.upstream_value(record.key, record.kv, not record.version)


def check_digest(data: bytes, skip: bool = False) -> bytes:
    """The file without the digest behind it. Raises ValueError where that is missing or wrong (unless `skip`)."""
    if len(data) % 512 != DIGEST_SIZE:
        if not skip:
            raise ValueError("snapshot missing hash but --skip-hash-check=false")
        return data
    body, digest = data[:-DIGEST_SIZE], data[-DIGEST_SIZE:]
    if not skip and (actual := hashlib.sha256(body).digest()) != digest:
        raise ValueError(f"expected sha256 {list(digest)}, got {list(actual)}")
    return body


def read(data: bytes) -> Backup:
    """What a file without its digest says. Raises NotBolt."""
    reader = Reader(data)
    if b"key" not in reader.buckets:
        raise NotBolt("not a snapshot of etcd: there is no bucket of keys")
    meta = dict(reader.pairs(b"meta"))
    snapshot = Snapshot(
        index=_number(meta.get(b"consistent_index")),
        term=_number(meta.get(b"term")),
        compacted=_number(meta.get(b"finishedCompactRev") or meta.get(b"scheduledCompactRev")),
    )
    records = list(_records(reader.pairs(b"key")))
    newest = records[-1].main if records else 1
    snapshot.records = records
    snapshot.revision = max(newest, snapshot.compacted, 1)
    for id, lease in reader.pairs(b"lease"):
        ttl = pb.LeaseCheckpoint.FromString(lease).remaining_TTL  # a stored lease: ID 1, TTL 2, as here
        snapshot.leases.append((struct.unpack(">q", id)[0], ttl))
    for alarm, _ in reader.pairs(b"alarm"):
        found = pb.AlarmMember.FromString(alarm)
        snapshot.alarms.append((found.alarm, found.memberID))
    members = {int(id, 16): json.loads(member) for id, member in reader.pairs(b"members")}
    auth = {name: list(reader.pairs(name)) for name in (b"auth", b"authRoles", b"authUsers")}
    return Backup(snapshot, members, auth)


def _number(stored: bytes | None) -> int:
    return int(NUMBER.unpack_from(stored)[0]) if stored else 0


def _records(pairs: Iterable[Pair]) -> Iterator[Record]:
    known: dict[bytes, bytes] = {}
    for revision, stored in pairs:
        main, _, sub = REVISION_KEY.unpack_from(revision)
        kv = pb.KeyValue.FromString(stored)
        key = known.setdefault(kv.key, kv.key)  # the versions of a key share its name
        if revision[REVISION_KEY.size :] == TOMBSTONE_MARK:
            yield Record.tombstone(key, main, sub)
        else:
            yield Record(key, main, sub, kv.create_revision, kv.version, kv.lease, encode.nested(2, stored))
