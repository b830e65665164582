"""The gRPC server: which services, which limits, which certificates."""

from __future__ import annotations

import grpc

from workshop.etcd.services.base import Member
from workshop.etcd.services.cluster import Cluster
from workshop.etcd.services.kv import KV
from workshop.etcd.services.lease import Lease
from workshop.etcd.services.maintenance import Maintenance
from workshop.etcd.services.watch import Watch

#: What a message may be longer than the request limit before gRPC itself refuses it (upstream: grpcOverheadBytes).
OVERHEAD = 512 * 1024


def make_server(member: Member) -> grpc.aio.Server:
    """All services, listening nowhere yet."""
    options = [
        ("grpc.so_reuseport", 0),  # a port in use is an error, not a shared port
        ("grpc.max_receive_message_length", member.limits.request_bytes + OVERHEAD),
        ("grpc.max_send_message_length", -1),
        # Clients ping every 30 s, also without calls; the defaults would answer too_many_pings.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.max_ping_strikes", 0),
    ]
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=None)
    for service in (KV(member), Watch(member), Lease(member), Maintenance(member), Cluster(member)):
        name = f"etcdserverpb.{type(service).__name__}"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, service.methods()),))
    return server


def credentials(cert_file: str, key_file: str, ca_file: str | None, require_client: bool) -> grpc.ServerCredentials:
    """TLS for the server; with `require_client` only clients that `ca_file` signed. Raises OSError."""

    def read(path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    pair = (read(key_file), read(cert_file))
    ca = read(ca_file) if ca_file else None
    return grpc.ssl_server_credentials([pair], ca if require_client else None, require_client)
