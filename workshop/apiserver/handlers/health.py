"""/healthz, /livez, /readyz (each with ?verbose and ?exclude), /version and the door to /metrics.

Upstream: apiserver/pkg/server/healthz/healthz.go, component-base/version.
"""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable

from workshop.api import errors
from workshop.apiserver.handlers.metrics import Metrics
from workshop.apiserver.server.http import Request, Response, json_response, text_response

VERSION = "v1.36.2"
_GO_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
Check = Callable[[], Awaitable[str]]
"""Returns "" when all is well, else what is wrong. A text that begins with `note: ` is no failure."""


class Health:
    """Named checks, told one a line. `live` checks say that the process works, `ready` that it can serve."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.live: dict[str, Check] = {"ping": _well, "log": _well}
        self.ready: dict[str, Check] = {}
        self.debug: dict[str, Callable[[], str]] = {}

    async def handle(self, request: Request) -> Response | None:
        """The answer; None if the path is not one of these."""
        match request.path.strip("/").split("/"):
            case ["version"]:
                if request.method not in ("GET", "HEAD"):
                    raise errors.not_allowed()
                return json_response(version())
            case ["metrics"]:
                return Response(200, self.metrics.text().encode(), "text/plain; version=0.0.4; charset=utf-8")
            case ["debug", *name] if "/".join(name) in self.debug:
                return text_response(self.debug["/".join(name)]())
            case ["healthz" | "livez" | "readyz" as kind]:
                return await self._report(request, kind)
            case ["healthz" | "livez" | "readyz" as kind, name]:
                check = self._checks(kind).get(name)
                if check is None:
                    return text_response("404 page not found\n", 404)
                problem = await check()
                return (
                    text_response("ok") if _fine(problem) else text_response(f"internal server error: {problem}\n", 500)
                )
        return None

    def _checks(self, kind: str) -> dict[str, Check]:
        return {**self.live, **self.ready} if kind == "readyz" else self.live

    async def _report(self, request: Request, kind: str) -> Response:
        lines, failed = [], False
        excluded = request.query.get("exclude", [])
        for name, check in self._checks(kind).items():
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
                continue
            problem = await check()
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
