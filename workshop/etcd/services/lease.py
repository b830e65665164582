"""Lease: LeaseGrant, LeaseRevoke, LeaseKeepAlive, LeaseTimeToLive, LeaseLeases.

Upstream: `server/etcdserver/api/v3rpc/lease.go`. Keep-alives do not go through the log: the leader's clock is all.
"""

from __future__ import annotations

from workshop.etcd import errors, state
from workshop.etcd.auth import permissions
from workshop.etcd.auth.store import ANYONE, Identity
from workshop.etcd.rpc.call import Call, Method
from workshop.etcd.services.base import Member, streaming, unary
from workshop.wire import etcd_pb2 as pb


class Lease:
    def __init__(self, member: Member) -> None:
        self._member = member

    def methods(self) -> dict[str, Method]:
        return {
            "LeaseGrant": unary(self.grant),
            "LeaseRevoke": unary(self.revoke),
            "LeaseKeepAlive": streaming(self.keep_alive),
            "LeaseTimeToLive": unary(self.time_to_live),
            "LeaseLeases": unary(self.leases),
        }

    async def grant(self, data: bytes, call: Call) -> bytes:
        request = pb.LeaseGrantRequest.FromString(data)
        if not request.ID:
            request.ID = self._member.random.getrandbits(63) or 1  # chosen before the log: all members agree
        return await self._member.write(state.LEASE_GRANT, request, call)

    async def revoke(self, data: bytes, call: Call) -> bytes:
        request = pb.LeaseRevokeRequest.FromString(data)
        return await self._member.write(state.LEASE_REVOKE, request, call, data)

    async def keep_alive(self, call: Call) -> None:
        while (data := await call.read()) is not None:
            request = pb.LeaseKeepAliveRequest.FromString(data)
            head = self._member.head()  # before the renewal: the client must not see a later revision than it
            ttl = await self._member.peers.renew(request.ID)
            await call.write(head + pb.LeaseKeepAliveResponse(ID=request.ID, TTL=ttl).SerializeToString())

    async def time_to_live(self, data: bytes, call: Call) -> bytes:
        request = pb.LeaseTimeToLiveRequest.FromString(data)
        if request.keys:
            self._check_keys(request.ID, self._member.who(call))
        answer = await self._member.peers.time_to_live(request)
        return self._member.head() + bytes(answer.SerializeToString())

    def _check_keys(self, id: int, who: Identity) -> None:
        """Who wants to see a lease's keys must be allowed to read them all."""
        machine = self._member.machine
        if machine.auth.enabled and who == ANYONE:
            raise errors.UserEmpty
        lease = machine.lessor.leases.get(id)
        keys = lease.keys if lease is not None else ()
        machine.auth.require(who, (permissions.Need(permissions.READ, key) for key in keys))

    async def leases(self, data: bytes, call: Call) -> bytes:
        leases = sorted(self._member.machine.lessor.leases.values(), key=lambda lease: lease.expiry)
        answer = pb.LeaseLeasesResponse(leases=[pb.LeaseStatus(ID=lease.id) for lease in leases])
        return self._member.head() + bytes(answer.SerializeToString())
