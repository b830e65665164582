"""How many seats a request takes: a list as many as its answer weighs, everything else one.

Upstream: `util/flowcontrol/request/list_work_estimator.go`.
"""

from __future__ import annotations

import math

BYTES_PER_SEAT = 100_000
MOST_FROM_CACHE = 1_000_000
"""A list from the watch cache is sent piece by piece; it never weighs more than this."""
MOST_SEATS = 10


def list_seats(objects: int, mean_bytes: int, limit: int, single: bool) -> int:
    """Seats of a list of up to `limit` (0: all) of `objects`, each of `mean_bytes`; `single` where one is named."""
    loaded = 1 if single else min(objects, limit or objects)
    return max(1, min(MOST_SEATS, math.ceil(min(loaded * mean_bytes, MOST_FROM_CACHE) / BYTES_PER_SEAT)))
