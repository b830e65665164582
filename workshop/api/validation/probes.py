"""Probes and lifecycle hooks. Upstream: core/validation (validateHandler, validateProbe, validateLifecycle),
v1.36.2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation.field import ErrorList

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
SECONDS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
SIGNALS = (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT "
    + " ".join(["RTMAX", *(f"RTMAX-{i}" for i in range(1, 15)), "RTMIN", *(f"RTMIN+{i}" for i in range(1, 16))])
    + " SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ"
)
LINUX = sorted(f"SIG{name}" for name in SIGNALS.split())
WINDOWS = ["SIGKILL", "SIGTERM"]


def probe(errors: ErrorList, at: str, kind: str, found: Obj, grace: int | None) -> None:
    handler(errors, at, found, grace, ("exec", "httpGet", "tcpSocket", "grpc"))
    errors.not_negative(found, at, *SECONDS)
    seconds, successes = found.get("terminationGracePeriodSeconds"), found.get("successThreshold", 0)
    if seconds is not None and seconds <= 0:
        errors.invalid(f"{at}.terminationGracePeriodSeconds", seconds, "must be greater than 0")
    if kind == "readinessProbe":
        if seconds is not None:
            errors.invalid(f"{at}.terminationGracePeriodSeconds", seconds, "must not be set for readinessProbes")
    elif successes != 1:
        errors.invalid(f"{at}.successThreshold", successes, "must be 1")


def handler(errors: ErrorList, at: str, found: Obj, grace: int | None, known: Sequence[str]) -> None:
    given = [kind for kind in known if found.get(kind) is not None]
    if not given:
        errors.required(at, "must specify a handler type")
        return
    for extra in given[1:]:
        errors.forbidden(f"{at}.{extra}", "may not specify more than 1 handler type")
    kind, action = given[0], found[given[0]]
    at = f"{at}.{kind}"
    match kind:
        case "exec":
            errors.needed(action, at, "command")
        case "httpGet":
            errors.needed(action, at, "path")
            port(errors, f"{at}.port", action.get("port", 0))
            errors.among(f"{at}.scheme", action.get("scheme"), ("HTTP", "HTTPS"))
            for header in action.get("httpHeaders") or []:
                name = header.get("name", "")
                errors.each(f"{at}.httpHeaders", name, names.http_header_name(name))
        case "tcpSocket" | "grpc":
            port(errors, f"{at}.port", action.get("port", 0))
        case "sleep":
            seconds = action.get("seconds", 0)
            if grace is not None and not 0 <= seconds <= grace:
                said = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
                errors.invalid(at, seconds, said)


def port(errors: ErrorList, path: str, value: Any) -> None:
    check = names.port_name(value) if isinstance(value, str) else names.port_number(value)
    errors.each(path, value, check)


def lifecycle(errors: ErrorList, at: str, found: Obj, grace: int | None, os: str | None) -> None:
    for hook in ("postStart", "preStop"):
        if found.get(hook) is not None:
            handler(errors, f"{at}.{hook}", found[hook], grace, ("exec", "httpGet", "tcpSocket", "sleep"))
    if (signal := found.get("stopSignal")) is None:
        return
    if os is None:
        errors.forbidden(f"{at}.stopSignal", "may not be set for containers with empty `spec.os.name`")
    elif os in ("linux", "windows"):
        errors.among(f"{at}.stopSignal", signal, WINDOWS if os == "windows" else LINUX)
