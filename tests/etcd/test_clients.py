"""One suite of clients over our etcd and Debian's: the same questions, the same answers."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.etcd_servers import KINDS, EtcdProcess, running
from tests.machine import quiet
from workshop.wire import etcd_pb2 as pb


@pytest.fixture(scope="module", params=KINDS)
def etcd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One server for the module; each test uses keys of its own."""
    server = EtcdProcess(request.param, tmp_path_factory.mktemp("etcd") / "data")
    asyncio.run(server.start())
    yield server
    server.kill()


class Client:
    """Calls by name: `await client("KV/Put", pb.PutRequest(...))`."""

    def __init__(self, endpoint: str) -> None:
        self.channel = grpc.aio.insecure_channel(endpoint)

    async def __call__(self, method: str, request: Any) -> Any:
        answer = getattr(pb, type(request).__name__.replace("Request", "Response"))
        call = self.channel.unary_unary(
            f"/etcdserverpb.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        return await call(request, timeout=60)

    async def refused(self, method: str, request: Any) -> tuple[str, str]:
        with pytest.raises(grpc.RpcError) as error:
            await self(method, request)
        return error.value.code().name, error.value.details()

    def watch(self) -> Any:
        return self.channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=pb.WatchRequest.SerializeToString,
            response_deserializer=pb.WatchResponse.FromString,
        )()

    async def put(self, key: bytes, value: bytes = b"", **kwargs: Any) -> int:
        return int((await self("KV/Put", pb.PutRequest(key=key, value=value, **kwargs))).header.revision)


@pytest.fixture
async def client(etcd: EtcdProcess) -> AsyncIterator[Client]:
    opened = Client(etcd.endpoint)
    yield opened
    await opened.channel.close()


async def read(stream: Any) -> Any:
    return await asyncio.wait_for(stream.read(), 60)


def put(key: bytes, value: bytes = b"", **kwargs: Any) -> Any:
    return pb.RequestOp(request_put=pb.PutRequest(key=key, value=value, **kwargs))


def get(key: bytes, **kwargs: Any) -> Any:
    return pb.RequestOp(request_range=pb.RangeRequest(key=key, **kwargs))


async def test_range_with_everything(client: Client) -> None:
    base = await client.put(b"r/a", b"3")
    await client.put(b"r/b", b"2")
    await client.put(b"r/c", b"1")
    await client.put(b"r/a", b"4")

    async def keys(**kwargs: Any) -> list[bytes]:
        answer = await client("KV/Range", pb.RangeRequest(key=b"r/", range_end=b"r0", **kwargs))
        return [kv.key[2:] for kv in answer.kvs]

    assert await keys() == [b"a", b"b", b"c"]
    assert await keys(revision=base) == [b"a"]
    assert await keys(sort_order=2) == [b"c", b"b", b"a"]
    assert await keys(sort_target=4) == [b"c", b"b", b"a"]
    assert await keys(sort_target=3, sort_order=1) == [b"b", b"c", b"a"]
    assert await keys(sort_target=1, sort_order=2, limit=1) == [b"a"]
    assert await keys(min_mod_revision=base + 1, max_mod_revision=base + 2) == [b"b", b"c"]
    assert await keys(max_create_revision=base) == [b"a"]
    limited = await client("KV/Range", pb.RangeRequest(key=b"r/", range_end=b"r0", limit=2))
    assert (len(limited.kvs), limited.more, limited.count) == (2, True, 3)
    only = await client("KV/Range", pb.RangeRequest(key=b"r/", range_end=b"r0", keys_only=True))
    assert [kv.value for kv in only.kvs] == [b"", b"", b""] and only.kvs[0].version == 2
    counted = await client("KV/Range", pb.RangeRequest(key=b"r/", range_end=b"r0", count_only=True))
    assert (list(counted.kvs), counted.count) == ([], 3)
    assert await client.refused("KV/Range", pb.RangeRequest()) == (
        "INVALID_ARGUMENT",
        "etcdserver: key is not provided",
    )
    assert await client.refused("KV/Range", pb.RangeRequest(key=b"x", revision=1 << 40)) == (
        "OUT_OF_RANGE",
        "etcdserver: mvcc: required revision is a future revision",
    )


