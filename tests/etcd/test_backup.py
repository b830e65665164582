"""Files of bbolt, and a member's state in one; etcdctl of Debian is the judge of both."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.etcd_servers import KINDS, EtcdProcess, running
from workshop.etcd import backup, restore
from workshop.etcd.bolt import PAGE_SIZE, NotBolt, Reader, Writer, fnv_1a
from workshop.etcd.mvcc.store import Store
from workshop.etcd.snapshot import Snapshot
from workshop.wire import etcd_pb2 as pb

Buckets = dict[bytes, dict[bytes, bytes]]


def written(buckets: Buckets) -> bytes:
    file = io.BytesIO()
    writer = Writer(file)
    for name in sorted(buckets):
        writer.bucket(name, sorted(buckets[name].items()))
    writer.finish()
    return file.getvalue()


def with_digest(body: bytes) -> bytes:
    """As etcdctl writes the file: its SHA-256 behind it."""
    return body + hashlib.sha256(body).digest()


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
    good = with_digest(body)
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
    path.write_bytes(with_digest(file.getvalue()))
    environment = {**os.environ, "ETCDCTL_API": "3"}
    told = subprocess.run(
        [etcdctl, "snapshot", "status", str(path)], capture_output=True, text=True, env=environment, check=True
    )
    _, revision, keys, _ = told.stdout.split(", ")
    assert (revision, keys) == ("202", "411")


async def saved(etcd: EtcdProcess) -> bytes:
    """A snapshot as clients get it, with its digest."""
    pieces = []
    async with grpc.aio.insecure_channel(etcd.endpoint) as channel:
        stream = channel.unary_stream("/etcdserverpb.Maintenance/Snapshot")
        async for answer in stream(b""):
            pieces.append(pb.SnapshotResponse.FromString(answer))
    assert pieces[-1].remaining_bytes == 0 and len(pieces[-1].blob) == 32
    assert pieces[0].remaining_bytes == sum(len(piece.blob) for piece in pieces[1:-1])
    return b"".join(piece.blob for piece in pieces)


async def ask(etcd: EtcdProcess, method: str, request: Any, answer: Any) -> Any:
    async with grpc.aio.insecure_channel(etcd.endpoint) as channel:
        return answer.FromString(await channel.unary_unary(f"/etcdserverpb.{method}")(request.SerializeToString()))


def restored(path: Path, etcd: EtcdProcess, *flags: str) -> int:
    peer = f"http://127.0.0.1:{etcd.peer_port}"
    names = [f"--initial-cluster=default={peer}", f"--initial-advertise-peer-urls={peer}"]
    return restore.main([str(path), f"--data-dir={etcd.folder}", *names, *flags])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_snapshot_of_either_kind_becomes_a_member_of_ours(kind: str, tmp_path: Path) -> None:
    async with running(kind, tmp_path / "first") as etcd:
        lease = (await ask(etcd, "Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=900), pb.LeaseGrantResponse)).ID
        for i in range(30):
            put = pb.PutRequest(key=b"k/%d" % (i % 10), value=b"%d" % i, lease=lease if i == 29 else 0)
            await ask(etcd, "KV/Put", put, pb.PutResponse)
        await ask(etcd, "KV/DeleteRange", pb.DeleteRangeRequest(key=b"k/0"), pb.DeleteRangeResponse)
        await ask(etcd, "KV/Compact", pb.CompactionRequest(revision=20, physical=True), pb.CompactionResponse)
        await ask(etcd, "Auth/UserAdd", pb.AuthUserAddRequest(name="root", password="pw"), pb.AuthUserAddResponse)
        before = await ask(etcd, "Maintenance/HashKV", pb.HashKVRequest(), pb.HashKVResponse)
        (tmp_path / "state.db").write_bytes(await saved(etcd))
    again = EtcdProcess("ours", tmp_path / "second")
    assert restored(tmp_path / "state.db", again) == 0
    await again.start()
    try:
        after = await ask(again, "Maintenance/HashKV", pb.HashKVRequest(), pb.HashKVResponse)
        assert (after.hash, after.compact_revision, after.header.revision) == (before.hash, 20, before.header.revision)
        keys = pb.LeaseTimeToLiveRequest(ID=lease, keys=True)
        assert (await ask(again, "Lease/LeaseTimeToLive", keys, pb.LeaseTimeToLiveResponse)).keys == [b"k/9"]
        assert (await ask(again, "Auth/UserList", pb.AuthUserListRequest(), pb.AuthUserListResponse)).users == ["root"]
        put = await ask(again, "KV/Put", pb.PutRequest(key=b"new"), pb.PutResponse)
        assert put.header.revision == before.header.revision + 1
    finally:
        again.kill()


async def test_a_restored_member_may_go_on_later_and_without_its_past(tmp_path: Path) -> None:
    file = io.BytesIO()
    backup.write(file, backup.Backup(state()))
    (tmp_path / "state.db").write_bytes(with_digest(file.getvalue()))
    etcd = EtcdProcess("ours", tmp_path / "data")
    assert restored(tmp_path / "state.db", etcd, "--bump-revision=1000", "--mark-compacted") == 0
    await etcd.start()
    try:
        found = await ask(etcd, "KV/Range", pb.RangeRequest(key=b"k/1"), pb.RangeResponse)
        assert found.header.revision == 1202 and found.kvs[0].mod_revision < 202
        with pytest.raises(grpc.RpcError, match="required revision has been compacted"):
            await ask(etcd, "KV/Range", pb.RangeRequest(key=b"k/1", revision=1201), pb.RangeResponse)
    finally:
        etcd.kill()


def test_what_cannot_be_restored_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = written({b"key": {}})
    cases = {
        "none.db": (None, "no such file or directory"),
        "short.db": (body, "snapshot missing hash but --skip-hash-check=false"),
        "other.db": (with_digest(written({b"a": {}})), "not a snapshot of etcd"),
        "noise.db": (with_digest(b"x" * 4096), "not a file of bbolt"),
    }
    for name, (data, text) in cases.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        assert restore.main([str(tmp_path / name), f"--data-dir={tmp_path / 'new'}"]) == 1
        assert text in capsys.readouterr().err and not (tmp_path / "new").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert restore.main([str(tmp_path / "short.db"), f"--data-dir={tmp_path / 'full'}"]) == 1
    assert "not empty" in capsys.readouterr().err


async def test_debians_etcd_goes_on_from_a_snapshot_of_ours(tmp_path: Path) -> None:
    etcdctl = shutil.which("etcdctl")
    theirs = EtcdProcess("debian", tmp_path / "theirs")
    theirs.arguments()  # skips where it is missing
    async with running("ours", tmp_path / "ours") as etcd:
        for i in range(30):
            await ask(etcd, "KV/Put", pb.PutRequest(key=b"k/%d" % (i % 10), value=b"%d" % i), pb.PutResponse)
        before = await ask(etcd, "Maintenance/HashKV", pb.HashKVRequest(), pb.HashKVResponse)
        (tmp_path / "state.db").write_bytes(await saved(etcd))
    peer = f"http://127.0.0.1:{theirs.peer_port}"
    subprocess.run(
        [
            *(str(etcdctl), "snapshot", "restore", str(tmp_path / "state.db"), f"--data-dir={theirs.folder}"),
            *(f"--initial-cluster=default={peer}", f"--initial-advertise-peer-urls={peer}"),
        ],
        env={**os.environ, "ETCDCTL_API": "3"},
        capture_output=True,
        check=True,
    )
    await theirs.start()
    try:
        after = await ask(theirs, "Maintenance/HashKV", pb.HashKVRequest(), pb.HashKVResponse)
        assert (after.hash, after.header.revision) == (before.hash, before.header.revision)
    finally:
        theirs.kill()
