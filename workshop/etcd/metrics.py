"""`/health`, `/livez`, `/readyz`, `/version` and a few `/metrics` over HTTP, on `--listen-metrics-urls`.

Upstream serves them on the client URL too, sharing one port with gRPC; gRPC's Python server owns its port alone.
Upstream: `server/etcdserver/api/etcdhttp`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from workshop.etcd.raft import LEADER
from workshop.etcd.services.base import VERSION, Member
from workshop.serving import Receive, Scope, Send, listen, server_tls
from workshop.serving import serve as serve_http
from workshop.wire import etcd_pb2 as pb

if TYPE_CHECKING:
    from workshop.etcd.run import Tls


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


def _answer(member: Member, path: str) -> tuple[int, str, str]:
    if path == "/health":
        status, body = health(member)
        return status, "application/json", json.dumps(body)
    if path in ("/livez", "/readyz"):
        status, _ = health(member)
        return status, "text/plain; charset=utf-8", "ok\n" if status == 200 else "not ok\n"
    if path == "/version":
        body = {"etcdserver": VERSION, "etcdcluster": VERSION.rsplit(".", 1)[0] + ".0", "storage": "3.6.0"}
        return 200, "application/json", json.dumps(body)
    if path == "/metrics":
        return 200, "text/plain; version=0.0.4; charset=utf-8", metrics(member)
    return 404, "text/plain; charset=utf-8", "404 page not found\n"


@asynccontextmanager
async def serve_metrics(member: Member, addresses: list[tuple[str, int, bool]], tls: Tls) -> AsyncIterator[None]:
    """Serve them while the block runs. Raises OSError when an address cannot be bound."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        status, kind, body = _answer(member, scope["path"])
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind.encode())]})
        await send({"type": "http.response.body", "body": body.encode()})

    plain = [listen(host, port) for host, port, secure in addresses if not secure]
    secured = [listen(host, port) for host, port, secure in addresses if secure]
    context = server_tls(tls.cert_file, tls.key_file, tls.trusted_ca_file or None) if secured else None
    async with serve_http(app, plain), serve_http(app, secured, context):
        yield