async def test_put_and_delete_tell_what_was_before(client: Client) -> None:
    await client.put(b"p/a", b"1")
    answer = await client("KV/Put", pb.PutRequest(key=b"p/a", value=b"2", prev_kv=True))
    assert answer.prev_kv.value == b"1"
    await client("KV/Put", pb.PutRequest(key=b"p/a", ignore_value=True))
    kept = (await client("KV/Range", pb.RangeRequest(key=b"p/a"))).kvs[0]
    assert (kept.value, kept.version) == (b"2", 3)
    deleted = await client("KV/DeleteRange", pb.DeleteRangeRequest(key=b"p/", range_end=b"p0", prev_kv=True))
    assert (deleted.deleted, deleted.prev_kvs[0].value) == (1, b"2")
    nothing = await client("KV/DeleteRange", pb.DeleteRangeRequest(key=b"p/a"))
    assert nothing.deleted == 0 and nothing.header.revision == deleted.header.revision
    for request, text in (
        (pb.PutRequest(value=b"x"), "etcdserver: key is not provided"),
        (pb.PutRequest(key=b"p/x", ignore_value=True), "etcdserver: key not found"),
        (pb.PutRequest(key=b"p/x", value=b"1", ignore_value=True), "etcdserver: value is provided"),
        (pb.PutRequest(key=b"p/x", lease=1, ignore_lease=True), "etcdserver: lease is provided"),
        (pb.PutRequest(key=b"p/x", value=b"x" * 1_600_000), "etcdserver: request is too large"),
    ):
        assert await client.refused("KV/Put", request) == ("INVALID_ARGUMENT", text)
    assert await client.refused("KV/Put", pb.PutRequest(key=b"p/x", lease=12345)) == (
        "NOT_FOUND",
        "etcdserver: requested lease not found",
    )


async def test_transactions_compare_everything(client: Client) -> None:
    revision = await client.put(b"t/a", b"m")

    async def holds(**kwargs: Any) -> bool:
        request = pb.TxnRequest(compare=[pb.Compare(**{"key": b"t/a", **kwargs})])
        return bool((await client("KV/Txn", request)).succeeded)

    C = pb.Compare
    assert await holds(target=C.VALUE, value=b"m") and not await holds(target=C.VALUE, value=b"n")
    assert await holds(target=C.VALUE, result=C.GREATER, value=b"a")
    assert await holds(target=C.MOD, mod_revision=revision)
    assert await holds(target=C.CREATE, result=C.LESS, create_revision=revision + 1)
    assert await holds(target=C.VERSION, result=C.NOT_EQUAL, version=7)
    assert await holds(target=C.LEASE, lease=0)
    assert await holds(target=C.VERSION, key=b"t/none", version=0)
    assert not await holds(target=C.VALUE, key=b"t/none", value=b"")
    await client.put(b"t/b", b"z")
    assert not await holds(target=C.VALUE, key=b"t/", range_end=b"t0", value=b"m")
    assert await holds(target=C.VERSION, key=b"t/", range_end=b"t0", version=1)


async def test_a_transaction_is_one_revision_and_may_nest(client: Client) -> None:
    before = await client.put(b"n/a", b"1")
    inner = pb.RequestOp(
        request_txn=pb.TxnRequest(
            compare=[pb.Compare(target=pb.Compare.VALUE, key=b"n/a", value=b"1")],
            success=[put(b"n/c", b"then")],
            failure=[put(b"n/c", b"else")],
        )
    )
    request = pb.TxnRequest(success=[put(b"n/a", b"2", prev_kv=True), inner, get(b"n/", range_end=b"n0")])
    answer = await client("KV/Txn", request)
    assert answer.succeeded and answer.header.revision == before + 1
    first, nested, listed = answer.responses
    assert first.response_put.prev_kv.value == b"1"
    assert nested.response_txn.succeeded, "comparisons see the store before the transaction"
    assert {(kv.key, kv.value, kv.mod_revision) for kv in listed.response_range.kvs} == {
        (b"n/a", b"2", before + 1),
        (b"n/c", b"then", before + 1),
    }
    failed = pb.TxnRequest(
        compare=[pb.Compare(target=pb.Compare.MOD, key=b"n/a", mod_revision=1)],
        success=[put(b"n/a", b"3")],
        failure=[get(b"n/a")],
    )
    answer = await client("KV/Txn", failed)
    assert not answer.succeeded and answer.responses[0].response_range.kvs[0].value == b"2"
    assert answer.header.revision == before + 1


