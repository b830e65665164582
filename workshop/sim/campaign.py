"""Many runs: a seed decides size, faults and clients of each."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from workshop.etcd.raft import Options, Rules
from workshop.sim import faults
from workshop.sim.cluster import Simulation
from workshop.sim.invariants import Violation
from workshop.sim.member import SimulatedMember

#: How many members a run begins with, and how often.
SIZES = {1: 2, 2: 1, 3: 12, 5: 4, 7: 1, 9: 1}
SECONDS = 4.0


class Outcome(NamedTuple):
    """`problem`: what was violated, or how the program broke; None: all is well."""

    seed: int
    problem: str | None
    transcript: list[str]
    writes: int


def simulation_of(seed: int, record: bool = False, rules: Rules | None = None) -> Simulation:
    random = Random(seed * 7919)
    members = random.choices(list(SIZES), list(SIZES.values()))[0]
    options = Options(election_ticks=5, lease_reads=random.random() < 0.2)
    return Simulation(members, seed, options=options, drift=0.03 * random.random(), record=record, rules=rules)


class QuietEnd:
    """Everything is repaired: the cluster must come to one state, and serve."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._asked_at, self._floor = -1.0, 0

    def check(self, seconds: float = 8.0) -> None:
        """`seconds` for each promise. Raises Violation."""
        simulation = self._simulation
        simulation.forget("fault", "heal", "client")
        simulation.heal()
        for member in simulation.members.values():
            member.disk.full = member.disk.crash_after = None
            member.frozen = False
            simulation.restart(member.id)
        if not self._enough():
            return  # too many disks were damaged: nothing is promised
        fail = simulation.invariants.fail
        if not simulation.run_until(self._writes, seconds):
            fail("progress", "nothing can be written, and nothing is broken")
        if not simulation.run_until(self._same, seconds):
            fail("progress", "members do not come to the same state")
        stores = [member.replica.machine.store for member in self._counted()]
        if len({store.hash() for store in stores if not store.compacted}) > 1:
            fail("state machine safety", "members have come to different states")

    def _counted(self) -> list[SimulatedMember]:
        """Members that the leader counts and that run."""
        leader = self._simulation.leader()
        if leader is None:
            return []
        configuration = self._simulation.members[leader].replica.raft.configuration
        return [member for member in self._simulation.running() if member.id in configuration.members]

    def _enough(self) -> bool:
        running = self._simulation.running()
        newest = max(running, key=lambda member: member.replica.applied, default=None)
        if newest is None:
            return False
        return newest.replica.raft.configuration.holds({member.id for member in running})

    def _writes(self) -> bool:
        """Has a write of now been acknowledged? Tried again while there is no leader."""
        simulation = self._simulation
        if simulation.now - self._asked_at > 0.5:
            self._asked_at, self._floor = simulation.now, simulation.invariants.acknowledged
            simulation.put(b"end", b"")
        return simulation.invariants.acknowledged > self._floor

    def _same(self) -> bool:
        """Has everybody applied everything, and every watch heard of it?"""
        simulation, counted = self._simulation, self._counted()
        leader = simulation.leader()
        if not counted or leader is None:
            return False
        simulation.clients.rewatch()
        for member in counted:
            simulation.clients.serve(member)
        last = simulation.members[leader].replica.raft.log.last
        return {m.replica.applied for m in counted} == {last} and simulation.clients.heard_everything()


def begin(simulation: Simulation, seconds: float, interval: float = 0.03) -> None:
    """Clients act from now on, and faults happen for so many seconds."""
    for fault in faults.schedule(simulation, seconds):
        simulation.later(fault.at, "fault", fault)
    simulation.later(0.5, "client", interval)


def run(seed: int, record: bool = False, seconds: float = SECONDS) -> Outcome:
    """One seed's run."""
    simulation = simulation_of(seed, record)
    problem = None
    try:
        begin(simulation, seconds)
        simulation.run(seconds)
        QuietEnd(simulation).check()
    except Violation as violation:
        problem = str(violation)
    except (AssertionError, LookupError, TypeError, ValueError, AttributeError) as error:
        problem = f"the program broke: {type(error).__name__}: {error}"
    return Outcome(seed, problem, simulation.transcript or [], simulation.invariants.acknowledged)
