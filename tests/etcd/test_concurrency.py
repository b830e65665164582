"""The lock and election services, on ours and Debian's etcd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.etcd_servers import KINDS, running
from workshop.wire import etcd_pb2 as pb


class Client:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel

    async def __call__(self, method: str, request: Any) -> Any:
        body = await self.channel.unary_unary(f"/{method}")(request.SerializeToString(), timeout=60)
        return getattr(pb, type(request).__name__.replace("Request", "Response")).FromString(body)

    async def refused(self, method: str, request: Any) -> str:
        with pytest.raises(grpc.RpcError) as error:
            await self(method, request)
        return f"{error.value.code().name}: {error.value.details()}"

    async def lease(self) -> int:
        return int((await self("etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=60))).ID)

    async def keys(self, prefix: bytes) -> list[bytes]:
        request = pb.RangeRequest(key=prefix, range_end=prefix[:-1] + bytes((prefix[-1] + 1,)))
        return [kv.key for kv in (await self("etcdserverpb.KV/Range", request)).kvs]

    async def until_keys(self, prefix: bytes, count: int) -> None:
        async with asyncio.timeout(60):
            while len(await self.keys(prefix)) != count:  # noqa: ASYNC110  another process
                await asyncio.sleep(0.01)


@pytest.fixture(params=KINDS)
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Client]:
    async with running(request.param, tmp_path / "data") as etcd, grpc.aio.insecure_channel(etcd.endpoint) as channel:
        yield Client(channel)


async def test_a_lock_goes_from_one_to_the_next_in_order(client: Client) -> None:
    leases = [await client.lease() for _ in range(3)]
    first = await client("v3lockpb.Lock/Lock", pb.LockRequest(name=b"l", lease=leases[0]))
    assert first.key == b"l/%x" % leases[0]
    again = await client("v3lockpb.Lock/Lock", pb.LockRequest(name=b"l", lease=leases[0]))
    assert again.key == first.key, "who holds it may ask again"
    waiting = []
    for place, lease in enumerate(leases[1:], 2):
        waiting.append(asyncio.ensure_future(client("v3lockpb.Lock/Lock", pb.LockRequest(name=b"l", lease=lease))))
        await client.until_keys(b"l/", place)
    assert not any(one.done() for one in waiting)
    await client("v3lockpb.Lock/Unlock", pb.UnlockRequest(key=first.key))
    second = await asyncio.wait_for(waiting[0], 60)
    assert second.key == b"l/%x" % leases[1] and not waiting[1].done()
    await client("etcdserverpb.Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=leases[1]))
    assert (await asyncio.wait_for(waiting[1], 60)).key == b"l/%x" % leases[2]


async def test_who_gives_up_waiting_leaves_no_trace(client: Client) -> None:
    held = await client("v3lockpb.Lock/Lock", pb.LockRequest(name=b"l", lease=await client.lease()))
    waiting = asyncio.ensure_future(client("v3lockpb.Lock/Lock", pb.LockRequest(name=b"l", lease=await client.lease())))
    await client.until_keys(b"l/", 2)
    waiting.cancel()
    await client.until_keys(b"l/", 1)
    assert await client.keys(b"l/") == [held.key]


async def test_a_lock_without_a_lease_gets_one(client: Client) -> None:
    held = await client("v3lockpb.Lock/Lock", pb.LockRequest(name=b"own"))
    lease = int(held.key.partition(b"/")[2], 16)
    left = await client("etcdserverpb.Lease/LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=lease))
    assert left.grantedTTL == 60
    assert await client.refused("v3lockpb.Lock/Lock", pb.LockRequest(name=b"x", lease=4242)) == (
        "UNKNOWN: etcdserver: requested lease not found"
    )


async def test_an_election(client: Client) -> None:
    one, two = await client.lease(), await client.lease()
    assert (await client.refused("v3electionpb.Election/Leader", pb.LeaderRequest(name=b"e"))).endswith(
        "election: no leader"
    )
    observed = client.channel.unary_stream("/v3electionpb.Election/Observe")(
        pb.LeaderRequest(name=b"e").SerializeToString()
    )

    async def next_leader() -> bytes:
        return bytes(pb.LeaderResponse.FromString(await asyncio.wait_for(observed.read(), 60)).kv.value)

    won = await client("v3electionpb.Election/Campaign", pb.CampaignRequest(name=b"e", lease=one, value=b"me"))
    assert won.leader.key == b"e/%x" % one and await next_leader() == b"me"
    waiting = asyncio.ensure_future(
        client("v3electionpb.Election/Campaign", pb.CampaignRequest(name=b"e", lease=two, value=b"you"))
    )
    await client.until_keys(b"e/", 2)
    await client("v3electionpb.Election/Proclaim", pb.ProclaimRequest(leader=won.leader, value=b"still me"))
    assert await next_leader() == b"still me"
    assert (await client("v3electionpb.Election/Leader", pb.LeaderRequest(name=b"e"))).kv.value == b"still me"
    await client("v3electionpb.Election/Resign", pb.ResignRequest(leader=won.leader))
    assert (await asyncio.wait_for(waiting, 60)).leader.key == b"e/%x" % two
    assert await next_leader() == b"you"
    assert (
        await client.refused("v3electionpb.Election/Proclaim", pb.ProclaimRequest(leader=won.leader, value=b"x"))
    ).endswith("election: not leader")
    assert (await client.refused("v3electionpb.Election/Resign", pb.ResignRequest())).endswith(
        '"leader" field must be provided'
    )
    observed.cancel()