async def test_transactions_that_are_refused(client: Client) -> None:
    delete = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"x/", range_end=b"x0"))
    for request, text in (
        (pb.TxnRequest(success=[put(b"x/a"), put(b"x/a")]), "etcdserver: duplicate key given in txn request"),
        (pb.TxnRequest(success=[put(b"x/a"), delete]), "etcdserver: duplicate key given in txn request"),
        (
            pb.TxnRequest(success=[put(b"x/%d" % i) for i in range(129)]),
            "etcdserver: too many operations in txn request",
        ),
        (pb.TxnRequest(success=[put(b"")]), "etcdserver: key is not provided"),
        (pb.TxnRequest(compare=[pb.Compare()]), "etcdserver: key is not provided"),
    ):
        assert await client.refused("KV/Txn", request) == ("INVALID_ARGUMENT", text)
    assert (await client("KV/Range", pb.RangeRequest(key=b"x/", range_end=b"x0"))).count == 0


async def test_a_watch_is_created_hears_and_is_canceled(client: Client) -> None:
    stream = client.watch()
    create = pb.WatchCreateRequest(key=b"w/", range_end=b"w0", prev_kv=True)
    await stream.write(pb.WatchRequest(create_request=create))
    created = await read(stream)
    assert (created.watch_id, created.created, list(created.events)) == (0, True, [])
    first = await client.put(b"w/a", b"1")
    second = await client.put(b"w/a", b"2")
    await client("KV/DeleteRange", pb.DeleteRangeRequest(key=b"w/a"))
    events = []
    while len(events) < 3:
        events += (await read(stream)).events
    assert [(e.type, e.kv.value, e.kv.mod_revision, e.prev_kv.value) for e in events] == [
        (0, b"1", first, b""),
        (0, b"2", second, b"1"),
        (1, b"", second + 1, b"2"),
    ]
    assert not events[0].HasField("prev_kv")
    await stream.write(pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=0)))
    canceled = await read(stream)
    assert canceled.canceled and canceled.watch_id == 0
    stream.cancel()


async def test_watches_from_the_past_with_filters(client: Client) -> None:
    first = await client.put(b"f/a", b"1")
    await client("KV/DeleteRange", pb.DeleteRangeRequest(key=b"f/a"))
    stream = client.watch()
    for filters in ([], [pb.WatchCreateRequest.NOPUT], [pb.WatchCreateRequest.NODELETE]):
        create = pb.WatchCreateRequest(key=b"f/a", start_revision=first, filters=filters)
        await stream.write(pb.WatchRequest(create_request=create))
    heard: dict[int, list[int]] = {}
    while sum(map(len, heard.values())) < 4:
        answer = await read(stream)
        heard.setdefault(answer.watch_id, []).extend(event.type for event in answer.events)
    assert heard == {0: [0, 1], 1: [1], 2: [0]}
    stream.cancel()


async def test_what_only_newer_servers_refuse(client: Client) -> None:
    """Etcd 3.4 lets these pass; the answers are 3.6's."""
    if (await client("Maintenance/Status", pb.StatusRequest())).version.startswith("3.4."):
        return
    assert await client.refused("KV/Range", pb.RangeRequest(key=b"x", sort_order=9)) == (
        "INVALID_ARGUMENT",
        "etcdserver: invalid sort option",
    )
    stream = client.watch()
    negative = pb.WatchCreateRequest(key=b"f/a", start_revision=-1)
    await stream.write(pb.WatchRequest(create_request=negative))
    empty = pb.WatchCreateRequest(key=b"f/b", range_end=b"f/a")
    await stream.write(pb.WatchRequest(create_request=empty))
    for _ in range(2):
        answer = await read(stream)
        assert (answer.created, answer.canceled, answer.watch_id) == (True, True, -1)
    stream.cancel()


async def test_one_transaction_is_one_answer_of_a_watch(client: Client) -> None:
    stream = client.watch()
    create = pb.WatchCreateRequest(key=b"m/", range_end=b"m0")
    await stream.write(pb.WatchRequest(create_request=create))
    await read(stream)
    await client("KV/Txn", pb.TxnRequest(success=[put(b"m/%d" % i) for i in range(5)]))
    assert len((await read(stream)).events) == 5
    stream.cancel()


