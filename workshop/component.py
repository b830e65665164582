"""What every component's process does alike: flags in Go's manner, klog's log line, signals.

Upstream: `staging/src/k8s.io/component-base`. Etcd uses it too; it knows nothing of Kubernetes' API.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from workshop import trace


class CannotListen(OSError):
    """An address that cannot be bound. The text is a sentence for whoever started the program."""


class FlagParser(argparse.ArgumentParser):
    """Flags as Go's pflag reads them: `--name=value` or `--name value`, booleans bare or `=false`.

    An error is one line on stderr in pflag's words and exit status 1, as the real binaries do.
    """

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    def boolean(self, name: str, default: bool, help: str) -> None:
        """A flag that may stand alone (`--leader-elect`) or carry a value (`--leader-elect=false`)."""
        self.add_argument(name, nargs="?", const=True, default=default, type=_boolean, help=help)

    def strings(self, name: str, help: str, default: Sequence[str] = ()) -> None:
        """A comma-separated list that may also be given several times."""
        self.add_argument(name, action=_Strings, default=list(default), help=help)

    def duration(self, name: str, default: float, help: str) -> None:
        """A Go duration (`1m30s`, `100ms`), kept in seconds."""
        self.add_argument(name, type=parse_duration, default=default, help=help)

    def shown(self, values: argparse.Namespace) -> dict[str, str]:
        """Each flag's value as pflag writes it: what `/flagz` tells."""
        found = {}
        for action in self._actions:
            name = next((option[2:] for option in action.option_strings if option.startswith("--")), "")
            if name and name != "help":
                seconds = action.type is parse_duration
                found[name] = _as_go_writes(getattr(values, action.dest, None), seconds)
        return found

    def error(self, message: str) -> None:  # type: ignore[override]
        message = message.replace("unrecognized arguments:", "unknown flag:")
        sys.stderr.write(f"Error: {message}\n")
        raise SystemExit(1)


class _Strings(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        given = [part for part in str(values).split(",") if part]
        seen = getattr(namespace, self.dest)
        setattr(namespace, self.dest, given if seen is self.default else seen + given)


def _as_go_writes(value: object, seconds: bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(str, value))}]"
    if isinstance(value, float):
        return format_duration(value) if seconds else f"{value:g}"
    return "" if value is None else str(value)


def _boolean(text: str) -> bool:
    if text.lower() in ("true", "t", "1"):
        return True
    if text.lower() in ("false", "f", "0"):
        return False
    raise argparse.ArgumentTypeError(f'invalid boolean value "{text}"')


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Seconds of a Go duration: `300ms`, `1.5h`, `2h45m`; a bare `0` is allowed. Raises ValueError."""
    rest, sign = text, 1.0
    if rest[:1] in "+-":
        sign, rest = (-1.0 if rest[:1] == "-" else 1.0), rest[1:]
    if rest == "0":
        return 0.0
    total = 0.0
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        unit = next((u for u in ("ns", "us", "µs", "ms", "s", "m", "h") if rest[digits:].startswith(u)), "")
        if not digits or not unit:
            raise ValueError(f'time: invalid duration "{text}"')
        total += float(rest[:digits]) * _UNITS[unit]
        rest = rest[digits + len(unit) :]
    if not total and text.strip("+-0.nuµmsh"):
        raise ValueError(f'time: invalid duration "{text}"')
    return sign * total


def format_duration(seconds: float) -> str:
    """As Go writes a duration: `1h0m0s`, `30s`, `300ms`, `1.5s`."""
    if not seconds:
        return "0s"
    if abs(seconds) < 1:
        unit, name = (1e-3, "ms") if abs(seconds) >= 1e-3 else (1e-6, "µs")
        return f"{seconds / unit:.9g}{name}"
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    hours, minutes = int(seconds // 3600), int(seconds // 60 % 60)
    rest = f"{round(seconds % 60, 9):.12g}s"
    return sign + (f"{hours}h{minutes}m{rest}" if hours else f"{minutes}m{rest}" if minutes else rest)


class KlogFormatter(logging.Formatter):
    """`I0131 09:00:00.000000   12345 replica_set.go:1] message`, as klog writes it."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created)  # noqa: DTZ006  klog prints local time
        level = {"WARNING": "W", "ERROR": "E", "CRITICAL": "F"}.get(record.levelname, "I")
        head = f"{level}{when:%m%d %H:%M:%S.%f} {record.process:>7} {record.filename}:{record.lineno}]"
        text = f"{head} {record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def setup_logging(verbosity: int = 0) -> None:
    """Log to stderr in klog's format. `-v=4` and above shows debug lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(KlogFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbosity >= 4 else logging.INFO)
    for noisy in ("asyncio", "uvicorn", "uvicorn.error", "aiohttp", "grpc"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def run_until_signal(main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run `main(stop)`; SIGTERM or SIGINT sets `stop`, and `main` is expected to end then.

    Returns the process's exit status: 0 after a clean end, 1 when `main` raised (logged, one traceback; an address that
    cannot be bound, one sentence).
    """

    async def body() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        trace.follow()
        await main(stop)

    try:
        asyncio.run(body())
    except CannotListen as error:
        sys.stderr.write(f"Error: {error.strerror}\n")
        return 1
    except Exception:
        logging.getLogger("component").critical("component failed", exc_info=True)
        return 1
    return 0


