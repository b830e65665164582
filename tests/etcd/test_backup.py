"""Files of bbolt, and a member's state in one; etcdctl of Debian is the judge of both."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workshop.etcd import backup
from workshop.etcd.bolt import PAGE_SIZE, NotBolt, Reader, Writer, fnv_1a
from workshop.etcd.mvcc.store import Store
from workshop.etcd.snapshot import Snapshot

Buckets = dict[bytes, dict[bytes, bytes]]


def written(buckets: Buckets) -> bytes:
    file = io.BytesIO()
    writer = Writer(file)
    for name in sorted(buckets):
        writer.bucket(name, sorted(buckets[name].items()))
    writer.finish()
    return file.getvalue()


def found(data: bytes) -> Buckets:
    reader = Reader(data)
    return {name: dict(reader.pairs(name)) for name in reader.buckets}


CONTENT = st.dictionaries(st.binary(min_size=1, max_size=40), st.binary(max_size=9000), max_size=30)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.binary(min_size=1, max_size=20), CONTENT, max_size=4))
def test_what_is_written_is_read(buckets: Buckets) -> None:
    data = written(buckets)
    assert len(data) % PAGE_SIZE == 0 and found(data) == buckets


def test_a_tree_of_three_levels() -> None:
    content = {b"%08d" % i: b"v" * 100 for i in range(30_000)}
    reader = Reader(written({b"key": content}))
    assert list(reader.pairs(b"key")) == sorted(content.items())


def test_fnv_is_the_one_of_the_books() -> None:
    assert (fnv_1a(b""), fnv_1a(b"a")) == (0xCBF29CE484222325, 0xAF63DC4C8601EC8C)


@pytest.mark.parametrize("damage", [b"", b"x" * 9000, b"\0" * 9000])
def test_what_is_no_file_of_bbolt_is_refused(damage: bytes) -> None:
    with pytest.raises(NotBolt):
        Reader(damage)


def test_a_file_that_is_cut_short_is_refused() -> None:
    data = written({b"key": {b"%04d" % i: b"v" * 500 for i in range(100)}})
    with pytest.raises(NotBolt):
        found(data[: PAGE_SIZE * 5])


def state() -> Snapshot:
    store = Store()
    for i in range(200):
        store.put(b"k/%d" % (i % 40), b"value %d" % i * 20)
        store.put(b"l/%d" % (i % 7), b"", lease=7 if i % 2 else 0)
        store.commit()
    store.put(b"large", b"x" * 200_000)
    store.delete(b"k/3")
    store.commit()
    store.compact(150)
    return Snapshot(220, 3, store.revision, store.compacted, [(1, 9)], [(7, 60)], list(store.history))


def test_a_state_comes_back_from_its_file() -> None:
    file, taken = io.BytesIO(), state()
    members: dict[int, dict[str, object]] = {9: {"name": "a", "peerURLs": ["http://x:1"], "clientURLs": []}}
    auth = {b"auth": [(b"authEnabled", b"\1")], b"authUsers": [(b"root", b"\n\4root")]}
    backup.write(file, backup.Backup(taken, members, auth))
    again = backup.read(file.getvalue())
    assert [(r.key, r.main, r.sub, r.kv) for r in again.snapshot.records] == [
        (r.key, r.main, r.sub, r.kv) for r in taken.records
    ]
    assert (again.snapshot.index, again.snapshot.term, again.snapshot.compacted) == (220, 3, 150)
    assert (again.snapshot.alarms, again.snapshot.leases) == (taken.alarms, taken.leases)
    assert again.members[9]["name"] == "a" and again.auth[b"authUsers"] == auth[b"authUsers"]


def test_the_digest_behind_a_file_is_looked_at() -> None:
    body = written({b"key": {b"a": b"b"}})
    good = backup.with_digest(body)
    assert backup.check_digest(good) == body
    with pytest.raises(ValueError, match="expected sha256"):
        backup.check_digest(good[:100] + b"!" + good[101:])
    with pytest.raises(ValueError, match="snapshot missing hash"):
        backup.check_digest(body)
    assert backup.check_digest(body, skip=True) == body


def test_etcdctl_reads_the_file(tmp_path: Path) -> None:
    etcdctl = shutil.which("etcdctl")
    if etcdctl is None:
        pytest.fail("etcdctl is not installed") if os.environ.get("CI") else pytest.skip("etcdctl is not installed")
    file = io.BytesIO()
    backup.write(file, backup.Backup(state()))
    path = tmp_path / "state.db"
    path.write_bytes(backup.with_digest(file.getvalue()))
    environment = {**os.environ, "ETCDCTL_API": "3"}
    told = subprocess.run(
        [etcdctl, "snapshot", "status", str(path)], capture_output=True, text=True, env=environment, check=True
    )
    _, revision, keys, _ = told.stdout.split(", ")
    assert (revision, keys) == ("202", "411")
