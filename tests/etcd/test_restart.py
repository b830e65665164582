"""What a member remembers over kill -9, with snapshots in between; and what its clocks do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest

from tests.etcd_servers import running
from tests.ports import free_port
from workshop.etcd.compactor import compact_periodically, parse_retention
from workshop.wire import etcd_pb2 as pb


async def call(endpoint: str, method: str, request: Any) -> Any:
    answer = getattr(pb, type(request).__name__.replace("Request", "Response"))
    async with grpc.aio.insecure_channel(endpoint) as channel:
        one = channel.unary_unary(
            f"/etcdserverpb.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        return await one(request, timeout=60)


@pytest.mark.parametrize("count", [5, 10_000])
async def test_everything_is_remembered(count: int, tmp_path: Path) -> None:
    """With a snapshot every five entries, and with none: the same."""
    async with running("ours", tmp_path / "data", f"--snapshot-count={count}") as etcd:
        at = etcd.endpoint
        lease = await call(at, "Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=500))
        await call(at, "KV/Put", pb.PutRequest(key=b"leased", lease=lease.ID))
        for i in range(40):
            await call(at, "KV/Put", pb.PutRequest(key=b"k/%d" % (i % 7), value=b"%d" % i))
        await call(at, "KV/DeleteRange", pb.DeleteRangeRequest(key=b"k/0"))
        await call(at, "KV/Compact", pb.CompactionRequest(revision=20))
        await call(at, "Maintenance/Alarm", pb.AlarmRequest(action=1, alarm=pb.CORRUPT))
        everything = pb.RangeRequest(key=b"\x00", range_end=b"\x00")
        old = pb.RangeRequest(key=b"\x00", range_end=b"\x00", revision=25)
        before = [await call(at, "KV/Range", request) for request in (everything, old)]
        hashes = await call(at, "Maintenance/HashKV", pb.HashKVRequest())
        etcd.kill()
        await etcd.start()
        after = [await call(at, "KV/Range", request) for request in (everything, old)]
        assert [list(answer.kvs) for answer in after] == [list(answer.kvs) for answer in before]
        assert after[0].header.revision == before[0].header.revision
        assert after[0].header.raft_term > before[0].header.raft_term
        again = await call(at, "Maintenance/HashKV", pb.HashKVRequest())
        assert (again.hash, again.compact_revision) == (hashes.hash, 20)
        left = await call(at, "Lease/LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=lease.ID, keys=True))
        assert (left.grantedTTL, list(left.keys)) == (500, [b"leased"])
        alarms = await call(at, "Maintenance/Alarm", pb.AlarmRequest())
        assert [alarm.alarm for alarm in alarms.alarms] == [pb.CORRUPT]
        snapshots = list((tmp_path / "data" / "member" / "snap").glob("*.snap"))
        assert bool(snapshots) == (count == 5) and len(snapshots) <= 2


async def test_a_store_over_its_quota_refuses_writes_until_disarmed(tmp_path: Path) -> None:
    async with running("ours", tmp_path / "data", "--quota-backend-bytes=100000") as etcd:
        at = etcd.endpoint
        with pytest.raises(grpc.RpcError) as error:
            for i in range(100):
                await call(at, "KV/Put", pb.PutRequest(key=b"%d" % i, value=b"x" * 5000))
        assert (error.value.code().name, error.value.details()) == (
            "RESOURCE_EXHAUSTED",
            "etcdserver: mvcc: database space exceeded",
        )
        alarms = (await call(at, "Maintenance/Alarm", pb.AlarmRequest())).alarms
        assert [alarm.alarm for alarm in alarms] == [pb.NOSPACE]
        await call(at, "KV/DeleteRange", pb.DeleteRangeRequest(key=b"\x00", range_end=b"\x00"))
        revision = (await call(at, "KV/Range", pb.RangeRequest(key=b"x"))).header.revision
        await call(at, "KV/Compact", pb.CompactionRequest(revision=revision))
        disarm = pb.AlarmRequest(action=2, alarm=pb.NOSPACE, memberID=alarms[0].memberID)
        await call(at, "Maintenance/Alarm", disarm)
        assert (await call(at, "KV/Put", pb.PutRequest(key=b"again"))).header.revision == revision + 1


async def test_quiet_watches_are_told_the_revision(tmp_path: Path) -> None:
    flag = "--experimental-watch-progress-notify-interval=100ms"
    async with running("ours", tmp_path / "data", flag) as etcd, grpc.aio.insecure_channel(etcd.endpoint) as channel:
        stream = channel.stream_stream("/etcdserverpb.Watch/Watch")()
        create = pb.WatchCreateRequest(key=b"a", progress_notify=True)
        await stream.write(pb.WatchRequest(create_request=create).SerializeToString())
        assert pb.WatchResponse.FromString(await stream.read()).created
        answer = pb.WatchResponse.FromString(await asyncio.wait_for(stream.read(), 60))
        assert (answer.watch_id, list(answer.events), answer.header.revision) == (0, [], 1)
        stream.cancel()


async def test_health_over_http(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with (
        running("ours", tmp_path / "data", f"--listen-metrics-urls={url}", "--host-whitelist=127.0.0.1") as etcd,
        aiohttp.ClientSession() as web,
    ):

        async def get(path: str, url: str = url) -> tuple[int, str]:
            async with web.get(url + path) as answer:
                return answer.status, await answer.text()

        assert await get("/health") == (200, '{"health":"true","reason":""}')
        async with web.get(url + "/health", headers={"Host": "evil.example:80"}) as rebound:
            assert rebound.status == 421
        assert (await get("/readyz"))[0] == 200
        assert await get("/health", f"http://{etcd.endpoint}") == (200, '{"health":"true","reason":""}')
        assert await get("/readyz?verbose") == (
            200,
            "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\nok\n",
        )
        assert await get("/livez") == (200, "ok\n")
        assert await get("/readyz/linearizable_read?verbose") == (200, "[+]linearizable_read ok\nok\n")
        assert (await get("/readyz/nonsense"))[0] == 404
        await call(etcd.endpoint, "KV/Put", pb.PutRequest(key=b"a"))
        told = (await get("/metrics"))[1].splitlines()
        for line in (
            "etcd_server_has_leader 1",
            "etcd_mvcc_put_total 1",
            "etcd_debugging_mvcc_current_revision 2",
            'etcd_server_healthchecks_total{type="readyz",name="non_learner",status="success"} 2',
            'grpc_server_handled_total{grpc_code="OK",grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1',
        ):
            assert line in told
        assert any(line.startswith('etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"}') for line in told)
        await call(etcd.endpoint, "Maintenance/Alarm", pb.AlarmRequest(action=1, alarm=pb.NOSPACE))
        assert await get("/health") == (503, '{"health":"false","reason":"ALARM NOSPACE"}')
        assert (await get("/health?exclude=NOSPACE"))[0] == 200
        await call(etcd.endpoint, "Maintenance/Alarm", pb.AlarmRequest(action=1, alarm=pb.CORRUPT))
        assert await get("/readyz") == (
            503,
            "[-]data_corruption failed: alarm activated: CORRUPT\n[+]serializable_read ok\n[+]linearizable_read ok\n"
            "[+]non_learner ok\n\n",
        )
        assert (await get("/nothing"))[0] == 404


class Ticking:
    """A clock whose sleeps end at once, until `rounds` of them are over."""

    def __init__(self, rounds: int, tick: Any) -> None:
        self.rounds, self.tick = rounds, tick

    async def sleep(self, seconds: float) -> None:
        if not self.rounds:
            raise TimeoutError
        self.rounds -= 1
        self.tick()


class FakeNode:
    """What the compactor uses of a node."""

    def __init__(self) -> None:
        self.machine = self.store = self
        self.revision, self.compacted = 0, 0
        self.compactions: list[tuple[int, int]] = []

    def grow(self) -> None:
        self.revision += 10

    async def propose(self, kind: int, request: Any) -> None:
        self.compacted = request.revision
        self.compactions.append((self.revision, request.revision))


@pytest.mark.parametrize(
    ("mode", "retention", "expected"),
    [
        ("revision", "15", [(20, 5), (30, 15), (40, 25)]),
        ("periodic", "10m", [(110, 10), (120, 20)]),
        ("periodic", "0", []),
    ],
)
async def test_auto_compaction(mode: str, retention: str, expected: list[tuple[int, int]]) -> None:
    node: Any = FakeNode()
    clock: Any = Ticking(4 if mode == "revision" else 12, node.grow)
    if retention == "0":
        await compact_periodically(node, clock, mode, retention)
    else:
        with pytest.raises(TimeoutError):
            await compact_periodically(node, clock, mode, retention)
    assert node.compactions == expected


def test_retention() -> None:
    assert parse_retention("periodic", "2") == 7200
    assert parse_retention("periodic", "5m") == 300
    assert parse_retention("revision", "1000") == 1000
    with pytest.raises(ValueError, match="unsupported compaction mode"):
        parse_retention("never", "1")
