"""Maintenance: Status, Alarm, Defragment, Hash, HashKV. Upstream: `server/etcdserver/api/v3rpc/maintenance.go`."""

from __future__ import annotations

import asyncio

from workshop.etcd import state
from workshop.etcd.mvcc.store import hash_of
from workshop.etcd.rpc.call import Call, Method
from workshop.etcd.services.base import VERSION, Member, unary
from workshop.wire import etcd_pb2 as pb


class Maintenance:
    def __init__(self, member: Member) -> None:
        self._member = member

    def methods(self) -> dict[str, Method]:
        return {
            "Status": unary(self.status),
            "Alarm": unary(self.alarm),
            "Defragment": unary(self.defragment),
            "Hash": unary(self.hash),
            "HashKV": unary(self.hash_kv),
            "MoveLeader": unary(self.move_leader),
        }

    async def status(self, data: bytes, call: Call) -> bytes:
        raft, machine = self._member.node.raft, self._member.machine
        problems = [
            f"memberID:{member} alarm:{pb.AlarmType.Name(alarm)} "
            for alarm, members in machine.alarms.items()
            for member in members
        ]
        answer = pb.StatusResponse(
            version=VERSION,
            dbSize=machine.store.size,
            dbSizeInUse=machine.store.size,
            dbSizeQuota=self._member.limits.quota_bytes,
            leader=raft.leader,
            raftIndex=raft.log.committed,
            raftTerm=raft.term,
            raftAppliedIndex=self._member.node.applied,
            errors=problems if raft.leader else ["etcdserver: no leader", *problems],
            isLearner=self._member.node.is_learner,
            storageVersion="3.6.0",
            downgradeInfo=pb.DowngradeInfo(),
        )
        return self._member.head() + bytes(answer.SerializeToString())

    async def alarm(self, data: bytes, call: Call) -> bytes:
        request = pb.AlarmRequest.FromString(data)
        if request.action == pb.AlarmRequest.GET:
            alarms = [
                pb.AlarmMember(memberID=member, alarm=alarm)
                for alarm, members in self._member.machine.alarms.items()
                for member in sorted(members)
                if request.alarm in (pb.NONE, alarm) and request.memberID in (0, member)
            ]
            return self._member.head() + bytes(pb.AlarmResponse(alarms=alarms).SerializeToString())
        return await self._member.write(state.ALARM, request, data)

    async def defragment(self, data: bytes, call: Call) -> bytes:
        """Nothing to do: the store is in memory, and a snapshot holds only what lives."""
        return self._member.head()

    async def hash(self, data: bytes, call: Call) -> bytes:
        answer = pb.HashResponse(hash=self._member.machine.store.hash())
        return self._member.head() + bytes(answer.SerializeToString())

    async def hash_kv(self, data: bytes, call: Call) -> bytes:
        store = self._member.machine.store
        revision = pb.HashKVRequest.FromString(data).revision
        store.check_revision(revision)
        head, revision, compacted = self._member.head(), revision or store.revision, store.compacted
        # The records as they are now, read in a thread: service goes on.
        digest = await asyncio.to_thread(hash_of, iter(store.history), compacted, revision)
        answer = pb.HashKVResponse(hash=digest, compact_revision=compacted or -1, hash_revision=revision)
        return head + bytes(answer.SerializeToString())

    async def move_leader(self, data: bytes, call: Call) -> bytes:
        await self._member.peers.move_leader(pb.MoveLeaderRequest.FromString(data).targetID)
        return self._member.head()