def many_files() -> None:
    """As many open files as the system lets us have, as Go's runtime takes them: a shell's soft limit of 1,024 ends an
    API server at its thousandth client."""
    try:
        import resource
    except ImportError:  # no such limits on this system
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # macOS says that there is no limit and does not mean it
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


STACK = 112 << 20
"""Bytes: less than the 128 MiB that Linux keeps free below a process's stack."""
LEVELS = 60_000
"""Calls within one another; the most greedy ones take a third of STACK."""


def deep_stack() -> None:
    """Let this process go as deep into nested objects as Go does, 10,000 levels, each of which takes some calls: as far
    as the system allows the stack to grow. Memory is taken when somebody goes there. Threads that begin later have
    room for it too. Where it is not allowed, what is nested too deep is refused earlier."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    room = STACK if hard == resource.RLIM_INFINITY else min(STACK, hard)
    if soft != resource.RLIM_INFINITY and soft < room:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_STACK, (room, hard))
    soft = resource.getrlimit(resource.RLIMIT_STACK)[0]
    if soft == resource.RLIM_INFINITY or soft >= STACK:
        sys.setrecursionlimit(max(sys.getrecursionlimit(), LEVELS))
        threading.stack_size(STACK // 2)


def lean_tls() -> None:
    """Give each TLS connection of asyncio a read buffer of 8 KiB, half a TLS record, in the place of 256 KiB.

    The controller manager holds eighty watches, and the API server the other ends: that is 40 MB of buffers that
    nothing ever fills. The size is a class attribute of asyncio's own protocol; where a later Python has none, nothing
    happens.
    """
    from asyncio import sslproto

    protocol = getattr(sslproto, "SSLProtocol", None)
    if hasattr(protocol, "max_size"):
        protocol.max_size = 8 * 1024  # type: ignore[union-attr]


def host_name() -> str:
    """The machine's name. The masters of a cluster on one machine have names of their own, as several machines would
    (`WORKSHOP_HOST`); an identity in an election begins with it."""
    return os.environ.get("WORKSHOP_HOST") or socket.gethostname()


def inherited_sockets() -> list[int]:
    """File descriptors handed over by the starter, by systemd's protocol (`LISTEN_FDS`, from 3 up).

    The supervisor uses it where a component lives in a network namespace but must also be reached from
    the host's network: the socket was opened there before.
    """
    if os.environ.get("LISTEN_PID") not in (None, "", str(os.getpid())):
        return []
    return list(range(3, 3 + int(os.environ.get("LISTEN_FDS") or "0")))
