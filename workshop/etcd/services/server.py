"""All services at one door: which they are, and which limits they keep."""

from __future__ import annotations

from workshop.etcd.metrics import answer
from workshop.etcd.rpc.door import Door
from workshop.etcd.rpc.http1 import Handler, Request, Response
from workshop.etcd.services.base import Member
from workshop.etcd.services.cluster import Cluster
from workshop.etcd.services.guard import guarded
from workshop.etcd.services.kv import KV
from workshop.etcd.services.lease import Lease
from workshop.etcd.services.maintenance import Maintenance
from workshop.etcd.services.watch import Watch

#: What a message may be longer than the request limit before gRPC itself refuses it (upstream: grpcOverheadBytes).
OVERHEAD = 512 * 1024


def client_door(member: Member) -> Door:
    """gRPC, and HTTP beside it; listening nowhere yet."""
    services = {}
    for service in (KV(member), Watch(member), Lease(member), Maintenance(member), Cluster(member)):
        name = type(service).__name__
        services[f"etcdserverpb.{name}"] = {
            method: guarded(member.node, f"{name}/{method}", handler) for method, handler in service.methods().items()
        }
    return Door(services, _http(member), member.limits.request_bytes + OVERHEAD)


def metrics_door(member: Member) -> Door:
    """HTTP alone, for `--listen-metrics-urls`."""
    return Door(None, _http(member))


def _http(member: Member) -> Handler:
    async def handle(request: Request) -> Response:
        return answer(member, request)

    return handle
