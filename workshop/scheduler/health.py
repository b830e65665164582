"""What kube-scheduler serves: health for everybody, metrics for who shows a certificate of the cluster.

Upstream: `cmd/kube-scheduler/app/server.go`, `pkg/scheduler/metrics`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from workshop.serving import Receive, Scope, Send

HEALTH = ("/healthz", "/livez", "/readyz")
Checks = Callable[[], Mapping[str, bool]]
"""Name → is it ready?"""


class Health:
    def __init__(self, checks: Checks, metrics: Callable[[], str]) -> None:
        self.checks, self.metrics = checks, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status, text = self.answer(scope["path"], scope["query_string"].decode(), self._known(scope))
        body = text.encode()
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _known(self, scope: Scope) -> bool:
        return bool(scope.get("extensions", {}).get("tls", {}).get("client_cert"))

    def answer(self, path: str, query: str = "", known: bool = False) -> tuple[int, str]:
        if path in HEALTH:
            checks = {"ping": True, **(self.checks() if path == "/readyz" else {})}
            lines = [f"[{'+' if well else '-'}]{name} {'ok' if well else 'failed'}" for name, well in checks.items()]
            if not all(checks.values()):
                return 500, "\n".join([*lines, f"{path[1:]} check failed", ""])
            return 200, "\n".join([*lines, f"{path[1:]} check passed", ""]) if "verbose" in query else "ok"
        if path == "/metrics":
            return (200, self.metrics()) if known else (401, "Unauthorized\n")
        return 404, "404 page not found\n"


def exposition(results: Mapping[str, int], pending: Mapping[str, int], cache: Mapping[str, int]) -> str:
    """Prometheus' text format, with upstream's names."""
    lines = [
        "# HELP scheduler_schedule_attempts_total [STABLE] Number of attempts to schedule pods, by the result.",
        "# TYPE scheduler_schedule_attempts_total counter",
        *(f'scheduler_schedule_attempts_total{{result="{name}"}} {count}' for name, count in sorted(results.items())),
        "# HELP scheduler_pending_pods [STABLE] Number of pending pods, by the queue type.",
        "# TYPE scheduler_pending_pods gauge",
        *(f'scheduler_pending_pods{{queue="{name}"}} {count}' for name, count in sorted(pending.items())),
        "# HELP scheduler_cache_size [BETA] Number of nodes, pods, and assumed (bound) pods in the scheduler cache.",
        "# TYPE scheduler_cache_size gauge",
        *(f'scheduler_cache_size{{type="{name}"}} {count}' for name, count in sorted(cache.items())),
    ]
    return "\n".join(lines) + "\n"
