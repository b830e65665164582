"""All services at one door: which they are, and which limits they keep."""

from __future__ import annotations

from workshop.etcd.http import answer
from workshop.etcd.rpc.door import Door
from workshop.etcd.rpc.http1 import Handler, Request, Response
from workshop.etcd.services.auth import Auth
from workshop.etcd.services.base import Member
from workshop.etcd.services.cluster import Cluster
from workshop.etcd.services.concurrency import Election, Lock
from workshop.etcd.services.guard import guarded
from workshop.etcd.services.kv import KV
from workshop.etcd.services.lease import Lease
from workshop.etcd.services.maintenance import Maintenance
from workshop.etcd.services.watch import Watch

#: What a message may be longer than the request limit before gRPC itself refuses it (upstream: grpcOverheadBytes).
OVERHEAD = 512 * 1024

PACKAGES = {
    "etcdserverpb": (KV, Watch, Lease, Maintenance, Cluster, Auth),
    "v3lockpb": (Lock,),
    "v3electionpb": (Election,),
}


def client_door(member: Member) -> Door:
    """gRPC, and HTTP beside it; listening nowhere yet."""
    services = {}
    for package, kinds in PACKAGES.items():
        for kind in kinds:
            name = kind.__name__
            services[f"{package}.{name}"] = {
                method: guarded(member, f"{name}/{method}", handler)
                for method, handler in kind(member).methods().items()
            }
    return Door(services, _http(member), member.limits.request_bytes + OVERHEAD, member.handled)


def metrics_door(member: Member) -> Door:
    """HTTP alone, for `--listen-metrics-urls`."""
    return Door(None, _http(member))


def _http(member: Member) -> Handler:
    async def handle(request: Request) -> Response:
        host = request.headers.get("host", "")
        name = (host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host).strip("[]")
        if not request.secure and not {"*", name} & member.host_whitelist:
            # So that no web page asks in the name of a browser's user by a name that it made up (DNS rebinding).
            said = f"The host {name!r} is not in --host-whitelist, and the connection has no TLS (CVE-2018-5702).\n"
            return Response(421, "text/plain; charset=utf-8", said.encode())
        return await answer(member, request)

    return handle
