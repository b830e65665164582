"""Prints `requirements.lock`: everything that pyproject.toml asks for, directly or not, pinned to what pip chooses now.

    python tools/lock.py > requirements.lock

Nothing is installed: pip resolves and reports. Run it with the oldest Python that is to be served (Debian 12 has
3.11.2): what that can install the newer ones can, but not the other way round.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    result = subprocess.run([*pip, f"{ROOT}[test]"], stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode:
        return result.returncode
    chosen = [item["metadata"] for item in json.loads(result.stdout)["install"]]
    lines = sorted(f"{_canonical(meta['name'])}=={meta['version']}" for meta in chosen if meta["name"] != "workshop")
    print("# Made by `make lock`: everything that pyproject.toml asks for, pinned.", *lines, sep="\n")
    return 0


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
