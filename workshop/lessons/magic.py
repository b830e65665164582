"""`%kubectl get pods`, and `%%kubectl apply -f -` with the cell as standard input: the stock one, else the built-in.

Beside it: what a fresh kernel says of `lab` before its first cell has run, and what is told after each cell.
"""

from __future__ import annotations

import functools
import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from workshop.cluster.cli import tools
from workshop.cluster.facade import Cluster

if TYPE_CHECKING:
    from .lab import Lab

PATIENCE = 60.0
"""Seconds after which a command that does not end is stopped: a cell must give the prompt back."""

current: Lab | None = None
"""The lab that this kernel opened last."""


@functools.cache
def _stock() -> str | None:
    return tools.find_kubectl()


def _command(cluster: str) -> tuple[list[str], dict[str, str]]:
    """What to run, and in which environment: the stock kubectl at once, for everything else our own command line."""
    program = _stock()
    if program is not None and cluster and Cluster(cluster).plan_or_none() is not None:
        return [program], {**os.environ, **tools.settings(Cluster(cluster))}
    path = os.pathsep.join(part for part in sys.path if part)
    named = ["--name", cluster] if cluster else []
    return [sys.executable, "-m", "workshop", "kubectl", *named], {**os.environ, "PYTHONPATH": path}


def run(arguments: list[str], given: str = "", name: str = "") -> tuple[int, str]:
    """Exit status, and all that it printed."""
    chosen = name or (current.cluster.name if current is not None else os.environ.get("WORKSHOP_CLUSTER", ""))
    argv, environment = _command(chosen)
    try:
        done = subprocess.run(
            [*argv, *arguments],
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        said = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        return 124, f"{said}(stopped after {PATIENCE:.0f} s; follow a stream in a terminal)\n"
    return done.returncode, done.stdout


_notices: set[str] = set()


def _noticed(said: str) -> str:
    """The small kubectl says each time that it is the small one; once a kernel is enough."""
    first, newline, rest = said.partition("\n")
    if not first.startswith("(no kubectl"):
        return said
    known = first in _notices
    _notices.add(first)
    return rest if known else first + newline + rest


def kubectl(line: str, cell: str | None = None) -> None:
    """The magic. A failure is printed as kubectl prints it; the notebook goes on."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        print(f"error: {error}: {line}")
        return
    _, said = run(words, cell or "")
    print(_noticed(said), end="")


def _new_kernel(shell: Any, kind: Any, error: Any, trace: Any, tb_offset: Any = None) -> None:
    """A NameError on `lab` means that the kernel is new; any other is shown as always."""
    if getattr(error, "name", None) == "lab":
        print("this kernel is new and does not know `lab` yet: run the first cell of this lab (it ends in open_lab()).")
        print("Nothing is lost: the cluster and your progress are where you left them.")
        return
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset)


def _after_cell(_result: Any = None) -> None:
    if current is not None:
        current.notice()


def opened(lab: Lab) -> None:
    """This kernel has opened `lab`; a kernel that was started without our configuration learns the magics now."""
    global current
    current = lab
    if "IPython" in sys.modules:
        from IPython import get_ipython

        shell = get_ipython()  # type: ignore[no-untyped-call, unused-ignore]
        if shell is not None:
            register(shell)


def register(shell: Any) -> None:
    """Once a kernel; a second time changes nothing."""
    shell.register_magic_function(kubectl, magic_kind="line_cell", magic_name="kubectl")
    shell.set_custom_exc((NameError,), _new_kernel)
    if _after_cell not in shell.events.callbacks["post_run_cell"]:
        shell.events.register("post_run_cell", _after_cell)
