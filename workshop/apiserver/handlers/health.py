"""/healthz, /livez, /readyz (each with ?verbose and ?exclude), /version, /metrics, and pages for who looks for a fault.

Upstream: apiserver/pkg/server/healthz/healthz.go, component-base/version.
"""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable

from workshop.api import errors
from workshop.apiserver.handlers.metrics import Metrics
from workshop.apiserver.server.http import Request, Response, json_response, text_response
from workshop.apiserver.server.negotiate import JSON, media_types, no_representation

VERSION = "v1.36.2"
_KINDS = ("healthz", "livez", "readyz")
_GO_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
Check = Callable[[], Awaitable[str]]
"""Returns "" when all is well, else what is wrong. A text that begins with `note: ` is no failure."""


class Health:
    """Named checks, told one a line. `live` checks say that the process works, `ready` that it can serve."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.live: dict[str, Check] = {"ping": _well, "log": _well}
        self.ready: dict[str, Check] = {}
        #: Path → who answers it.
        self.pages: dict[str, Callable[[Request], Response]] = {}
        self._results: dict[tuple[str, str, str], int] = {}
        self._last: dict[tuple[str, str], str] = {}

    def paths(self) -> list[str]:
        """All that is answered here; of /healthz and the like each check, too."""
        checks = [f"/{kind}/{name}" for kind in _KINDS for name in self._checks(kind)]
        return [*checks, *(f"/{kind}" for kind in _KINDS), "/metrics", "/metrics/slis", "/version"] + [
            page
            for page in self.pages
            if not page.startswith("/debug/")  # for who knows of them
        ]

    async def handle(self, request: Request) -> Response | None:
        """The answer; None if the path is not one of these."""
        match request.path[1:].split("/"):
            case ["version"] | ["version", ""]:
                if request.method != "GET":
                    raise errors.not_allowed()
                wanted = request.header("accept")
                if wanted and not any(kind in (JSON, "*/*", "application/*") for kind, _ in media_types(wanted)):
                    raise no_representation(JSON)
                return json_response(version())
            case ["metrics"]:
                for before in self.metrics.before:
                    await before()
                return Response(200, self.metrics.text().encode(), "text/plain; version=0.0.4; charset=utf-8")
            case ["metrics", "slis"]:
                return Response(200, self._indicators().encode(), "text/plain; version=0.0.4; charset=utf-8")
            case _ if request.path in self.pages:
                return self.pages[request.path](request)
            case ["healthz" | "livez" | "readyz" as kind]:
                return await self._report(request, kind)
            case ["healthz" | "livez" | "readyz" as kind, name]:
                check = self._checks(kind).get(name)
                if check is None:
                    return text_response("404 page not found\n", 404)
                problem = await self._asked(kind, name, check)
                return (
                    text_response("ok") if _fine(problem) else text_response(f"internal server error: {problem}\n", 500)
                )
        return None

    def _checks(self, kind: str) -> dict[str, Check]:
        return {**self.live, **self.ready} if kind == "readyz" else self.live

    async def _asked(self, kind: str, name: str, check: Check) -> str:
        problem = await check()
        status = self._last[kind, name] = "success" if _fine(problem) else "error"
        self._results[kind, name, status] = self._results.get((kind, name, status), 0) + 1
        return problem

    def _indicators(self) -> str:
        """How the checks ended so far (upstream: component-base/metrics/prometheus/slis)."""
        lines = ["# TYPE kubernetes_healthcheck gauge"]
        for (kind, name), status in sorted(self._last.items()):
            lines.append(f'kubernetes_healthcheck{{name="{name}",type="{kind}"}} {int(status == "success")}')
        lines.append("# TYPE kubernetes_healthchecks_total counter")
        for (kind, name, status), count in sorted(self._results.items()):
            labels = f'name="{name}",status="{status}",type="{kind}"'
            lines.append(f"kubernetes_healthchecks_total{{{labels}}} {count}")
        return "\n".join(lines) + "\n"

    async def _report(self, request: Request, kind: str) -> Response:
        lines, failed = [], False
        excluded = request.query.get("exclude", [])
        for name, check in self._checks(kind).items():
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
                continue
            problem = await self._asked(kind, name, check)
            if _fine(problem):
                lines.append(f"[+]{name} ok{' (' + problem[6:] + ')' if problem else ''}")
            else:
                failed = True
                lines.append(f"[-]{name} failed: {problem}")
        if failed:
            return text_response("\n".join([*lines, f"{kind} check failed"]) + "\n", 500)
        if "verbose" in request.query:
            return text_response("\n".join([*lines, f"{kind} check passed"]) + "\n")
        return text_response("ok")


async def _well() -> str:
    return ""


def _fine(problem: str) -> bool:
    return not problem or problem.startswith("note: ")


def version() -> dict[str, str]:
    return {
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation().lower(),
        "platform": f"{platform.system().lower()}/{_GO_MACHINES.get(platform.machine(), platform.machine())}",
    }
