"""Who may be served now: a learner serves little, a client may ask to be refused while there is no leader, and some
methods are for administrators.

Upstream: `server/etcdserver/api/v3rpc/interceptor.go`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from workshop.etcd import errors
from workshop.etcd.rpc.call import Call, Method
from workshop.etcd.services.base import Member
from workshop.wire import etcd_pb2 as pb

#: What a learner serves: this, and serializable reads.
FOR_LEARNERS = frozenset({"Maintenance/Status", "Maintenance/Snapshot"})
#: What only the user root and its like may do, while authentication is enabled.
FOR_ADMINS = frozenset(
    {
        f"Maintenance/{name}"
        for name in ("Defragment", "Snapshot", "Hash", "HashKV", "Status", "MoveLeader", "Downgrade")
    }
    | {f"Cluster/Member{name}" for name in ("Add", "Remove", "Update", "Promote")}
)
#: Election timeouts without a leader after which streams end that asked for one.
PATIENCE = 3


def guarded(member: Member, name: str, method: Method) -> Method:
    """`method` (`Service/Method`), refused where it must be."""
    unary, stream, node = method.unary, method.stream, member.node
    for_admins = name in FOR_ADMINS

    def check_admin(call: Call) -> None:
        if for_admins and member.machine.auth.enabled:
            member.machine.auth.require_admin(member.who(call))

    def check(call: Call) -> None:
        if not node.leader and call.metadata.get("hasleader") == "true":
            raise errors.NoLeader
        if node.is_learner and name not in FOR_LEARNERS:
            raise errors.NotSupportedForLearner

    def call_unary(data: bytes, call: Call) -> Awaitable[bytes]:
        if not node.leader or node.is_learner:
            if name == "KV/Range" and node.is_learner:
                if not pb.RangeRequest.FromString(data).serializable:
                    raise errors.NotSupportedForLearner
            else:
                check(call)
        check_admin(call)
        assert unary is not None
        return unary(data, call)

    async def call_stream(call: Call) -> None:
        check(call)
        check_admin(call)
        assert stream is not None
        if call.metadata.get("hasleader") != "true":
            await stream(call)
            return
        work = asyncio.ensure_future(stream(call))
        lost = asyncio.ensure_future(node.leadership.missing(PATIENCE * node.timing.election))
        try:
            await asyncio.wait([work, lost], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise errors.NoLeader
            work.result()
        finally:
            lost.cancel()
            work.cancel()
            await asyncio.gather(work, lost, return_exceptions=True)

    return Method(unary=call_unary if unary else None, stream=call_stream if stream else None)
