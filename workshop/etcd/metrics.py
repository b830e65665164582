"""`/metrics` in Prometheus' text form, under upstream's names. What nobody asks for costs a dictionary's entry at most.

Upstream: `server/etcdserver/metrics.go`, `server/storage/mvcc/metrics.go`, `server/lease/metrics.go` and others.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import psutil

from workshop.etcd.raft import LEADER
from workshop.etcd.services.base import VERSION, Member


def _values(member: Member) -> dict[str, float]:
    node, machine = member.node, member.machine
    raft, store, lessor = node.raft, machine.store, machine.lessor
    process = psutil.Process()
    times, memory = process.cpu_times(), process.memory_info()
    watchers = [watcher for stream in member.hub.streams for watcher in stream.watchers.values()]
    return {
        "etcd_server_has_leader": int(bool(raft.leader)),
        "etcd_server_is_leader": int(raft.role == LEADER),
        "etcd_server_is_learner": int(node.is_learner),
        "etcd_server_leader_changes_seen_total": node.leadership.changes,
        "etcd_server_proposals_committed_total": raft.log.committed,
        "etcd_server_proposals_applied_total": node.applied,
        "etcd_server_proposals_pending": node.pending,
        "etcd_server_proposals_failed_total": node.waiting.failed,
        "etcd_server_quota_backend_bytes": member.limits.quota_bytes,
        f'etcd_server_id{{server_id="{member.id:x}"}}': 1,
        f'etcd_server_version{{server_version="{VERSION}"}}': 1,
        f'etcd_cluster_version{{cluster_version="{VERSION.rpartition(".")[0]}"}}': 1,
        "etcd_debugging_mvcc_current_revision": store.revision,
        "etcd_debugging_mvcc_compact_revision": store.compacted,
        "etcd_debugging_mvcc_keys_total": len(store.live),
        "etcd_debugging_mvcc_watcher_total": len(watchers),
        "etcd_debugging_mvcc_slow_watcher_total": sum(not watcher.synced for watcher in watchers),
        "etcd_debugging_mvcc_watch_stream_total": len(member.hub.streams),
        "etcd_debugging_mvcc_pending_events_total": sum(len(stream.outbox) for stream in member.hub.streams),
        "etcd_mvcc_db_total_size_in_bytes": store.size,
        "etcd_mvcc_db_total_size_in_use_in_bytes": store.size,
        "etcd_debugging_lease_granted_total": lessor.granted,
        "etcd_debugging_lease_revoked_total": lessor.revoked,
        "etcd_debugging_lease_renewed_total": lessor.renewed,
        "etcd_debugging_server_lease_expired_total": lessor.ran_out,
        "process_cpu_seconds_total": times.user + times.system,
        "process_resident_memory_bytes": memory.rss,
        "process_virtual_memory_bytes": memory.vms,
        "process_open_fds": process.num_fds(),
        "process_max_fds": process.rlimit(psutil.RLIMIT_NOFILE)[0] if sys.platform == "linux" else 0,
        "process_start_time_seconds": process.create_time(),
        **member.counts,
        **dict(_handled(member)),
    }


#: gRPC's names for its numbers.
CODES = [
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied",
    "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable",
    "DataLoss", "Unauthenticated",
]  # fmt: skip
#: Methods that are streams on either side; the rest is unary.
STREAMS = {
    "Watch": "bidi_stream",
    "LeaseKeepAlive": "bidi_stream",
    "Snapshot": "server_stream",
    "Observe": "server_stream",
}


def _handled(member: Member) -> Iterator[tuple[str, int]]:
    for (path, code), count in member.handled.items():
        _, service, method = path.split("/")
        kind = STREAMS.get(method, "unary")
        labels = f'grpc_code="{CODES[code]}",grpc_method="{method}",grpc_service="{service}",grpc_type="{kind}"'
        yield f"grpc_server_handled_total{{{labels}}}", count


def metrics(member: Member) -> bytes:
    lines, told = [], ""
    for name, value in sorted(_values(member).items()):
        family = name.partition("{")[0]
        if family != told:
            kind = "counter" if family.endswith(("_total", "_success", "_failures")) else "gauge"
            lines.append(f"# TYPE {family} {kind}")
            told = family
        lines.append(f"{name} {value:.17g}")
    lines.append("# TYPE etcd_disk_wal_fsync_duration_seconds histogram")
    lines += member.node.disk_times.lines("etcd_disk_wal_fsync_duration_seconds")
    return ("\n".join(lines) + "\n").encode()
