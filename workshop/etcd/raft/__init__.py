"""Consensus: several members agree on one log. Pure: no clock, no disk, no network, no randomness of its own.

Source: Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm" (extended version), and Ongaro's
dissertation. Upstream: `go.etcd.io/raft/v3`; the shape (tick, step, propose, ready, advance) is its.

Read in this order, five minutes each:
- `log.py`: the log and its marks.
- `quorum.py`: who counts, and what a majority of them means.
- `messages.py`: what members say to each other, and what is to be done.
- `election.py`: votes, and the rule by which they are granted; PreVote and CheckQuorum.
- `replication.py`: appending, the rule of commitment, snapshots for who is far behind; `progress.py`: pace.
- `reads.py`: linearizable reads without a log entry. `transfer.py`: handing leadership over.
- `core.py`: the member that these rules make; changes of membership.

Left out: joint consensus (members change one at a time, as etcd does it).
"""

from workshop.etcd.raft.core import Options, Raft, Rules
from workshop.etcd.raft.log import Entry, Log
from workshop.etcd.raft.messages import CANDIDATE, FOLLOWER, LEADER, PRE_CANDIDATE, HardState, Message, Ready
from workshop.etcd.raft.quorum import Configuration
from workshop.etcd.raft.replication import LostEntries

__all__ = [
    "CANDIDATE",
    "FOLLOWER",
    "LEADER",
    "PRE_CANDIDATE",
    "Configuration",
    "Entry",
    "HardState",
    "Log",
    "LostEntries",
    "Message",
    "Options",
    "Raft",
    "Ready",
    "Rules",
]
