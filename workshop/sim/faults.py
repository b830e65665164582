"""What breaks, and when: drawn by lot before a run begins, so that it is the same each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from workshop.sim.cluster import Simulation


class Fault(NamedTuple):
    """Seconds from the start; `lasts` until it is undone."""

    at: float
    kind: str
    lasts: float


#: Weights: most runs are about crashes and cuts.
KINDS = {
    "crash": 6,
    "crash-leader": 4,
    "crash-writing": 5,
    "crash-all": 1,
    "freeze": 2,
    "isolate": 4,
    "isolate-leader": 4,
    "halves": 3,
    "thirds": 1,
    "one-way": 3,
    "bridge": 1,
    "lossy": 4,
    "slow": 3,
    "full-disk": 1,
    "corrupt": 1,
    "transfer": 2,
    "time-out": 2,
}


def schedule(simulation: Simulation, seconds: float) -> list[Fault]:
    """The faults of a run of so many seconds."""
    random = simulation.random
    faults = []
    at = 0.7 + random.random() / 2
    while at < seconds:
        kind = random.choices(list(KINDS), list(KINDS.values()))[0]
        faults.append(Fault(at, kind, 0.2 + random.random() * 1.3))
        at += random.random() * 0.8
    return faults


def begin(simulation: Simulation, fault: Fault) -> str:
    """Let it happen; in words what did."""
    random = simulation.random
    running = [member for member in simulation.running() if not member.frozen]
    if not running:
        return "nobody is left to break"
    everybody = sorted(simulation.members)
    leader = simulation.leader()
    one = random.choice(running)
    if fault.kind.endswith("-leader") and leader is not None:
        one = simulation.members[leader]
    network = simulation.network
    others = [id for id in everybody if id != one.id]
    match fault.kind:
        case "crash" | "crash-leader":
            simulation.crash(one.id)
            simulation.later(fault.lasts, "restart", one.id)
        case "crash-writing":
            one.disk.crash_after = random.randrange(6)
        case "crash-all":
            for member in running:
                simulation.crash(member.id)
                simulation.later(fault.lasts * random.random(), "restart", member.id)
        case "freeze":
            one.frozen = True
            simulation.later(fault.lasts, "thaw", one.id)
        case "isolate" | "isolate-leader":
            network.isolate(one.id, others)
        case "halves":
            random.shuffle(everybody)
            cut = len(everybody) // 2
            network.partition([everybody[:cut], everybody[cut:]])
        case "thirds":
            random.shuffle(everybody)
            network.partition([everybody[start::3] for start in range(3)])
        case "one-way" if others:
            network.cut_one_way(one.id, random.choice(others))
        case "bridge" if len(others) > 1:
            # Two sides that hear each other only over one member that hears both.
            cut = len(others) // 2
            network.partition([[*others[:cut], one.id], [*others[cut:], one.id]])
        case "lossy":
            network.loss, network.duplication = random.random() * 0.3, random.random() * 0.3
        case "slow":
            network.delay, network.spread = 0.01 * random.random(), 0.3 * random.random()
        case "full-disk":
            one.disk.full = random.randrange(2000)
            simulation.later(fault.lasts, "make-room", one.id)
        case "corrupt":
            simulation.crash(one.id)
            simulation.corrupt(one.id)
            simulation.later(fault.lasts, "restart", one.id)
        case "transfer":
            one.replica.raft.transfer(random.choice(everybody))
            simulation.work(one)
        case "time-out":
            simulation.time_out(one.id)
    return f"{fault.kind} {one.id}"