async def test_requested_progress_has_no_watch_id(client: Client) -> None:
    stream = client.watch()
    await stream.write(pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"g/a")))
    await read(stream)
    revision = await client.put(b"g/other")
    await stream.write(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))
    answer = await read(stream)
    assert (answer.watch_id, list(answer.events)) == (-1, []) and answer.header.revision >= revision
    stream.cancel()


async def test_leases(client: Client) -> None:
    granted = await client("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=100))
    assert granted.TTL == 100 and granted.ID > 0
    assert await client.refused("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=1, ID=granted.ID)) == (
        "FAILED_PRECONDITION",
        "etcdserver: lease already exists",
    )
    await client.put(b"l/a", b"", lease=granted.ID)
    await client.put(b"l/b", b"", lease=granted.ID)
    await client.put(b"l/b", b"")
    live = await client("Lease/LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=granted.ID, keys=True))
    assert (live.grantedTTL, list(live.keys)) == (100, [b"l/a"]) and 95 <= live.TTL <= 100
    assert granted.ID in {lease.ID for lease in (await client("Lease/LeaseLeases", pb.LeaseLeasesRequest())).leases}
    keep = client.channel.stream_stream(
        "/etcdserverpb.Lease/LeaseKeepAlive",
        request_serializer=pb.LeaseKeepAliveRequest.SerializeToString,
        response_deserializer=pb.LeaseKeepAliveResponse.FromString,
    )()
    for id, ttl in ((granted.ID, 100), (4242, 0)):
        await keep.write(pb.LeaseKeepAliveRequest(ID=id))
        answer = await read(keep)
        assert id == answer.ID and ttl == answer.TTL
    keep.cancel()
    await client("Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=granted.ID))
    left = await client("KV/Range", pb.RangeRequest(key=b"l/", range_end=b"l0"))
    assert [kv.key for kv in left.kvs] == [b"l/b"]
    assert (await client("Lease/LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=granted.ID))).TTL == -1
    assert (await client.refused("Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=granted.ID)))[0] == "NOT_FOUND"


async def test_a_lease_that_runs_out_takes_its_keys(client: Client) -> None:
    granted = await client("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=1))
    assert granted.TTL == 2, "lengthened to the least that an election may take"
    stream = client.watch()
    await stream.write(pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"e/a")))
    await read(stream)
    await client.put(b"e/a", b"", lease=granted.ID)
    assert (await read(stream)).events[0].type == pb.Event.PUT
    assert (await read(stream)).events[0].type == pb.Event.DELETE
    stream.cancel()


async def test_compaction_refuses_the_past(client: Client) -> None:
    first = await client.put(b"c/a", b"1")
    second = await client.put(b"c/a", b"2")
    await client("KV/Compact", pb.CompactionRequest(revision=second, physical=True))
    compacted = ("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted")
    assert await client.refused("KV/Compact", pb.CompactionRequest(revision=second)) == compacted
    assert await client.refused("KV/Range", pb.RangeRequest(key=b"c/a", revision=first)) == compacted
    future = ("OUT_OF_RANGE", "etcdserver: mvcc: required revision is a future revision")
    assert await client.refused("KV/Compact", pb.CompactionRequest(revision=1 << 40)) == future
    stream = client.watch()
    create = pb.WatchCreateRequest(key=b"c/a", start_revision=first)
    await stream.write(pb.WatchRequest(create_request=create))
    assert (await read(stream)).created
    canceled = await read(stream)
    assert canceled.canceled and canceled.compact_revision == second
    stream.cancel()


async def test_maintenance(client: Client) -> None:
    status = await client("Maintenance/Status", pb.StatusRequest())
    assert status.leader == status.header.member_id and status.raftIndex >= status.raftAppliedIndex > 0
    assert not (await client("Maintenance/Alarm", pb.AlarmRequest())).alarms
    first = await client("Maintenance/HashKV", pb.HashKVRequest())
    again = await client("Maintenance/HashKV", pb.HashKVRequest())
    assert first.hash == again.hash != 0
    await client("Maintenance/Defragment", pb.DefragmentRequest())
    listed = await client("Cluster/MemberList", pb.MemberListRequest())
    assert not listed.header.revision and listed.header.cluster_id, "it is not the store that is asked"
    members = listed.members
    assert [member.name for member in members] == ["default"]


# etcdctl


def etcdctl(etcd: EtcdProcess, *arguments: str, stdin: str = "") -> str:
    found = shutil.which("etcdctl")
    if found is None:
        missing = "etcdctl is not installed (apt-get install etcd-client)"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    environment = {**os.environ, "ETCDCTL_API": "3"}
    done = subprocess.run(
        [found, f"--endpoints={etcd.endpoint}", "--command-timeout=60s", "--dial-timeout=60s", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=environment,
        timeout=90,
        check=True,
    )
    return done.stdout


def test_etcdctl_reads_writes_and_administers(etcd: EtcdProcess) -> None:
    assert etcdctl(etcd, "put", "ctl/a", "1") == "OK\n"
    assert etcdctl(etcd, "get", "ctl/", "--prefix") == "ctl/a\n1\n"
    assert etcdctl(etcd, "del", "ctl/a", "--prev-kv") == "1\nctl/a\n1\n"
    answer = etcdctl(etcd, "txn", stdin='mod("ctl/b") = "0"\n\nput ctl/b 2\n\nget ctl/b\n\n')
    assert answer == "SUCCESS\n\nOK\n"
    lease = etcdctl(etcd, "lease", "grant", "60").split()[1]
    etcdctl(etcd, "put", f"--lease={lease}", "ctl/c", "3")
    assert "attached keys([ctl/c])" in etcdctl(etcd, "lease", "timetolive", lease, "--keys")
    assert etcdctl(etcd, "lease", "revoke", lease) == f"lease {lease} revoked\n"
    assert etcdctl(etcd, "lock", "ctl/lock", "echo", "held") == "held\n"
    [status] = json.loads(etcdctl(etcd, "endpoint", "status", "-w", "json"))
    assert status["Status"]["leader"] == status["Status"]["header"]["member_id"]
    revision = status["Status"]["header"]["revision"]
    assert etcdctl(etcd, "compaction", str(revision)) == f"compacted revision {revision}\n"
    assert etcdctl(etcd, "defrag").startswith("Finished defragmenting")
    etcdctl(etcd, "endpoint", "health")
    assert ", started, default, " in etcdctl(etcd, "member", "list")


# Processes


@pytest.mark.parametrize("kind", KINDS)
async def test_kill_9_under_load_loses_nothing_acknowledged(kind: str, tmp_path: Path) -> None:
    flags = ["--snapshot-count=100"]
    async with running(kind, tmp_path / "data", *flags) as etcd:
        acknowledged: dict[bytes, int] = {}
        for round in range(3):
            client = Client(etcd.endpoint)

            async def write(writer: int, client: Client = client, round: int = round) -> None:
                try:
                    for i in range(10_000):
                        key = b"k/%d/%d/%d" % (round, writer, i)
                        acknowledged[key] = await client.put(key, b"x" * 100)
                except grpc.RpcError:
                    pass

            goal = len(acknowledged) + 300
            writers = [asyncio.ensure_future(write(i)) for i in range(16)]
            while len(acknowledged) < goal:
                await asyncio.wait(writers, timeout=0.005)
            etcd.kill()
            await asyncio.gather(*writers)
            await client.channel.close()
            await etcd.start()
            client = Client(etcd.endpoint)
            found = await client("KV/Range", pb.RangeRequest(key=b"k/", range_end=b"k0", keys_only=True))
            stored = {kv.key: kv.mod_revision for kv in found.kvs}
            lost = {key for key, revision in acknowledged.items() if stored.get(key) != revision}
            assert not lost, f"round {round}: {len(lost)} of {len(acknowledged)} lost"
            await client.channel.close()


async def test_sigterm_ends_at_once_with_open_watches(tmp_path: Path) -> None:
    async with running("ours", tmp_path / "data") as etcd:
        client = Client(etcd.endpoint)
        stream = client.watch()
        await stream.write(pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"a")))
        await read(stream)
        loop = asyncio.get_running_loop()
        before = loop.time()
        assert await loop.run_in_executor(None, etcd.terminate) == 0
        assert loop.time() - before < 5 or not quiet()
        await client.channel.close()


def refused_start(*arguments: str) -> str:
    from tests.etcd_servers import command

    done = subprocess.run([*command("ours"), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()
    assert len(last) == 1, done.stderr
    return last[0]


async def test_bytes_that_are_no_message_are_refused(client: Client) -> None:
    for method in ("KV/Range", "KV/Txn", "Maintenance/Status"):
        call = client.channel.unary_unary(f"/etcdserverpb.{method}")
        if method != "Maintenance/Status":
            with pytest.raises(grpc.RpcError) as error:
                await call(b"\xff\xff\xff", timeout=60)
            assert error.value.code() == grpc.StatusCode.INTERNAL
            assert error.value.details().startswith("grpc: error unmarshalling request")
    for method in ("Watch/Watch", "Lease/LeaseKeepAlive"):
        stream = client.channel.stream_stream(f"/etcdserverpb.{method}")()
        await stream.write(b"\xff\xff\xff")
        assert await asyncio.wait_for(stream.code(), 60) in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
    assert await client.put(b"still/alive") > 0


async def test_a_full_disk_ends_the_process_and_loses_nothing(tmp_path: Path) -> None:
    """The limit on a file's size stands for a full disk: the write fails, in the middle of a frame."""
    etcd = EtcdProcess("ours", tmp_path / "data")
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
    program = limited + "from workshop.etcd.__main__ import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *etcd.arguments()[3:]], stderr=subprocess.PIPE, text=True
    )
    acknowledged = []
    client = Client(etcd.endpoint)
    try:
        await asyncio.wait_for(client.channel.channel_ready(), 60)
        with pytest.raises(grpc.RpcError) as error:
            for i in range(1000):
                await client.put(b"d/%d" % i, b"x" * 1000)
                acknowledged.append(b"d/%d" % i)
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        _, log = await asyncio.get_running_loop().run_in_executor(None, process.communicate)
    finally:
        process.kill()
        await client.channel.close()
    assert process.returncode == 1 and "cannot write the data directory: File too large" in log
    assert "Traceback" not in log
    assert len(acknowledged) > 50
    await etcd.start()
    client = Client(etcd.endpoint)
    found = await client("KV/Range", pb.RangeRequest(key=b"d/", range_end=b"d0", keys_only=True))
    assert {kv.key for kv in found.kvs} >= set(acknowledged)
    await client.channel.close()
    etcd.kill()


def at(url: str) -> tuple[str, str]:
    return f"--listen-client-urls={url}", f"--advertise-client-urls={url}"


async def test_what_cannot_start_says_so_in_one_sentence(tmp_path: Path) -> None:
    async with running("ours", tmp_path / "data") as etcd:
        assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
        in_use = refused_start(f"--data-dir={tmp_path}/data", *at("http://127.0.0.1:1"))
        assert in_use.endswith("is in use by another etcd process")
        port = refused_start(f"--data-dir={tmp_path}/other", *at(f"http://{etcd.endpoint}"))
        assert "bind: address already in use" in port
    (tmp_path / "file").write_text("")
    assert "cannot access data directory" in refused_start(f"--data-dir={tmp_path}/file/data")
    assert "unknown flag: --nonsense" in refused_start("--nonsense=1")
    missing = refused_start(
        f"--data-dir={tmp_path}/tls",
        *at("https://127.0.0.1:1024"),
        "--cert-file=/nonexistent/cert",
        "--key-file=/nonexistent/key",
    )
    assert "no such file or directory" in missing


async def test_members_of_both_kinds_have_the_same_hash(tmp_path: Path) -> None:
    """The same history through ours and Debian's: `endpoint hashkv` would tell no difference."""

    async def history(kind: str) -> list[tuple[int, int, int]]:
        hashes = []
        async with running(kind, tmp_path / kind) as etcd:
            client = Client(etcd.endpoint)

            async def hash_at(revision: int = 0) -> None:
                answer = await client("Maintenance/HashKV", pb.HashKVRequest(revision=revision))
                hashes.append((answer.hash, answer.compact_revision, answer.header.revision))

            await hash_at()
            lease = (await client("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=100, ID=7))).ID
            for i in range(20):
                await client.put(b"h/%d" % (i % 7), b"v%d" % i * 10, lease=lease if i % 3 else 0)
            await client("KV/Txn", pb.TxnRequest(success=[put(b"h/x", b"1"), put(b"h/y", b"2")]))
            await client("KV/DeleteRange", pb.DeleteRangeRequest(key=b"h/3", range_end=b"h/5"))
            await hash_at()
            await hash_at(10)
            await client("KV/Compact", pb.CompactionRequest(revision=15, physical=True))
            await hash_at(16)
            await hash_at()
            deleted = (await client("KV/DeleteRange", pb.DeleteRangeRequest(key=b"h/5"))).header.revision
            await client.put(b"h/3", b"again")
            await client("KV/Compact", pb.CompactionRequest(revision=deleted, physical=True))
            await hash_at()
            await client("KV/DeleteRange", pb.DeleteRangeRequest(key=b"\0", range_end=b"\0"))
            await hash_at()
            await client.channel.close()
        return hashes

    ours, theirs = await history("ours"), await history("debian")
    assert ours == theirs


def test_etcdctl_guards_saves_and_elects(etcd: EtcdProcess, tmp_path: Path) -> None:
    path = str(tmp_path / "saved.db")
    assert etcdctl(etcd, "snapshot", "save", path) == f"Snapshot saved at {path}\n"
    assert len(etcdctl(etcd, "snapshot", "status", path).split(", ")) == 4
    [hashed] = json.loads(etcdctl(etcd, "endpoint", "hashkv", "-w", "json"))
    assert hashed["HashKV"]["hash"] > 0
    assert etcdctl(etcd, "user", "add", "root:secret") == "User root created\n"
    assert etcdctl(etcd, "user", "add", "ann:pw") == "User ann created\n"
    assert etcdctl(etcd, "role", "add", "r") == "Role r created\n"
    assert etcdctl(etcd, "role", "grant-permission", "--prefix", "r", "readwrite", "g/") == "Role r updated\n"
    etcdctl(etcd, "user", "grant-role", "ann", "r")
    etcdctl(etcd, "user", "grant-role", "root", "root")
    assert "[g/, g0) (prefix g/)" in etcdctl(etcd, "role", "get", "r")
    assert etcdctl(etcd, "auth", "enable") == "Authentication Enabled\n"
    try:
        assert etcdctl(etcd, "--user=ann:pw", "put", "g/a", "1") == "OK\n"
        with pytest.raises(subprocess.CalledProcessError) as refused:
            etcdctl(etcd, "--user=ann:pw", "put", "h", "1")
        assert "permission denied" in refused.value.stderr
        assert etcdctl(etcd, "--user=root:secret", "user", "list") == "ann\nroot\n"
    finally:
        assert etcdctl(etcd, "--user=root:secret", "auth", "disable") == "Authentication Disabled\n"
    assert etcdctl(etcd, "alarm", "list") == ""


async def test_a_full_store_takes_no_more_until_it_is_emptied(etcd: EtcdProcess, tmp_path: Path) -> None:
    """The whole way back: the alarm, compaction, defragmentation, disarming."""
    quota = "--quota-backend-bytes=2000000"
    async with running(etcd.kind, tmp_path / "data", quota) as full:
        client = Client(full.endpoint)
        with pytest.raises(grpc.RpcError) as refused:
            for _ in range(100):
                await client.put(b"same", b"x" * 100_000)
        assert refused.value.details() == "etcdserver: mvcc: database space exceeded"
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        [alarm] = (await client("Maintenance/Alarm", pb.AlarmRequest())).alarms
        assert alarm.alarm == pb.NOSPACE
        status = await client("Maintenance/Status", pb.StatusRequest())
        assert any("NOSPACE" in problem for problem in status.errors)
        found = await client("KV/Range", pb.RangeRequest(key=b"same"))
        assert found.count == 1, "reading goes on"
        revision = found.header.revision
        await client("KV/Compact", pb.CompactionRequest(revision=revision, physical=True))
        await client("Maintenance/Defragment", pb.DefragmentRequest())
        with pytest.raises(grpc.RpcError):
            await client.put(b"small")
        disarm = pb.AlarmRequest(action=pb.AlarmRequest.DEACTIVATE, memberID=alarm.memberID, alarm=pb.NOSPACE)
        await client("Maintenance/Alarm", disarm)
        await client.put(b"small", b"x")
        await client.channel.close()
