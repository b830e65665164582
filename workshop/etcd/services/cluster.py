"""Cluster: who belongs to it, and changes of that. Upstream: `server/etcdserver/api/v3rpc/member.go`."""

from __future__ import annotations

from typing import Any

from workshop.etcd.rpc.call import Call, Method
from workshop.etcd.services.base import Member, unary
from workshop.wire import etcd_pb2 as pb


class Cluster:
    def __init__(self, member: Member) -> None:
        self._member = member

    def methods(self) -> dict[str, Method]:
        return {
            "MemberList": unary(self.member_list),
            "MemberAdd": unary(self.member_add),
            "MemberRemove": unary(self.member_remove),
            "MemberUpdate": unary(self.member_update),
            "MemberPromote": unary(self.member_promote),
        }

    def _members(self) -> list[Any]:
        return [
            pb.Member(
                ID=member.id,
                name=member.name,
                peerURLs=member.peer_urls,
                clientURLs=member.client_urls,
                isLearner=member.is_learner,
            )
            for member in sorted(self._member.node.cluster.members.values(), key=lambda member: member.id)
        ]

    def _answer(self, answer: Any) -> bytes:
        """The header of these answers has no revision: it is not the store that is asked."""
        self._member.header.term = self._member.node.raft.term
        return self._member.header(0) + bytes(answer.SerializeToString())

    async def member_list(self, data: bytes, call: Call) -> bytes:
        if pb.MemberListRequest.FromString(data).linearizable:
            await self._member.node.read_barrier()
        return self._answer(pb.MemberListResponse(members=self._members()))

    async def member_add(self, data: bytes, call: Call) -> bytes:
        request = pb.MemberAddRequest.FromString(data)
        added = await self._member.peers.add(list(request.peerURLs), request.isLearner)
        shown = pb.Member(ID=added.id, peerURLs=added.peer_urls, isLearner=added.is_learner)
        return self._answer(pb.MemberAddResponse(member=shown, members=self._members()))

    async def member_remove(self, data: bytes, call: Call) -> bytes:
        await self._member.peers.remove(pb.MemberRemoveRequest.FromString(data).ID)
        return self._answer(pb.MemberRemoveResponse(members=self._members()))

    async def member_update(self, data: bytes, call: Call) -> bytes:
        request = pb.MemberUpdateRequest.FromString(data)
        await self._member.peers.update(request.ID, list(request.peerURLs))
        return self._answer(pb.MemberUpdateResponse(members=self._members()))

    async def member_promote(self, data: bytes, call: Call) -> bytes:
        await self._member.peers.promote(pb.MemberPromoteRequest.FromString(data).ID)
        return self._answer(pb.MemberPromoteResponse(members=self._members()))
