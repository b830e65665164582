"""Cluster: MemberList. Upstream: `server/etcdserver/api/v3rpc/member.go`. Changes of membership come later."""

from __future__ import annotations

from workshop.etcd.rpc.call import Call, Method
from workshop.etcd.services.base import Member, unary
from workshop.wire import etcd_pb2 as pb


class Cluster:
    def __init__(self, member: Member) -> None:
        self._member = member

    def methods(self) -> dict[str, Method]:
        return {"MemberList": unary(self.member_list)}

    async def member_list(self, data: bytes, call: Call) -> bytes:
        if pb.MemberListRequest.FromString(data).linearizable:
            await self._member.node.read_barrier()
        me = self._member
        member = pb.Member(ID=me.id, name=me.name, peerURLs=me.peer_urls, clientURLs=me.client_urls)
        return self._member.head() + bytes(pb.MemberListResponse(members=[member]).SerializeToString())
