"""First process of the container: JupyterLab for one learner, and the adoption of what loses its parent.

    start.py                            JupyterLab, with a token
    start.py jupyterhub-singleuser …    what a hub starts in its place, with the hub's own authentication

Puts the labs into the learner's home (a volume) where they are not yet, makes a token when none was given, prints the
address to open, and starts JupyterLab. As process 1 it inherits every process whose parent is killed in a lab; it
takes their exit statuses, so that none of them stays as a zombie. TERM goes on to JupyterLab; clusters end with the
container.
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
from pathlib import Path

from workshop.lessons import home

HOME = Path(os.environ.get("HOME", "/home/learner"))


def alone(more: list[str]) -> tuple[list[str], dict[str, str]]:
    """JupyterLab without a hub: its arguments and environment; says where it is."""
    # an empty JUPYTER_TOKEN would switch authentication off
    token = os.environ.get("JUPYTER_TOKEN") or secrets.token_urlsafe(24)
    environment = {**os.environ, "JUPYTER_TOKEN": token}
    outside = os.environ.get("OUTSIDE", "http://127.0.0.1:8888")
    print(f"\n    The labs: {outside}/lab/tree/labs/index.ipynb?token={token}\n", flush=True)
    root = ["--allow-root"] if os.geteuid() == 0 else []
    argv = ["jupyter", "lab", "--no-browser", "--ServerApp.ip=0.0.0.0", "--ServerApp.port=8888",
            "--ServerApp.port_retries=0", f"--ServerApp.root_dir={HOME}", *root, *more]  # fmt: skip
    return argv, environment


def main() -> int:
    """The exit status of what was started."""
    labs = home.source()
    if labs is not None:
        home.fill(labs, HOME / "labs")
    given = sys.argv[1:]
    argv, environment = (given, dict(os.environ)) if given and not given[0].startswith("-") else alone(given)
    child = os.posix_spawnp(argv[0], argv, environment)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _: os.kill(child, received))
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status) & 0xFF


if __name__ == "__main__":
    raise SystemExit(main())
