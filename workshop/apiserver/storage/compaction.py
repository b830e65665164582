"""Forgetting old revisions, once an interval, by whichever API server comes first.

`compact_rev_key` holds the revision compacted last; its version counts compactions. Each server remembers the
version it saw and the revision of that moment; who finds the version unchanged an interval later raises it and
compacts to what it remembered, so nothing younger than an interval is ever forgotten:

    server A    remembers (0, rev 10)      finds 0: raises to 1, compacts 10, remembers (1, rev 50)
    server B      remembers (0, rev 12)      finds 1: remembers (1, rev 52)

Upstream: `staging/src/k8s.io/apiserver/pkg/storage/etcd3/compact.go`.
"""

from __future__ import annotations

import logging
from typing import Protocol

from workshop.apiserver.storage.interface import Compacted, StorageError
from workshop.clock import Clock

KEY = "compact_rev_key"
log = logging.getLogger("compaction")


class Compactable(Protocol):
    """What the loop needs of storage beside `compact`."""

    async def claim_compaction(self, version: int, revision: int) -> tuple[bool, int, int]:
        """If `compact_rev_key` is at `version`, write `revision` to it. (claimed, version now, revision now)"""
        ...

    async def compact(self, revision: int) -> None: ...


async def compact_loop(storage: Compactable, interval: float, clock: Clock) -> None:
    """Compact once each `interval` seconds, for ever."""
    version = revision = 0
    while True:
        await clock.sleep(interval)
        try:
            version, revision = await compact_once(storage, version, revision)
        except StorageError as error:
            log.warning("etcd: endpoint compaction failed: %s", error)


async def compact_once(storage: Compactable, version: int, revision: int) -> tuple[int, int]:
    """One round; what to remember for the next."""
    claimed, version, now = await storage.claim_compaction(version, revision)
    if claimed and revision:
        try:
            await storage.compact(revision)
        except Compacted:
            log.info("etcd: revision %d had been compacted already", revision)
    return version, now
