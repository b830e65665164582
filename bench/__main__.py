"""`python -m bench`: cold start to Ready, memory and processor time at rest of a cluster with two nodes.

Each figure stands beside its aim. The state directory is fresh, certificates are made, nothing runs before.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

from workshop.cluster.facade import Cluster

REST_SECONDS = 60
ROUNDS = 3


def cold_start() -> float:
    """Seconds that `workshop up --nodes 2` takes as a command, until all nodes are Ready."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "workshop", "up", "--nodes", "2"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="ws-bench-") as home:
        os.environ["WORKSHOP_HOME"] = home
        cluster = Cluster()
        times = []
        for number in range(ROUNDS):
            if number:
                cluster.down(purge=True)
            times.append(cold_start())
        try:
            mode = cluster.plan().mode
            print(f"mode {mode}")
            print(f"cold start to 2 nodes Ready   {min(times):6.2f} s      (at most 2.0, aim 1.0; {ROUNDS} rounds)")
            before = sum(row["cpu_seconds"] or 0 for row in cluster.ps())
            time.sleep(REST_SECONDS)
            rows = cluster.ps()
            used = sum(row["cpu_seconds"] or 0 for row in rows) - before
            memory = sum(row["memory"] or 0 for row in rows) / 1e6
            print(f"idle processor time           {used / REST_SECONDS * 100:6.2f} %      (at most 3)")
            print(f"memory, proportional          {memory:6.1f} MB     (at most 200, aim 100)")
            for row in rows:
                print(f"    {row['name']:26} {(row['memory'] or 0) / 1e6:6.1f} MB")
        finally:
            cluster.down(purge=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
