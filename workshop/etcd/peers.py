"""What a member does for the others, and asks of them: who counts leases, who may join, leave, vote or lead.

A request that only the leader can answer is passed on to it over its peer URL.

Upstream: `server/etcdserver/server.go` (AddMember … PromoteMember, MoveLeader), `v3_server.go` (LeaseRenew,
LeaseTimeToLive), `server/lease/leasehttp`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from google.protobuf.message import DecodeError

from workshop.clock import Clock
from workshop.etcd import errors, membership, state
from workshop.etcd.config import valid_peer_url
from workshop.etcd.membership import Member
from workshop.etcd.node import Node
from workshop.etcd.peer import join
from workshop.etcd.peer.doors import Handler
from workshop.etcd.peer.transport import Transport
from workshop.wire import etcd_pb2 as pb

#: How much of the leader's log a learner must have before it may vote.
READY_SHARE = 0.9
#: Seconds for which a member must have been heard to count as healthy (upstream: HealthInterval).
HEALTHY = 5.0
#: A follower asks the leader again so soon (seconds) when it does not know one, or an election is under way.
RETRY = 0.05

#: Refusals by their texts, for answers that come from another member.
REFUSALS = {
    error.text: error
    for error in (errors.MemberNotLearner, errors.LearnerNotReady, errors.NotEnoughStartedMembers, errors.NotLeader)
}


class Peers:
    """The cluster's business of one member."""

    def __init__(self, node: Node, transport: Transport, clock: Clock, strict: bool = True) -> None:
        self._node, self._transport, self._clock, self._strict = node, transport, clock, strict

    def routes(self) -> dict[tuple[str, str], Handler]:
        """What this member answers the others."""
        return {
            ("GET", "/members"): self._members,
            ("POST", "/members/promote"): self._promote,
            ("POST", "/leases/internal"): self._lease_time_to_live,
            ("POST", "/leases"): self._lease_renew,
        }

    def _leads(self) -> bool:
        return self._node.leads

    # Leases: the leader counts

    async def renew(self, id: int) -> int:
        """Seconds that lease `id` has from now on; 0 if it is gone. Raises EtcdError."""
        while True:
            if self._leads():
                await self._node.read_barrier()
                if self._leads():
                    return self._node.machine.lessor.renew(id, self._clock.monotonic())
                continue
            answer = await self._ask_leader("/leases", pb.LeaseKeepAliveRequest(ID=id), pb.LeaseKeepAliveResponse)
            if answer is not None:
                return int(answer.TTL)

    async def time_to_live(self, request: pb.LeaseTimeToLiveRequest) -> pb.LeaseTimeToLiveResponse:
        """Raises EtcdError."""
        while True:
            if self._leads():
                await self._node.read_barrier()
                if self._leads():
                    return self._time_to_live(request)
                continue
            answer = await self._ask_leader("/leases/internal", request, pb.LeaseTimeToLiveResponse)
            if answer is not None:
                return answer

    def _time_to_live(self, request: pb.LeaseTimeToLiveRequest) -> pb.LeaseTimeToLiveResponse:
        lease = self._node.machine.lessor.leases.get(request.ID)
        if lease is None:
            return pb.LeaseTimeToLiveResponse(ID=request.ID, TTL=-1)
        keys = sorted(lease.keys) if request.keys else []
        left = lease.remaining(self._clock.monotonic())
        return pb.LeaseTimeToLiveResponse(ID=lease.id, TTL=left, grantedTTL=lease.ttl, keys=keys)

    async def _ask_leader(self, path: str, request: Any, answer: Any) -> Any:
        """The leader's answer; None if it is to be asked again. Raises Timeout when that has taken too long."""
        begun = self._clock.monotonic()
        while self._clock.monotonic() - begun < self._node.timing.patience:
            leader = self._node.leader
            if leader == self._node.raft.id:
                if self._leads():
                    return None
            elif leader:
                try:
                    status, body = await self._transport.request(leader, "POST", path, request.SerializeToString())
                    if status == 200:
                        return answer.FromString(body)
                except (OSError, EOFError, TimeoutError, DecodeError):
                    await self._node.leadership.change(self._node.timing.tick)
            await self._node.leadership.change(RETRY)
        raise errors.Timeout

    async def _lease_renew(self, rest: str, body: bytes) -> tuple[int, bytes]:
        if not self._leads():
            return 503, b"lease: not a primary lessor"
        try:
            id = pb.LeaseKeepAliveRequest.FromString(body).ID
            await self._node.read_barrier()
        except DecodeError:
            return 400, b"error unmarshalling request"
        except errors.EtcdError as error:
            return 503, str(error).encode()
        if not self._leads():
            return 503, b"lease: not a primary lessor"
        ttl = self._node.machine.lessor.renew(id, self._clock.monotonic())
        return 200, bytes(pb.LeaseKeepAliveResponse(ID=id, TTL=ttl).SerializeToString())

    async def _lease_time_to_live(self, rest: str, body: bytes) -> tuple[int, bytes]:
        if not self._leads():
            return 503, b"lease: not a primary lessor"
        try:
            request = pb.LeaseTimeToLiveRequest.FromString(body)
            await self._node.read_barrier()
        except DecodeError:
            return 400, b"error unmarshalling request"
        except errors.EtcdError as error:
            return 503, str(error).encode()
        return 200, bytes(self._time_to_live(request).SerializeToString())

    # Members

    async def _members(self, rest: str, body: bytes) -> tuple[int, bytes]:
        return 200, json.dumps([join.to_json(member) for member in self._node.cluster.members.values()]).encode()

    async def add(self, peer_urls: Sequence[str], learner: bool) -> Member:
        """Raises EtcdError."""
        if not peer_urls or not all(map(valid_peer_url, peer_urls)):
            raise errors.BadMemberUrls
        id = membership.member_id(peer_urls, "", self._clock.now())
        member = Member(id, tuple(peer_urls), is_learner=learner)
        cluster = self._node.cluster
        cluster.check_add(member)
        if self._strict:
            if not learner and not cluster.ready_to_add_voter():
                raise errors.NotEnoughStartedMembers
            if not self._all_heard():
                raise errors.UnhealthyCluster
        await self._node.propose(state.MEMBER_ADD, pb.Member(ID=id, peerURLs=peer_urls, isLearner=learner))
        return member

    def _all_heard(self) -> bool:
        since = self._clock.monotonic() - HEALTHY
        return all(self._heard(member.id, since) for member in self._node.cluster.voters())

    def _heard(self, member: int, since: float) -> bool:
        if member == self._node.raft.id:
            return True
        connected = self._transport.connected_since(member)
        return connected is not None and connected <= since

    async def remove(self, id: int) -> None:
        """Raises EtcdError."""
        cluster = self._node.cluster
        cluster.check_remove(id)
        if self._strict and not cluster.get(id).is_learner:
            if not cluster.ready_to_remove_voter(id):
                raise errors.NotEnoughStartedMembers
            self._check_quorum_without(id)
        await self._node.propose(state.MEMBER_REMOVE, pb.MemberRemoveRequest(ID=id))

    def _check_quorum_without(self, id: int) -> None:
        """Removing a member that is there must leave a majority that is there; one that is down may always go."""
        if id != self._node.raft.id and self._transport.connected_since(id) is None:
            return
        voters = self._node.cluster.voters()
        since = self._clock.monotonic() - HEALTHY
        active = sum(self._heard(member.id, since) for member in voters)
        if active - 1 < 1 + (len(voters) - 1) // 2 and len(voters) > 1:
            raise errors.UnhealthyCluster

    async def update(self, id: int, peer_urls: Sequence[str]) -> None:
        """Raises EtcdError."""
        if not peer_urls or not all(map(valid_peer_url, peer_urls)):
            raise errors.BadMemberUrls
        self._node.cluster.check_update(id, peer_urls)
        await self._node.propose(state.MEMBER_UPDATE, pb.MemberUpdateRequest(ID=id, peerURLs=peer_urls))

    async def promote(self, id: int) -> None:
        """Make a learner a voter. Raises EtcdError."""
        leader = self._node.leader
        if not leader:
            raise errors.NoLeader
        if leader == self._node.raft.id:
            await self._promote_here(id)
            return
        try:
            status, body = await self._transport.request(leader, "POST", f"/members/promote/{id}")
        except (OSError, EOFError, TimeoutError) as error:
            raise errors.Timeout from error
        if status == 404:
            raise errors.MemberNotFound
        if status != 200:
            raise REFUSALS.get(body.decode().strip(), errors.Timeout)

    async def _promote_here(self, id: int) -> None:
        cluster, raft = self._node.cluster, self._node.raft
        cluster.get(id)
        progress = raft.progress.get(id)
        if progress is not None and progress.match < READY_SHARE * raft.log.stable:
            raise errors.LearnerNotReady
        cluster.check_promote(id)
        if self._strict and not cluster.ready_to_promote():
            raise errors.NotEnoughStartedMembers
        await self._node.propose(state.MEMBER_PROMOTE, pb.MemberPromoteRequest(ID=id))

    async def _promote(self, rest: str, body: bytes) -> tuple[int, bytes]:
        try:
            if not self._leads():
                raise errors.NotLeader
            await self._promote_here(int(rest))
        except ValueError:
            return 404, f"member {rest} not found in cluster".encode()
        except errors.MemberNotFound as error:
            return 404, str(error).encode()
        except errors.EtcdError as error:
            return 412, str(error).encode()
        return await self._members("", b"")

    async def move_leader(self, target: int) -> None:
        """Raises EtcdError."""
        if self._node.leader != self._node.raft.id:
            raise errors.NotLeader
        member = self._node.cluster.members.get(target)
        if member is None or member.is_learner:
            raise errors.BadLeaderTransferee
        await self._node.transfer_leadership(target)
