"""`/health`, `/livez` and `/readyz`: is this member well?

    /health?exclude=NOSPACE&serializable=true    alarms, a leader, a read; JSON
    /livez                                       can it read its own store?
    /readyz?verbose&exclude=non_learner          and does the cluster answer, trust its data, count this member?
    /readyz/linearizable_read                    one check alone

Upstream: `server/etcdserver/api/etcdhttp/health.go`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from workshop.etcd import errors
from workshop.etcd.rpc.http1 import Request, Response
from workshop.etcd.services.base import Member
from workshop.wire import etcd_pb2 as pb

TEXT = "text/plain; charset=utf-8"

Check = Callable[[Member], Awaitable[str]]  # what is wrong; "" if nothing


async def _data_corruption(member: Member) -> str:
    return "alarm activated: CORRUPT" if pb.CORRUPT in member.machine.alarms else ""


async def _serializable_read(member: Member) -> str:
    return ""  # whoever can say so can also read the store beside it


async def _linearizable_read(member: Member) -> str:
    try:
        await member.node.read_barrier()
    except errors.EtcdError as refused:
        return str(refused)
    return ""


async def _non_learner(member: Member) -> str:
    return "not supported for learner" if member.node.is_learner else ""


LIVEZ: dict[str, Check] = {"serializable_read": _serializable_read}
READYZ: dict[str, Check] = {
    "data_corruption": _data_corruption,
    "serializable_read": _serializable_read,
    "linearizable_read": _linearizable_read,
    "non_learner": _non_learner,
}


async def health(member: Member, request: Request) -> Response:
    query = parse_qs(request.query)
    reason = await _illness(member, set(query.get("exclude", ())), query.get("serializable") == ["true"])
    member.count("etcd_server_health_failures" if reason else "etcd_server_health_success")
    body = {"health": "false" if reason else "true", "reason": reason}
    return Response(503 if reason else 200, "application/json", json.dumps(body, separators=(",", ":")).encode())


async def _illness(member: Member, excluded: set[str], serializable: bool) -> str:
    for alarm in member.machine.alarms:
        if pb.AlarmType.Name(alarm) not in excluded:
            return f"ALARM {pb.AlarmType.Name(alarm)}"
    if serializable:
        return ""
    if not member.node.leader:
        return "RAFT NO LEADER"
    failed = await _linearizable_read(member)
    return f"RANGE ERROR:{failed}" if failed else ""


async def checks(member: Member, request: Request) -> Response | None:
    """The answer to `/livez…` and `/readyz…`; None for another path."""
    _, kind, *rest = request.path.split("/")
    known = {"livez": LIVEZ, "readyz": READYZ}.get(kind, {})
    if not known or len(rest) > 1 or (rest and rest[0] not in known):
        return None
    query = parse_qs(request.query, keep_blank_values=True)
    names = rest or [name for name in known if name not in query.get("exclude", ())]
    lines, failed = [], False
    for name in names:
        wrong = await known[name](member)
        lines.append(f"[-]{name} failed: {wrong}\n" if wrong else f"[+]{name} ok\n")
        failed = failed or bool(wrong)
        status = "error" if wrong else "success"
        member.count(f'etcd_server_healthchecks_total{{type="{kind}",name="{name}",status="{status}"}}')
    if failed:
        return Response(503, TEXT, "".join([*lines, "\n"]).encode())
    return Response(200, TEXT, "".join([*(lines if "verbose" in query else []), "ok\n"]).encode())
