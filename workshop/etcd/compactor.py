"""Forgetting old revisions: by the clock (`--auto-compaction-mode=periodic`) or by count (`revision`), and in slices.

Upstream: `server/etcdserver/api/v3compactor`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from workshop.clock import Clock
from workshop.component import parse_duration
from workshop.etcd import errors, state
from workshop.etcd.mvcc.store import Store
from workshop.etcd.node import Node
from workshop.wire import etcd_pb2 as pb

log = logging.getLogger("etcd")

#: Versions that one slice takes away: a millisecond if they lie far apart, and 20 where the machine has twenty others
#: to serve.
SLICE = 64
#: Seconds between two looks in mode `revision`.
REVISION_INTERVAL = 300.0


def parse_retention(mode: str, text: str) -> float:
    """Seconds (`periodic`; a bare number is hours) or revisions (`revision`); 0 is off. Raises ValueError."""
    if mode not in ("periodic", "revision"):
        raise ValueError(f"unsupported compaction mode {mode}")
    if mode == "revision" or text == "0":
        return float(int(text))
    return int(text) * 3600.0 if text.isdigit() else parse_duration(text)


class Scrubber:
    """Takes away what a compaction made superfluous, a slice at a time between other work."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wanted = asyncio.Event()
        self._clean = asyncio.Event()

    def wake(self) -> None:
        """The store was compacted, or is new."""
        self._clean.clear()
        self._wanted.set()

    async def clean(self) -> None:
        """Return when nothing is left to be taken away."""
        await self._clean.wait()

    async def run(self) -> None:
        """For ever."""
        self.wake()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._store.littered:
                self._store.scrub(SLICE)
                await asyncio.sleep(0)
            self._clean.set()


async def compact_periodically(node: Node, clock: Clock, mode: str, retention: str) -> None:
    """Compact for ever, as the mode says; never returns."""
    keep = parse_retention(mode, retention)
    if not keep:
        await clock.sleep(1e9)
        return
    # Periodic: a short retention is sampled ten times, a long one every six minutes at most.
    interval = REVISION_INTERVAL if mode == "revision" else min(keep, 3600.0) / 10
    samples: deque[int] = deque(maxlen=max(int(keep / interval), 1) if mode == "periodic" else 1)
    while True:
        await clock.sleep(interval)
        revision = node.machine.store.revision
        if mode == "revision":
            target = revision - int(keep)
        else:
            target = samples[0] if len(samples) == samples.maxlen else 0
            samples.append(revision)
        if target > node.machine.store.compacted:
            try:
                await node.propose(state.COMPACT, pb.CompactionRequest(revision=target))
            except errors.EtcdError as refused:
                log.warning("auto-compaction of revision %d: %s", target, refused)
