"""`/healthz` and `/livez` on 10256, `/metrics` on 10249. Upstream: `pkg/proxy/healthcheck/proxy_health.go`.

Plain HTTP, as upstream: load balancers ask it, and they have no certificate.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from workshop.clock import Clock, rfc3339
from workshop.serving import App, Receive, Scope, Send


@dataclass
class State:
    """What the proxy tells of itself. `updated` is the time of the last applied rules, 0 before the first."""

    clock: Clock
    updated: float = 0.0
    syncs: int = 0
    rules: int = 0
    failures: int = 0


def answer(state: State, path: str) -> tuple[int, str, str]:
    """(status, content type, body) for a path."""
    if path in ("/healthz", "/livez"):
        now = rfc3339(state.clock.now())
        body = {"lastUpdated": rfc3339(state.updated) if state.updated else None, "currentTime": now}
        return (200 if state.updated else 503), "application/json", json.dumps(body)
    if path == "/metrics":
        lines = [
            "# TYPE kubeproxy_sync_proxy_rules_total counter",
            f"kubeproxy_sync_proxy_rules_total {state.syncs}",
            "# TYPE kubeproxy_sync_proxy_rules_last_timestamp_seconds gauge",
            f"kubeproxy_sync_proxy_rules_last_timestamp_seconds {state.updated:.3f}",
            "# TYPE kubeproxy_userspace_listeners gauge",
            f"kubeproxy_userspace_listeners {state.rules}",
            "# TYPE kubeproxy_userspace_listen_failures_total counter",
            f"kubeproxy_userspace_listen_failures_total {state.failures}",
        ]
        return 200, "text/plain; version=0.0.4", "\n".join(lines) + "\n"
    if path == "/proxyMode":
        return 200, "text/plain", "userspace"
    return 404, "text/plain", "404 page not found\n"


def app(state: State) -> App:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        status, kind, body = answer(state, scope["path"])
        headers = [(b"content-type", kind.encode()), (b"x-content-type-options", b"nosniff")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body.encode()})

    return serve
