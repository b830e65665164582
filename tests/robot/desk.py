"""`make lab` as a process, and where it listens."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests import jupyterlab

ROOT = jupyterlab.ROOT


class Desk(jupyterlab.Server):
    """JupyterLab by `make lab`, with a home of its own."""

    def __init__(self, home: Path) -> None:
        prefix = Path(sys.prefix)
        # JupyterLab saves what is open; the notebooks of the checkout stay as they are
        shutil.copytree(ROOT / "labs", home / "labs", ignore=shutil.ignore_patterns("*.md"))
        flags = " ".join(jupyterlab.flags())
        argv = ["make", "-s", "lab", f"VENV={prefix}", "READY=", f"LABS={home}/labs", f"LAB_FLAGS={flags}"]
        settings = {"WORKSHOP_HOME": str(home), "WORKSHOP_LAB_MODE": "plain", **jupyterlab.folders(home)}
        super().__init__(argv, settings)
