"""Three members of etcd, ours beside Debian's: how soon they write, and how soon again when the leader was killed.

    python -m bench.members [--runs 11]

Medians, and all runs. Limits: 2 s from nothing to the first committed write; 1.5 election timeouts (1.5 s) from the
kill -9 of the leader to the next one. The client writes at the survivors in turn; the first tries get 300 ms each.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import grpc

from tests.etcd.members import MemberProcess, Members
from workshop.wire import etcd_pb2 as pb

LIMITS = {"nothing to first write, s": 2.0, "leader killed to next write, s": 1.5}
TRY = 0.3


async def write(members: list[MemberProcess], give_up: float = 30.0) -> None:
    """Return when a write is committed. The connections are kept, as a client's are."""
    options = [("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 50)]
    channels = [grpc.aio.insecure_channel(member.endpoint, options=options) for member in members]
    puts = [channel.unary_unary("/etcdserverpb.KV/Put") for channel in channels]
    data = pb.PutRequest(key=b"k", value=b"v").SerializeToString()
    end = time.perf_counter() + give_up
    patience = TRY
    try:
        while time.perf_counter() < end:
            patience *= 1.5  # on a busy machine a write may take longer than the first tries
            for put in puts:
                try:
                    await put(data, timeout=patience / 1.5, wait_for_ready=True)
                    return
                except grpc.RpcError:
                    continue
        raise SystemExit("nothing could be written")
    finally:
        for channel in channels:
            await channel.close()


async def once(kind: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        cluster = Members(Path(folder), 3, kind=kind)
        begun = time.perf_counter()
        try:
            cluster.start()
            await write(cluster.all)
            first = time.perf_counter() - begun
            await cluster.ready()
            await asyncio.sleep(1.0)  # heartbeats flow
            leader = await cluster.leader()
            survivors = [member for member in cluster.all if member is not leader]
            begun = time.perf_counter()
            leader.kill()
            await write(survivors)
            return dict(zip(LIMITS, (first, time.perf_counter() - begun), strict=True))
        finally:
            cluster.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=11)
    options = parser.parse_args()
    kinds = ["ours", *(["debian"] if shutil.which("etcd") else [])]
    runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    for _ in range(options.runs):
        for kind in kinds:
            runs[kind].append(asyncio.run(once(kind)))
    missed = 0
    for name, limit in LIMITS.items():
        for kind in kinds:
            values = sorted(run[name] for run in runs[kind])
            median = statistics.median(values)
            verdict = "" if kind != "ours" else "within the limit" if median <= limit else "MISSED"
            missed += verdict == "MISSED"
            print(f"{name:32} {kind:7} {median:6.2f}  (limit {limit})  {verdict}")
            print("    " + " ".join(f"{value:.2f}" for value in values))
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
