"""What a member says over plain HTTP, on its client URLs and on `--listen-metrics-urls`.

Upstream: `server/etcdserver/api/etcdhttp`.
"""

from __future__ import annotations

import json

from workshop.etcd.health import TEXT, checks, health
from workshop.etcd.metrics import metrics
from workshop.etcd.rpc.http1 import Request, Response
from workshop.etcd.services.base import VERSION, Member


async def answer(member: Member, request: Request) -> Response:
    """What a GET of these paths gives."""
    if request.method not in ("GET", "HEAD"):
        return Response(405, TEXT, b"Method Not Allowed\n")
    match request.path:
        case "/health":
            return await health(member, request)
        case "/version":
            versions = {"etcdserver": VERSION, "etcdcluster": VERSION.rsplit(".", 1)[0] + ".0", "storage": "3.6.0"}
            return Response(200, "application/json", json.dumps(versions, separators=(",", ":")).encode())
        case "/metrics":
            return Response(200, "text/plain; version=0.0.4; charset=utf-8", metrics(member))
    return await checks(member, request) or Response(404, TEXT, b"404 page not found\n")
