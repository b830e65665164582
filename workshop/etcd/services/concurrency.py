"""Lock and Election: who asked first, holds. Both are nothing but keys, leases and watches, done by the server.

    lock/7f3a  create 12   holds it
    lock/7f3b  create 15   waits for the deletion of the key created last before its own: 7f3a
    lock/7f3c  create 19   waits for 7f3b

So a release wakes one, not all; and a holder that dies loses its key with its lease.
Upstream: `server/etcdserver/api/v3lock`, `v3election`, `client/v3/concurrency`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from workshop.etcd import errors
from workshop.etcd.mvcc.operations import Message
from workshop.etcd.rpc.call import Call, Method
from workshop.etcd.services.base import Member, Unary, streaming, unary
from workshop.etcd.services.kv import KV
from workshop.etcd.services.lease import Lease
from workshop.wire import etcd_pb2 as pb

#: Seconds that a lease lasts which the server grants because the client brought none.
SESSION_TTL = 60


class Failed(errors.EtcdError):
    """What has no code of its own upstream."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def inner(handler: Unary) -> Method:
    """A method of a service that is itself a client: the code of a refusal is lost on the way, its text is not."""

    async def handle(data: bytes, call: Call) -> bytes:
        try:
            return await handler(data, call)
        except errors.EtcdError as refused:
            raise Failed(refused.text) from refused

    return unary(handle)


def prefix_end(prefix: bytes) -> bytes:
    """The end of the range of all keys that begin with `prefix`."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else b"\0"


class Queue:
    """Keys under a name, one a lease, in the order of their creation. `call` is whose permissions count."""

    def __init__(self, member: Member, kv: KV, lease: Lease, name: bytes, call: Call) -> None:
        self._member, self._kv, self._lease, self._call = member, kv, lease, call
        self.prefix = name + b"/"

    async def session(self, lease: int) -> int:
        """The lease that the client brought, or a new one."""
        if lease:
            return lease
        request = pb.LeaseGrantRequest(TTL=SESSION_TTL)
        return int(pb.LeaseGrantResponse.FromString(await self._lease.grant(_bytes(request), self._call)).ID)

    def key(self, lease: int) -> bytes:
        return self.prefix + b"%x" % lease

    async def get(self, key: bytes) -> Message:
        return await self._range(pb.RangeRequest(key=key))

    async def first(self) -> Message:
        """The key that was created first: the holder's."""
        return await self._range(self.first_request())

    def first_request(self, **fields: Any) -> Message:
        by_creation = {"sort_target": pb.RangeRequest.CREATE, "sort_order": pb.RangeRequest.ASCEND, "limit": 1}
        return pb.RangeRequest(key=self.prefix, range_end=prefix_end(self.prefix), **{**by_creation, **fields})

    async def _range(self, request: Message) -> Message:
        return pb.RangeResponse.FromString(await self._kv.range(_bytes(request), self._call))

    async def txn(self, compare: Message, then: list[Message], otherwise: list[Message]) -> Message:
        request = pb.TxnRequest(compare=[compare], success=then, failure=otherwise)
        return pb.TxnResponse.FromString(await self._kv.txn(_bytes(request), self._call))

    async def delete(self, key: bytes) -> Message:
        request = pb.DeleteRangeRequest(key=key)
        return pb.DeleteRangeResponse.FromString(await self._kv.delete_range(_bytes(request), self._call))

    async def wait_for_those_before(self, created: int) -> None:
        """Return when no key is left that was created before `created`."""
        last = {"sort_order": pb.RangeRequest.DESCEND, "max_create_revision": created - 1}
        while (found := await self._range(self.first_request(**last))).kvs:
            async with aclosing(self.events(found.kvs[0].key, found.header.revision)) as events:
                async for event in events:
                    if event.type == pb.Event.DELETE:
                        break

    async def events(self, key: bytes, start: int, range_end: bytes = b"") -> AsyncGenerator[Message, None]:
        """What happens to a key from a revision on. Raises Compacted."""
        something = asyncio.Event()
        stream = self._member.hub.open(something.set)
        try:
            create = pb.WatchCreateRequest(key=key, range_end=range_end, start_revision=start)
            self._member.hub.create(stream, create)
            while True:
                await something.wait()
                something.clear()
                while stream.outbox:
                    answer = pb.WatchResponse.FromString(stream.take())
                    if answer.canceled:
                        raise errors.Compacted
                    for event in answer.events:
                        yield event
                if stream.behind:
                    self._member.hub.catch_up(stream)
        finally:
            self._member.hub.close(stream)


class Lock:
    def __init__(self, member: Member) -> None:
        self._member, self._kv, self._lease = member, KV(member), Lease(member)
        self._left: set[asyncio.Future[Any]] = set()

    def methods(self) -> dict[str, Method]:
        return {"Lock": inner(self.lock), "Unlock": inner(self.unlock)}

    async def lock(self, data: bytes, call: Call) -> bytes:
        request = pb.LockRequest.FromString(data)
        queue = Queue(self._member, self._kv, self._lease, request.name, call)
        lease = await queue.session(request.lease)
        key = queue.key(lease)
        put = pb.RequestOp(request_put=pb.PutRequest(key=key, lease=lease))
        get = pb.RequestOp(request_range=pb.RangeRequest(key=key))
        owner = pb.RequestOp(request_range=queue.first_request())
        entered = await queue.txn(_is_new(key), [put, owner], [get, owner])
        mine = entered.header.revision
        if not entered.succeeded:
            mine = entered.responses[0].response_range.kvs[0].create_revision
        holder = entered.responses[1].response_range.kvs
        if not holder or holder[0].create_revision == mine:
            return _bytes(pb.LockResponse(header=entered.header, key=key))
        try:
            await queue.wait_for_those_before(mine)
            found = await queue.get(key)
        except BaseException:  # also when the client gives up: its place in the queue must not stay
            leaving = asyncio.ensure_future(queue.delete(key))
            self._left.add(leaving)
            leaving.add_done_callback(self._left.discard)
            raise
        if not found.kvs:
            raise Failed("mutex: session is expired")
        return _bytes(pb.LockResponse(header=found.header, key=key))

    async def unlock(self, data: bytes, call: Call) -> bytes:
        queue = Queue(self._member, self._kv, self._lease, b"", call)
        gone = await queue.delete(pb.UnlockRequest.FromString(data).key)
        return _bytes(pb.UnlockResponse(header=gone.header))


