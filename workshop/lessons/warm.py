"""Brings the cluster up that the learner will want next, while JupyterLab starts: `make lab` runs it in the background.

That is the lab where the learner was last, else the tour. Nothing is started when a lab's cluster runs already. What
goes wrong is not told here: the lab's first cell does the same, and says so.
"""

from __future__ import annotations

import os
import sys

from workshop.cluster import layout
from workshop.cluster.facade import Cluster

from .progress import HERE, Labs, Progress

FIRST = "tour"
NODES = 2


def latest(labs: Labs) -> str:
    """PURE: the lab in which the learner was last."""
    been = [(float(steps[HERE].get("since") or 0.0), lab) for lab, steps in labs.items() if HERE in steps]
    return max(been)[1] if been else FIRST


def main() -> int:
    if any(name.startswith("lab-") and Cluster(name).running() for name in layout.names()):
        return 0
    mode = os.environ.get("WORKSHOP_LAB_MODE") or None
    try:
        cluster = Cluster(f"lab-{latest(Progress().labs())}")
        known = cluster.plan_or_none() is not None
        cluster.up(wait=0) if known else cluster.up(nodes=NODES, mode=mode, lab=True, wait=0)
    except layout.ClusterError as error:
        sys.stderr.write(f"(the first cell of a lab will bring its cluster up: {error})\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
