"""ps, logs, stop, start, kill, pause, resume."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from workshop.cluster.cli.output import megabytes, show
from workshop.cluster.facade import Cluster
from workshop.cluster.layout import ClusterError
from workshop.cluster.leaders import leaders


def ps(arguments: argparse.Namespace) -> int:
    cluster = Cluster(arguments.name)
    rows = cluster.ps()
    running = {str(row["name"]) for row in rows if row["state"] == "running"}
    leading = leaders(cluster.plan(), cluster.layout, running)
    for row in rows:
        row["leader"] = leading.get(str(row["name"]))
    table = [[row["name"], row["pid"], row["state"], row["node"], _mark(row["leader"]), row["restarts"], row["since"],
              megabytes(row["memory"])] for row in rows]  # fmt: skip
    head = ["NAME", "PID", "STATE", "NODE", "LEADER", "RESTARTS", "SINCE", "MEMORY"]
    show(arguments.output, rows, head, table)
    return 0


def _mark(leader: bool | None) -> str | None:
    return None if leader is None else "yes" if leader else "no"


def logs(arguments: argparse.Namespace) -> int:
    cluster = Cluster(arguments.name)
    name = arguments.process
    if name not in ("supervisor", "zygote", "holder"):
        matching = cluster.matching(name)
        if len(matching) > 1:
            raise ClusterError(f"{name!r} is several processes: choose among {', '.join(matching)}")
        name = matching[0]
    path = cluster.layout.log(name)
    if not path.exists():
        raise ClusterError(f"{name} has logged nothing yet")
    _print_log(path, arguments.tail, arguments.follow)
    return 0


def _print_log(path: Path, tail: int, follow: bool) -> None:
    with open(path, "rb") as file:
        lines = file.readlines()
        sys.stdout.buffer.write(b"".join(lines[-tail:] if tail > 0 else [] if tail == 0 else lines))
        sys.stdout.flush()
        while follow:
            _wait_for_change(path)
            sys.stdout.buffer.write(file.read())
            sys.stdout.flush()


def _wait_for_change(path: Path) -> None:
    """Return when the file has been written to: inotify, and where it is missing a look four times a second."""
    import ctypes
    import time

    libc = ctypes.CDLL(None, use_errno=True)
    handle = libc.inotify_init1(os.O_CLOEXEC) if hasattr(libc, "inotify_init1") else -1
    if handle < 0 or libc.inotify_add_watch(handle, os.fsencode(path), 0x2) < 0:
        time.sleep(0.25)
    else:
        os.read(handle, 4096)
    if handle >= 0:
        os.close(handle)


def _act(arguments: argparse.Namespace, action: str) -> int:
    cluster = Cluster(arguments.name)
    names = cluster.matching(arguments.process)
    getattr(cluster, action)(arguments.process)
    past = {"stop": "stopped", "start": "started", "kill": "killed", "pause": "paused", "resume": "resumed"}[action]
    for name in names:
        print(f"{name} {past}")
    return 0


def stop(arguments: argparse.Namespace) -> int:
    return _act(arguments, "stop")


def start(arguments: argparse.Namespace) -> int:
    return _act(arguments, "start")


def kill(arguments: argparse.Namespace) -> int:
    return _act(arguments, "kill")


def pause(arguments: argparse.Namespace) -> int:
    return _act(arguments, "pause")


def resume(arguments: argparse.Namespace) -> int:
    return _act(arguments, "resume")