class Election:
    def __init__(self, member: Member) -> None:
        self._member, self._kv, self._lease = member, KV(member), Lease(member)
        self._left: set[asyncio.Future[Any]] = set()

    def methods(self) -> dict[str, Method]:
        return {
            "Campaign": inner(self.campaign),
            "Proclaim": inner(self.proclaim),
            "Leader": inner(self.leader),
            "Observe": streaming(self.observe),
            "Resign": inner(self.resign),
        }

    def _queue(self, name: bytes, call: Call) -> Queue:
        return Queue(self._member, self._kv, self._lease, name, call)

    async def campaign(self, data: bytes, call: Call) -> bytes:
        request = pb.CampaignRequest.FromString(data)
        queue = self._queue(request.name, call)
        lease = await queue.session(request.lease)
        key = queue.key(lease)
        put = pb.RequestOp(request_put=pb.PutRequest(key=key, value=request.value, lease=lease))
        get = pb.RequestOp(request_range=pb.RangeRequest(key=key))
        entered = await queue.txn(_is_new(key), [put], [get])
        leader = pb.LeaderKey(name=request.name, key=key, rev=entered.header.revision, lease=lease)
        header = entered.header
        try:
            if not entered.succeeded:
                known = entered.responses[0].response_range.kvs[0]
                leader.rev = known.create_revision
                if known.value != request.value:
                    header = await self._proclaim(queue, leader, request.value)
            await queue.wait_for_those_before(leader.rev)
        except BaseException:  # also when the client gives up: its candidature must not stay
            leaving = asyncio.ensure_future(self._resign(queue, leader))
            self._left.add(leaving)
            leaving.add_done_callback(self._left.discard)
            raise
        return _bytes(pb.CampaignResponse(header=header, leader=leader))

    async def proclaim(self, data: bytes, call: Call) -> bytes:
        request = pb.ProclaimRequest.FromString(data)
        _check_leader(request)
        header = await self._proclaim(self._queue(request.leader.name, call), request.leader, request.value)
        return _bytes(pb.ProclaimResponse(header=header))

    async def _proclaim(self, queue: Queue, leader: Message, value: bytes) -> Message:
        put = pb.RequestOp(request_put=pb.PutRequest(key=leader.key, value=value, lease=leader.lease))
        done = await queue.txn(_is_still(leader), [put], [])
        if not done.succeeded:
            raise Failed("election: not leader")
        return done.header

    async def leader(self, data: bytes, call: Call) -> bytes:
        found = await self._queue(pb.LeaderRequest.FromString(data).name, call).first()
        if not found.kvs:
            raise Failed("election: no leader")
        return _bytes(pb.LeaderResponse(header=found.header, kv=found.kvs[0]))

    async def observe(self, call: Call) -> None:
        """Tell who leads, and whenever that or the leader's value changes."""
        request = pb.LeaderRequest.FromString(await call.read() or b"")
        queue = self._queue(request.name, call)
        while True:
            found = await queue.first()
            header = found.header
            if found.kvs:
                leader = found.kvs[0]
            else:
                end = prefix_end(queue.prefix)
                async with aclosing(queue.events(queue.prefix, header.revision + 1, end)) as events:
                    async for event in events:
                        if event.type == pb.Event.PUT:
                            leader = event.kv
                            break
                header.revision = leader.mod_revision
            await call.write(_bytes(pb.LeaderResponse(header=header, kv=leader)))
            async with aclosing(queue.events(leader.key, header.revision + 1)) as events:
                async for event in events:
                    if event.type == pb.Event.DELETE:
                        break
                    header.revision = event.kv.mod_revision
                    await call.write(_bytes(pb.LeaderResponse(header=header, kv=event.kv)))

    async def resign(self, data: bytes, call: Call) -> bytes:
        request = pb.ResignRequest.FromString(data)
        _check_leader(request)
        header = await self._resign(self._queue(request.leader.name, call), request.leader)
        return _bytes(pb.ResignResponse(header=header))

    async def _resign(self, queue: Queue, leader: Message) -> Message:
        delete = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=leader.key))
        return (await queue.txn(_is_still(leader), [delete], [])).header


def _is_new(key: bytes) -> Message:
    return pb.Compare(target=pb.Compare.CREATE, key=key, create_revision=0)


def _is_still(leader: Message) -> Message:
    return pb.Compare(target=pb.Compare.CREATE, key=leader.key, create_revision=leader.rev)


def _check_leader(request: Message) -> None:
    if not request.HasField("leader"):
        raise Failed('"leader" field must be provided')


def _bytes(message: Message) -> bytes:
    return bytes(message.SerializeToString())
