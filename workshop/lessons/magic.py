"""`%kubectl get pods`, and `%%kubectl apply -f -` with the cell as standard input: the stock one, else the built-in."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import Any

PATIENCE = 60.0
"""Seconds after which a command that does not end is stopped: a cell must give the prompt back."""

current = ""
"""Name of the cluster that the latest lab opened."""


def run(arguments: list[str], given: str = "", name: str = "") -> tuple[int, str]:
    """Exit status, and all that it printed."""
    chosen = name or current or os.environ.get("WORKSHOP_CLUSTER", "")
    argv = [sys.executable, "-m", "workshop", "kubectl", *(["--name", chosen] if chosen else []), *arguments]
    try:
        done = subprocess.run(
            argv,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        return 124, f"{said}(stopped after {PATIENCE:.0f} s; follow a stream in a terminal)\n"
    return done.returncode, done.stdout


def kubectl(line: str, cell: str | None = None) -> None:
    """The magic. A failure is printed as kubectl prints it; the notebook goes on."""
    _, said = run(shlex.split(line), cell or "")
    print(said, end="")


def register(shell: Any) -> None:
    shell.register_magic_function(kubectl, magic_kind="line_cell", magic_name="kubectl")
