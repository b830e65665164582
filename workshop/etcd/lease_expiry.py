"""The leader proposes the revocation of leases that ran out. Upstream: `server/lease/lessor.go` (`runLoop`)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from workshop.clock import Clock
from workshop.etcd import errors, state
from workshop.etcd.auth.store import MEMBER
from workshop.etcd.node import Node
from workshop.wire import etcd_pb2 as pb


async def expire_leases(node: Node, clock: Clock) -> None:
    """Propose the revocation of leases that ran out. Sleeps until one may have, or a new one was granted."""
    while True:
        node.lease_granted.clear()
        now = clock.monotonic()
        for id in node.machine.lessor.expired(now):
            revoke = node.propose(state.LEASE_REVOKE, pb.LeaseRevokeRequest(ID=id), who=MEMBER)
            revoke.add_done_callback(partial(_revoked, node, id))
        wait = max(node.machine.lessor.next_expiry() - now, 0.01)
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(node.lease_granted.wait())]
        if wait < float("inf"):
            waits.append(asyncio.ensure_future(clock.sleep(wait)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()


def _revoked(node: Node, id: int, future: asyncio.Future[Any]) -> None:
    if future.cancelled() or future.exception() is None or isinstance(future.exception(), errors.LeaseNotFound):
        return  # or revoked by a client at the same moment: the aim is reached
    node.machine.lessor.retry(id)
    node.lease_granted.set()
