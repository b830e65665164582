"""Many runs: a seed decides size, faults and clients of each."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from workshop.etcd.raft import Options, Rules
from workshop.sim.cluster import Simulation
from workshop.sim.invariants import Violation

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


def run(seed: int, record: bool = False, seconds: float = SECONDS) -> Outcome:
    """One seed's run."""
    simulation = simulation_of(seed, record)
    problem = None
    try:
        simulation.begin_campaign(seconds)
        simulation.run(seconds)
        simulation.quiet_end()
    except Violation as violation:
        problem = str(violation)
    except (AssertionError, LookupError, TypeError, ValueError, AttributeError) as error:
        problem = f"the program broke: {type(error).__name__}: {error}"
    return Outcome(seed, problem, simulation.transcript or [], simulation.invariants.acknowledged)


def replay(outcome: Outcome) -> Outcome:
    """The same run, told."""
    return run(outcome.seed, record=True)
