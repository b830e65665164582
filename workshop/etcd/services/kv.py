"""KV: Range, Put, DeleteRange, Txn, Compact. Upstream: `server/etcdserver/api/v3rpc/key.go`, `v3_server.go`."""

from __future__ import annotations

from workshop.etcd import errors, state
from workshop.etcd.auth import permissions
from workshop.etcd.mvcc import operations
from workshop.etcd.mvcc.operations import Message
from workshop.etcd.rpc.call import Call, Method
from workshop.etcd.services.base import Member, unary
from workshop.wire import etcd_pb2 as pb


class KV:
    def __init__(self, member: Member) -> None:
        self._member = member

    def methods(self) -> dict[str, Method]:
        return {
            "Range": unary(self.range),
            "Put": unary(self.put),
            "DeleteRange": unary(self.delete_range),
            "Txn": unary(self.txn),
            "Compact": unary(self.compact),
        }

    async def range(self, data: bytes, call: Call) -> bytes:
        request = pb.RangeRequest.FromString(data)
        operations.check_range_form(request)
        if not request.serializable:
            await self._member.node.read_barrier()
        machine = self._member.machine
        machine.counts["etcd_mvcc_range_total"] += 1
        machine.auth.require(self._member.who(call), permissions.of_range(request))
        return self._member.head() + operations.range_(machine.store, request)

    async def put(self, data: bytes, call: Call) -> bytes:
        request = pb.PutRequest.FromString(data)
        operations.check_put_form(request)
        return await self._write(state.PUT, request, data, call)

    async def delete_range(self, data: bytes, call: Call) -> bytes:
        request = pb.DeleteRangeRequest.FromString(data)
        operations.check_delete_form(request)
        return await self._write(state.DELETE_RANGE, request, data, call)

    async def txn(self, data: bytes, call: Call) -> bytes:
        request = pb.TxnRequest.FromString(data)
        operations.check_txn_form(request, self._member.limits.txn_operations)
        if operations.is_read_only(request):
            if not operations.is_serializable(request):
                await self._member.node.read_barrier()
            machine = self._member.machine
            machine.auth.require(self._member.who(call), permissions.of_txn(request))
            return self._member.head() + operations.txn(machine.store, machine.lessor, request)
        return await self._write(state.TXN, request, data, call)

    async def compact(self, data: bytes, call: Call) -> bytes:
        request = pb.CompactionRequest.FromString(data)
        answer = await self._write(state.COMPACT, request, data, call)
        if request.physical:
            await self._member.scrubber.clean()
        return answer

    async def _write(self, kind: int, request: Message, data: bytes, call: Call) -> bytes:
        member = self._member
        if len(data) > member.limits.request_bytes:
            raise errors.RequestTooLarge
        if state.grows(kind, request):
            await self._check_quota(len(data))
        return await member.write(kind, request, call, data)

    async def _check_quota(self, more: int) -> None:
        """A store that would outgrow its quota raises the alarm, which stops writes until it is disarmed."""
        member = self._member
        if member.machine.store.size + more <= member.limits.quota_bytes:
            return
        alarm = pb.AlarmRequest(action=pb.AlarmRequest.ACTIVATE, memberID=member.id, alarm=pb.NOSPACE)
        if member.id not in member.machine.alarms.get(pb.NOSPACE, ()):
            await member.node.propose(state.ALARM, alarm)
        raise errors.NoSpace
