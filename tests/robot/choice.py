"""Which labs the robot goes through in CI: those that a change touches, and two others."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from .desk import ROOT

OTHERS = 2


def touched(labs: Sequence[str], changed: Iterable[str]) -> list[str]:
    """PURE: stems of the labs to run. A change of what all labs stand on touches none in particular."""
    names = [Path(path) for path in changed]
    mine = [lab for lab in labs if any(_of(lab, path) for path in names)]
    # the others change with what is changed, so that in time each has its turn
    rest = [lab for lab in labs if lab not in mine]
    start = sum(map(len, map(str, names))) % len(rest) if rest else 0
    return sorted([*mine, *(rest[start:] + rest[:start])[:OTHERS]])


def _of(lab: str, path: Path) -> bool:
    """`labs/01-control-loop.md` and `workshop/lessons/control_loop.py` are of lab 01-control-loop."""
    return path.stem == lab or (path.parts[:2] == ("workshop", "lessons") and path.stem == lab[3:].replace("-", "_"))


def changed() -> list[str]:
    """Files that differ from the main branch or, on it, from the commit before. None where there is no git."""
    for base in ("origin/main...", "HEAD~1"):
        done = subprocess.run(
            ["git", "diff", "--name-only", base], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.split()
    return []
