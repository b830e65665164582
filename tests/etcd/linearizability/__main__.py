"""Campaigns of faults against real members, each history checked.

python -m tests.etcd.linearizability --members 3 --runs 20 --seconds 30
python -m tests.etcd.linearizability --kind debian --members 3        the same against Debian's etcd
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from math import inf
from pathlib import Path

from tests.etcd.linearizability.checker import check
from tests.etcd.linearizability.recorder import Campaign, run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=["ours", "debian"], default="ours")
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--keys", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the first run; the next ones count on")
    parser.add_argument("--faults", default="kill,stop,partition", help="a list of these, with commas")
    networks = ["auto", "namespaces", "proxies"]
    parser.add_argument("--network", choices=networks, default="auto", help="namespaces where root allows")
    options = parser.parse_args()
    faults = [fault for fault in options.faults.split(",") if fault and (options.members > 1 or fault != "partition")]
    bad = 0
    for seed in range(options.seed, options.seed + options.runs):
        campaign = Campaign(
            members=options.members,
            clients=options.clients,
            keys=options.keys,
            seconds=options.seconds,
            faults=faults,
            seed=seed,
            kind=options.kind,
            network=options.network,
        )
        with tempfile.TemporaryDirectory() as folder:
            history = asyncio.run(run(campaign, Path(folder)))
        wrong = check(history)
        answered = sum(op.returned != inf for op in history)
        verdict = "NOT linearizable" if wrong else "linearizable"
        print(f"seed {seed}: {len(history)} operations, {answered} answered: {verdict}", flush=True)
        for problem in wrong:
            print(problem)
        bad += bool(wrong)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
