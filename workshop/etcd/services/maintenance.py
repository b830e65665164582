"""Maintenance: status, alarms, hashes, snapshots, leadership.

Upstream: `server/etcdserver/api/v3rpc/maintenance.go`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tempfile

from workshop.etcd import backup, errors, state
from workshop.etcd.mvcc.store import hash_of
from workshop.etcd.peer import join
from workshop.etcd.rpc.call import Call, Method
from workshop.etcd.services.base import VERSION, Member, streaming, unary
from workshop.wire import etcd_pb2 as pb

#: Bytes of a snapshot in one message.
PIECE = 32 << 10


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
            "Snapshot": streaming(self.snapshot),
            "MoveLeader": unary(self.move_leader),
            "Downgrade": unary(self.downgrade),
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
            downgradeInfo=pb.DowngradeInfo(
                enabled=bool(machine.cluster.downgrade), targetVersion=machine.cluster.downgrade
            ),
        )
        return self._member.head() + bytes(answer.SerializeToString())

    async def alarm(self, data: bytes, call: Call) -> bytes:
        request = pb.AlarmRequest.FromString(data)
        if request.action == pb.AlarmRequest.GET:
            await self._member.node.read_barrier()  # upstream asks by an entry of the log
            alarms = [
                pb.AlarmMember(memberID=member, alarm=alarm)
                for alarm, members in self._member.machine.alarms.items()
                for member in sorted(members)
                if request.alarm in (pb.NONE, alarm)
            ]
            return self._member.head() + bytes(pb.AlarmResponse(alarms=alarms).SerializeToString())
        return await self._member.write(state.ALARM, request, call, data)

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
        digest = await asyncio.to_thread(hash_of, store.history.copy(), compacted, revision)
        answer = pb.HashKVResponse(hash=digest, compact_revision=compacted or -1, hash_revision=revision)
        return head + bytes(answer.SerializeToString())

    async def snapshot(self, call: Call) -> None:
        """The state as a file that upstream's tools read, in pieces; its SHA-256 last."""
        node = self._member.node
        taken = self._member.machine.snapshot(node.applied, node.raft.term)
        members = {member.id: join.to_json(member) for member in node.cluster.members.values()}
        state_now = backup.Backup(taken, members, self._member.machine.auth.buckets())
        digest = hashlib.sha256()
        with tempfile.TemporaryFile() as file:
            await asyncio.to_thread(backup.write, file, state_now)
            left = file.seek(0, os.SEEK_END)
            file.seek(0)
            while piece := file.read(PIECE):
                digest.update(piece)
                left -= len(piece)
                await call.write(self._piece(piece, left))
        await call.write(self._piece(digest.digest(), 0))

    @staticmethod
    def _piece(blob: bytes, left: int) -> bytes:
        return bytes(pb.SnapshotResponse(remaining_bytes=left, blob=blob, version="3.6.0").SerializeToString())

    async def downgrade(self, data: bytes, call: Call) -> bytes:
        """Upstream goes back by one minor version at most; who follows is told by `Status`."""
        request = pb.DowngradeRequest.FromString(data)
        await self._member.node.read_barrier()
        version = ".".join(VERSION.split(".")[:2])
        if request.action != pb.DowngradeRequest.CANCEL:
            target = re.fullmatch(r"(\d+)\.(\d+)(\.\d+)?", request.version)
            if target is None:
                raise errors.WrongDowngradeVersionFormat
            major, minor = map(int, version.split("."))
            if (int(target[1]), int(target[2])) != (major, minor - 1):
                raise errors.InvalidDowngradeTargetVersion
            if self._member.machine.cluster.downgrade:
                raise errors.DowngradeInProcess
            request.version = f"{target[1]}.{target[2]}.0"
        if request.action != pb.DowngradeRequest.VALIDATE:
            await self._member.write(state.DOWNGRADE, request, call)
        return self._member.head() + bytes(pb.DowngradeResponse(version=version).SerializeToString())

    async def move_leader(self, data: bytes, call: Call) -> bytes:
        await self._member.peers.move_leader(pb.MoveLeaderRequest.FromString(data).targetID)
        return self._member.head()
