"""One of several instances works, the others wait. Upstream: `client-go/tools/leaderelection`.

The lock is a Lease: whoever's name stands in `spec.holderIdentity` leads, as long as it goes on renewing. Nobody
trusts anybody's clock: a candidate notes when *it* saw the record change last, and takes over `lease_duration`
after that. What a leader promises is to stop before then: if it cannot renew for `renew_deadline` it gives up,
and its process ends.

This is no fencing: a leader that was stopped for a minute and goes on does not know for a moment that it
leads no more. What it writes then meets resourceVersions that have moved.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from workshop.api.errors import ApiError
from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.clock import SYSTEM, Clock, rfc3339_micro, to_beat

from .rest import Client

log = logging.getLogger(__name__)

FIRST_RETRY = 0.05
"""Seconds to the second attempt when the server gave no lease to look at: a cluster that is just starting."""

LEASES = Resource("coordination.k8s.io", "v1", "Lease", "leases")


class LeadershipLost(Exception):
    """The lease could not be renewed in time, or was taken; the component must end."""


@dataclass(frozen=True)
class Timing:
    """Seconds. `lease_duration` > `renew_deadline` > `retry_period` × 1.2, as upstream insists."""

    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0

    def __post_init__(self) -> None:
        if self.lease_duration <= self.renew_deadline:
            raise ValueError("leaseDuration must be greater than renewDeadline")
        if self.renew_deadline <= 1.2 * self.retry_period:
            raise ValueError("renewDeadline must be greater than retryPeriod*JitterFactor")


def claim(spec: dict[str, Any], identity: str, now: float, duration: float) -> dict[str, Any]:
    """The Lease's spec after `identity` has taken or renewed it.

    A new holder counts a transition and sets acquireTime; a renewal moves only renewTime.
    """
    holder = spec.get("holderIdentity") or ""
    mine = holder == identity
    transitions = int(spec.get("leaseTransitions") or 0)
    return {
        **spec,
        "holderIdentity": identity,
        "leaseDurationSeconds": int(duration),
        "acquireTime": spec.get("acquireTime") if mine else rfc3339_micro(now),
        "renewTime": rfc3339_micro(now),
        "leaseTransitions": transitions if mine or not spec else transitions + 1,
    }


class LeaderElector:
    """A candidate for one Lease. `identity` must differ between instances: upstream uses `HOSTNAME_UUID`."""

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        name: str,
        identity: str,
        timing: Timing | None = None,
        clock: Clock = SYSTEM,
        random: Random | None = None,
        on_new_leader: Callable[[str], None] | None = None,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self.identity = identity
        self._timing = timing if timing is not None else Timing()
        self._clock = clock
        self._random = random if random is not None else Random()
        self._on_new_leader = on_new_leader
        self._observed: Obj | None = None
        self._observed_at = 0.0
        self._reported = ""

    @property
    def leader(self) -> str:
        """Who led when we looked last; "" for nobody."""
        return str((self._observed or {}).get("spec", {}).get("holderIdentity") or "")

    def is_leader(self) -> bool:
        return self.leader == self.identity

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait until we lead, then run `work` until it ends, is cancelled, or leadership is lost.

        The lease is given back at the end, so that the next candidate need not wait for it to expire. Raises
        LeadershipLost.
        """
        await self._acquire()
        working = asyncio.ensure_future(work())
        renewing = asyncio.ensure_future(self._renew())
        try:
            await asyncio.wait([working, renewing], return_when=asyncio.FIRST_COMPLETED)
            if renewing.done():
                renewing.result()
            else:
                working.result()
        finally:
            for task in (working, renewing):
                task.cancel()
            await asyncio.gather(working, renewing, return_exceptions=True)
            await self._release()

    async def _acquire(self) -> None:
        log.info("attempting to acquire leader lease %s/%s...", self._namespace, self._name)
        wait = FIRST_RETRY
        while not await self._try():
            if self._observed is not None:
                wait = self._timing.retry_period  # somebody else leads: as often as upstream looks
            await self._clock.sleep(wait * (1 + 0.2 * self._random.random()))
            wait = min(2 * wait, self._timing.retry_period)
        log.info("successfully acquired lease %s/%s", self._namespace, self._name)

    async def _renew(self) -> None:
        """Ends only by raising LeadershipLost."""
        renewed = self._clock.monotonic()
        while True:
            await self._clock.sleep(to_beat(self._clock.now(), self._timing.retry_period))
            attempt = asyncio.ensure_future(self._try())
            left = renewed + self._timing.renew_deadline - self._clock.monotonic()
            deadline = asyncio.ensure_future(self._clock.sleep(max(0.0, left)))
            try:
                await asyncio.wait([attempt, deadline], return_when=asyncio.FIRST_COMPLETED)
                if attempt.done() and attempt.result():
                    renewed = self._clock.monotonic()
                elif deadline.done() or self._clock.monotonic() - renewed >= self._timing.renew_deadline:
                    raise LeadershipLost(f"failed to renew lease {self._namespace}/{self._name}: timed out")
                elif self.leader not in ("", self.identity):
                    raise LeadershipLost(f"lease {self._namespace}/{self._name} was taken by {self.leader}")
            finally:
                attempt.cancel()
                deadline.cancel()
                await asyncio.gather(attempt, deadline, return_exceptions=True)

    async def _try(self) -> bool:
        """One attempt to take or renew the lease. No answer, or a lost race, is a failed attempt."""
        try:
            return await self._try_once()
        except (ApiError, OSError) as error:
            log.debug("error retrieving or updating lock %s/%s: %s", self._namespace, self._name, error)
            return False

    async def _try_once(self) -> bool:
        now, duration = self._clock.now(), self._timing.lease_duration
        if self.is_leader() and not self._expired():
            # The everyday case takes one request: write what we know; if somebody else wrote, it is a conflict.
            try:
                assert self._observed is not None
                await self._write(
                    {**self._observed, "spec": claim(self._observed["spec"], self.identity, now, duration)}
                )
                return True
            except ApiError as error:
                if error.code not in (404, 409):
                    raise
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            metadata = {"name": self._name, "namespace": self._namespace}
            created = {"metadata": metadata, "spec": claim({}, self.identity, now, duration)}
            self._observe(await self._client.create(LEASES, created, self._namespace))
            return True
        self._observe(lease)
        if self.leader and not self.is_leader() and not self._expired():
            return False
        await self._write({**lease, "spec": claim(lease.get("spec") or {}, self.identity, now, duration)})
        return True

    async def _write(self, lease: Obj) -> None:
        self._observe(await self._client.update(LEASES, lease))

    async def _release(self) -> None:
        if not self.is_leader() or self._observed is None:
            return
        now = rfc3339_micro(self._clock.now())
        spec = {**self._observed["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            await self._write({**self._observed, "spec": spec | {"renewTime": now, "acquireTime": now}})
        except (ApiError, OSError) as error:
            log.info("failed to release lock: %s", error)

    def _observe(self, lease: Obj) -> None:
        """The moment counts only when the record has changed: an old record does not become fresh by being read."""
        if self._observed is None or lease.get("spec") != self._observed.get("spec"):
            self._observed_at = self._clock.monotonic()
        self._observed = lease
        if self.leader != self._reported:
            self._reported = self.leader
            log.info("new leader elected: %s", self.leader)
            if self._on_new_leader is not None:
                self._on_new_leader(self.leader)

    def _expired(self) -> bool:
        if self._observed is None:
            return True
        lasting = (self._observed.get("spec") or {}).get("leaseDurationSeconds") or self._timing.lease_duration
        return self._clock.monotonic() >= self._observed_at + float(lasting)
