"""Lease: LeaseGrant, LeaseRevoke, LeaseKeepAlive, LeaseTimeToLive, LeaseLeases.

Upstream: `server/etcdserver/api/v3rpc/lease.go`. Keep-alives do not go through the log: the leader's clock is all.
"""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.message import DecodeError

from workshop.etcd import errors, state
from workshop.etcd.services.base import STATUS, Context, Member, unary, unreadable
from workshop.wire import etcd_pb2 as pb


class Lease:
    def __init__(self, member: Member) -> None:
        self._member = member

    def methods(self) -> dict[str, Any]:
        return {
            "LeaseGrant": unary(self.grant),
            "LeaseRevoke": unary(self.revoke),
            "LeaseKeepAlive": grpc.stream_stream_rpc_method_handler(self.keep_alive),
            "LeaseTimeToLive": unary(self.time_to_live),
            "LeaseLeases": unary(self.leases),
        }

    async def grant(self, data: bytes, context: Context) -> bytes:
        request = pb.LeaseGrantRequest.FromString(data)
        if not request.ID:
            request.ID = self._member.random.getrandbits(63) or 1  # chosen before the log: all members agree
        return await self._member.write(state.LEASE_GRANT, request)

    async def revoke(self, data: bytes, context: Context) -> bytes:
        request = pb.LeaseRevokeRequest.FromString(data)
        return await self._member.write(state.LEASE_REVOKE, request, data)

    async def keep_alive(self, requests: Any, context: Context) -> None:
        while (data := await context.read()) is not grpc.aio.EOF:
            try:
                request = pb.LeaseKeepAliveRequest.FromString(data)
            except DecodeError as malformed:
                await context.abort(*unreadable(malformed))
            head = self._member.head()  # before the renewal: the client must not see a later revision than it
            try:
                await self._member.node.read_barrier()
            except errors.EtcdError as refused:
                await context.abort(STATUS[refused.code], refused.text)
            ttl = self._member.machine.lessor.renew(request.ID, self._member.clock.monotonic())
            await context.write(head + pb.LeaseKeepAliveResponse(ID=request.ID, TTL=ttl).SerializeToString())

    async def time_to_live(self, data: bytes, context: Context) -> bytes:
        request = pb.LeaseTimeToLiveRequest.FromString(data)
        await self._member.node.read_barrier()
        lease = self._member.machine.lessor.leases.get(request.ID)
        if lease is None:
            answer = pb.LeaseTimeToLiveResponse(ID=request.ID, TTL=-1)
        else:
            keys = sorted(lease.keys) if request.keys else []
            left = lease.remaining(self._member.clock.monotonic())
            answer = pb.LeaseTimeToLiveResponse(ID=lease.id, TTL=left, grantedTTL=lease.ttl, keys=keys)
        return self._member.head() + bytes(answer.SerializeToString())

    async def leases(self, data: bytes, context: Context) -> bytes:
        leases = sorted(self._member.machine.lessor.leases.values(), key=lambda lease: lease.expiry)
        answer = pb.LeaseLeasesResponse(leases=[pb.LeaseStatus(ID=lease.id) for lease in leases])
        return self._member.head() + bytes(answer.SerializeToString())
