"""One leads, on a virtual clock: five minutes pass in milliseconds."""

import asyncio
from random import Random

import pytest

from tests.fake_api import FakeApi
from tests.virtual_clock import VirtualClock, settle
from workshop.client.leaderelection import LeaderElector, LeadershipLost, Timing, claim

LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kcm"


class Candidate:
    def __init__(self, api: FakeApi, clock: VirtualClock, name: str) -> None:
        self.leading = False
        self.elector = LeaderElector(
            api.client(), namespace="kube-system", name="kcm", identity=name, clock=clock, random=Random(name)
        )
        self.task = asyncio.ensure_future(self.elector.run(self._work))

    async def _work(self) -> None:
        self.leading = True
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.leading = False

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_one_leads_and_the_other_takes_over_at_once_when_the_lease_is_given_back() -> None:
    api, clock = FakeApi(), VirtualClock()
    a = Candidate(api, clock, "a")
    await settle()
    b = Candidate(api, clock, "b")
    await clock.advance(300)
    assert (a.leading, b.leading) == (True, False)
    await a.stop()
    assert api.objects[LEASE]["spec"]["holderIdentity"] == ""
    await clock.advance(3)
    assert b.leading
    assert api.objects[LEASE]["spec"]["leaseTransitions"] == 1
    await b.stop()


async def test_a_leader_that_vanishes_is_followed_after_its_lease_has_run_out() -> None:
    api, clock = FakeApi(), VirtualClock()
    a = Candidate(api, clock, "a")
    await settle()
    b = Candidate(api, clock, "b")
    await clock.advance(10)
    a.elector._release = settle  # type: ignore[method-assign, assignment]  # kill -9: nothing is given back
    await a.stop()
    await clock.advance(12)
    assert not b.leading
    await clock.advance(8)
    assert b.leading
    await b.stop()


async def test_a_leader_that_cannot_renew_gives_up_before_its_lease_runs_out() -> None:
    api, clock = FakeApi(), VirtualClock()
    a = Candidate(api, clock, "a")
    await clock.advance(5)
    assert a.leading
    api.down = True
    await clock.advance(12.1)
    assert not a.leading
    with pytest.raises(LeadershipLost):
        await a.task


async def test_a_leader_whose_lease_was_taken_ends() -> None:
    api, clock = FakeApi(), VirtualClock()
    a = Candidate(api, clock, "a")
    await clock.advance(5)
    lease = api.objects[LEASE]
    api.put(LEASE.rsplit("/", 1)[0], {**lease, "spec": {**lease["spec"], "holderIdentity": "b"}})
    await clock.advance(3)
    assert not a.leading
    with pytest.raises(LeadershipLost, match="taken by b"):
        await a.task


def test_a_renewal_moves_only_the_time() -> None:
    first = claim({}, "a", 1000.0, 15)
    renewed = claim(first, "a", 1002.0, 15)
    assert {k for k in renewed if renewed[k] != first[k]} == {"renewTime"}
    taken = claim(renewed, "b", 1020.0, 15)
    assert (taken["leaseTransitions"], taken["acquireTime"]) == (1, "1970-01-01T00:17:00.000000Z")


def test_timing_is_checked_as_upstream_does() -> None:
    with pytest.raises(ValueError, match="leaseDuration must be greater than renewDeadline"):
        Timing(10, 10, 2)
    with pytest.raises(ValueError, match=r"renewDeadline must be greater than retryPeriod\*JitterFactor"):
        Timing(15, 2.4, 2)
