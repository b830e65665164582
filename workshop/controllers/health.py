"""What port 10257 answers: /healthz, /livez, /readyz, /metrics."""

from __future__ import annotations

from collections.abc import Callable

from workshop.serving import Receive, Scope, Send


class HealthApp:
    """An ASGI app. `metrics` gives (name, help, labels → value) when it is asked."""

    def __init__(self, metrics: Callable[[], list[tuple[str, str, dict[str, float]]]]) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path in ("/healthz", "/livez", "/readyz"):
            await _answer(send, 200, "ok")
        elif path == "/metrics":
            await _answer(send, 200, self._text())
        else:
            await _answer(send, 404, "404 page not found\n")

    def _text(self) -> str:
        lines: list[str] = []
        for name, about, values in self._metrics():
            lines += [f"# HELP {name} {about}", f"# TYPE {name} gauge"]
            lines += [
                f"{name}{{{labels}}} {value:g}" if labels else f"{name} {value:g}" for labels, value in values.items()
            ]
        return "\n".join(lines) + "\n"


async def _answer(send: Send, status: int, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
