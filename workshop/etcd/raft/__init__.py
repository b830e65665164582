"""Consensus: several members agree on one log. Pure: no clock, no disk, no network, no randomness of its own.

Source: Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm" (extended version).
Upstream: `go.etcd.io/raft/v3`; the shape (tick, step, propose, ready, advance) is its.

- `log.py`: the log and its marks.
- `core.py`: the roles, elections, replication, the rule of commitment, linearizable reads.

Left out so far: PreVote, changes of membership, sending snapshots to members that are far behind.
"""

from workshop.etcd.raft.core import LEADER, HardState, Message, Raft, Ready
from workshop.etcd.raft.log import Entry, Log

__all__ = ["LEADER", "Entry", "HardState", "Log", "Message", "Raft", "Ready"]
