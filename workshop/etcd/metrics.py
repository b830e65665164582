"""`/health`, `/livez`, `/readyz`, `/version` and `/metrics` over HTTP, on the client URLs and `--listen-metrics-urls`.

Upstream: `server/etcdserver/api/etcdhttp`.
"""

from __future__ import annotations

import json

from workshop.etcd.raft import LEADER
from workshop.etcd.rpc.http1 import Request, Response
from workshop.etcd.services.base import VERSION, Member
from workshop.wire import etcd_pb2 as pb

TEXT = "text/plain; charset=utf-8"


def health(member: Member) -> tuple[int, dict[str, str]]:
    """What `/health` says: is there a leader, and no alarm?"""
    if not member.node.raft.leader:
        return 503, {"health": "false", "reason": "RAFT NO LEADER"}
    for alarm in member.machine.alarms:
        return 503, {"health": "false", "reason": f"ALARM {pb.AlarmType.Name(alarm)}"}
    return 200, {"health": "true", "reason": ""}


def metrics(member: Member) -> str:
    """A few of upstream's metrics, in Prometheus' text form."""
    raft, store = member.node.raft, member.machine.store
    values = {
        "etcd_server_has_leader": int(bool(raft.leader)),
        "etcd_server_is_leader": int(raft.role == LEADER),
        "etcd_server_proposals_committed_total": raft.log.committed,
        "etcd_server_proposals_applied_total": member.node.applied,
        "etcd_server_proposals_pending": member.node.pending,
        "etcd_debugging_mvcc_current_revision": store.revision,
        "etcd_debugging_mvcc_compact_revision": store.compacted,
        "etcd_debugging_mvcc_keys_total": len(store.live),
        "etcd_debugging_mvcc_watcher_total": sum(len(stream.watchers) for stream in member.hub.streams),
        "etcd_debugging_mvcc_watch_stream_total": len(member.hub.streams),
        "etcd_mvcc_db_total_size_in_bytes": store.size,
    }
    lines = []
    for name, value in values.items():
        lines += [f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}", f"{name} {value}"]
    return "\n".join(lines) + "\n"


def answer(member: Member, request: Request) -> Response:
    """What a GET of these paths gives."""
    if request.method not in ("GET", "HEAD"):
        return Response(405, TEXT, b"Method Not Allowed\n")
    match request.path:
        case "/health":
            status, body = health(member)
            return Response(status, "application/json", json.dumps(body, separators=(",", ":")).encode())
        case "/livez" | "/readyz":
            status, _ = health(member)
            return Response(status, TEXT, b"ok\n" if status == 200 else b"not ok\n")
        case "/version":
            versions = {"etcdserver": VERSION, "etcdcluster": VERSION.rsplit(".", 1)[0] + ".0", "storage": "3.6.0"}
            return Response(200, "application/json", json.dumps(versions, separators=(",", ":")).encode())
        case "/metrics":
            return Response(200, "text/plain; version=0.0.4; charset=utf-8", metrics(member).encode())
    return Response(404, TEXT, b"404 page not found\n")
