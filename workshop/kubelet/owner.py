"""Who we may be, and whom files may belong to: in mode userns there is one user only."""

from __future__ import annotations

import os
from pathlib import Path


def may_be_anyone() -> bool:
    """Whether a process of ours may become any user, and give files to any: as root, where more users than one are
    mapped."""
    if os.geteuid():
        return False
    try:
        lines = Path("/proc/self/uid_map").read_text().splitlines()
    except OSError:
        return True
    return sum(int(line.split()[2]) for line in lines) > 1


def give(target: str | int, group: int | None) -> bool:
    """Give a file (a path or a descriptor) to a pod's fsGroup. False where that is not possible, or not wanted."""
    if group is None or not may_be_anyone():
        return False
    os.chown(target, -1, group)
    return True
