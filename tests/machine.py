"""What this machine is like at the moment."""

from __future__ import annotations

import os


def quiet() -> bool:
    """Whether a duration means anything: in the last minute nothing else wanted the processors."""
    return os.getloadavg()[0] <= (os.cpu_count() or 1)
