"""`workshop lab`, `instructor`, `join` and `leave`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import sys

from workshop.cluster.layout import ClusterError

from . import progress
from .instructor import reporter


def instructor(arguments: argparse.Namespace) -> int:
    """Serve the instructor's board until interrupted."""
    from .instructor.server import Instructor

    host, _, port = arguments.address.rpartition(":")
    if not host or not port.isdigit():
        raise ClusterError(f"{arguments.address!r} is no address: say HOST:PORT, such as 0.0.0.0:8900")
    token = arguments.token or os.environ.get("WORKSHOP_BOARD_TOKEN") or secrets.token_urlsafe(16)
    room = arguments.learners_token or os.environ.get("WORKSHOP_INSTRUCTOR_TOKEN") or secrets.token_urlsafe(9)
    if min(len(token), len(room)) < 8:
        raise ClusterError("a token has 8 letters at least")
    prefix = arguments.prefix or os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "")
    app = Instructor(token, room, prefix)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(app, host.strip("[]"), int(port)))
    return 0


async def _serve(app: object, host: str, port: int) -> None:
    from .instructor.server import Instructor, run

    assert isinstance(app, Instructor)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def say(bound: int) -> None:
        shown = "THIS-MACHINE" if host in ("0.0.0.0", "::") else host
        print(f"the board:   http://{shown}:{bound}{app.prefix}/?token={app.token}")
        print(f"learners:    workshop join http://{shown}:{bound}{app.prefix} --token {app.learners}")
        if host not in ("127.0.0.1", "::1", "localhost"):
            print("It listens beyond this machine, without TLS: for a network that you trust.")
        sys.stdout.flush()

    try:
        await run(app, host, port, stop, say)
    except OSError as error:
        raise ClusterError(f"{error.strerror or error}; choose another by --address") from error


def lab(arguments: argparse.Namespace) -> int:
    """A folder with the labs, and JupyterLab in it; in a checkout `make lab` does the same without a copy."""
    from pathlib import Path

    from . import home

    labs = home.source()
    if labs is None:
        raise ClusterError("this installation has no labs: install the wheel, or run from a checkout of the workshop")
    target = Path(arguments.directory).resolve()
    copied = home.fill(labs, target)
    print(f"{target}: {', '.join(copied)}" if copied else f"{target} has every lab already")
    if arguments.copy:
        return 0
    try:
        import jupyterlab.labapp
    except ImportError:
        raise ClusterError("JupyterLab is not installed in this environment: pip install jupyterlab") from None
    sys.stdout.flush()
    os.chdir(target)
    subprocess.Popen([sys.executable, "-m", "workshop.lessons.warm"], stdin=subprocess.DEVNULL)
    root = ["--allow-root"] if os.geteuid() == 0 else []
    jupyterlab.labapp.main(["--ServerApp.ip=127.0.0.1", *root, home.INDEX])
    return 0


def join(arguments: argparse.Namespace) -> int:
    """From now on the labs tell that board where this learner is."""
    token = arguments.token or os.environ.get("WORKSHOP_INSTRUCTOR_TOKEN", "")
    if not token:
        raise ClusterError("the room's token is missing: workshop join URL --token TOKEN")
    made = reporter.join(arguments.url, token, arguments.learner or progress.learner())
    print(
        f"{made.name} has joined {made.url}: labs tell it which section you are in and how checks went, nothing else."
    )
    print("`workshop leave` ends that.")
    return 0


def leave(_: argparse.Namespace) -> int:
    print("left: nothing is told any more" if reporter.leave() else "no room had been joined")
    return 0
