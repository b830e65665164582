"""A cluster of etcd members in one thread, on virtual time, with a network and disks that fail by a seed.

The members are the real ones: raft core, write-ahead log, snapshots, state machine, leases and watches, the same code
that runs in `workshop.etcd`. Simulated are time, network and disk, and the clients. After each step the promises of
Raft and etcd are checked; a run is repeated exactly by its seed.

    python -m workshop.sim --seeds 10000           many runs; a failing one prints its transcript
    python -m workshop.sim --seed 4711 --verbose   one run, told step by step

    simulation = Simulation(members=3, seed=1)     by hand, for a lab: step, drop, delay, partition, crash, rewind, fork
    simulation.run(2.0)
    simulation.crash(simulation.leader())

- `cluster.py`: the simulation: events in the order of time, and what one may do to it by hand.
- `member.py`: one member, driven without threads. `network.py`, `disk.py`: what may go wrong below it.
- `clients.py`: who writes, reads, watches, holds leases, changes the membership. `faults.py`: what breaks when.
- `invariants.py`: what must be true after each step; `model.py`: a store so simple that it is right.
- `campaign.py`, `__main__.py`: many seeds, several processes.

Pure: no threads, sockets, clocks. Model: FoundationDB's simulation; https://github.com/etcd-io/raft testdata.
"""

from workshop.sim.cluster import Simulation
from workshop.sim.invariants import Violation

__all__ = ["Simulation", "Violation"]
