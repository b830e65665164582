"""Where the labs are, and a learner's own copy of them: for those who installed the wheel and have no checkout."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

INDEX = "index.ipynb"


def source() -> Path | None:
    """The labs of the checkout that we run from, or those that the wheel brought; None when there are neither."""
    places = (Path(__file__).resolve().parents[2] / "labs", Path(sys.prefix, "share", "workshop", "labs"))
    return next((place for place in places if (place / INDEX).exists()), None)


def fill(labs: Path, target: Path) -> list[str]:
    """Copy the notebooks that are not in `target` yet; what a learner has changed stays. Names of what was copied."""
    target.mkdir(parents=True, exist_ok=True)
    copied = []
    for path in sorted(labs.glob("*.ipynb")):
        if not (target / path.name).exists():
            shutil.copyfile(path, target / path.name)
            copied.append(path.name)
    return copied
