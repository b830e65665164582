"""What members say to each other, what must survive a crash, and what the core wants done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from workshop.etcd.raft.log import Entry
from workshop.etcd.raft.quorum import Configuration

FOLLOWER, PRE_CANDIDATE, CANDIDATE, LEADER = "follower", "pre-candidate", "candidate", "leader"

#: Messages that a leader may send while its own disk still works: they promise nothing about that disk.
BEFORE_DISK = frozenset({"append", "heartbeat", "snapshot", "timeout-now", "read-index-reply"})
#: Messages by which a leader shows that it leads; nobody else sends them in its term.
OF_LEADER = frozenset({"append", "heartbeat", "snapshot"})


class HardState(NamedTuple):
    """What must survive a crash beside the log. `vote` 0: nobody yet in this term."""

    term: int = 0
    vote: int = 0
    commit: int = 0


class Message(NamedTuple):
    """One message. What its fields mean depends on its kind:

    | kind | fields |
    |---|---|
    | pre-vote, vote | `index`, `log_term`: the candidate's last entry; `context` 1: the leader itself asked for it |
    | pre-vote-reply, vote-reply | `reject` |
    | append | `index`, `log_term`: the entry before `entries`; `commit`; `context` 1: nothing to answer if they fit |
    | append-reply | `index`: the last entry that agrees; with `reject` the one that did not, and a `hint` |
    | heartbeat, heartbeat-reply | `commit`; `context`: the number of the round |
    | snapshot | `index`, `log_term`: what it replaces; `configuration`; `payload`: the state, opaque to the core |
    | propose | `entries` for the leader to append (their terms and indexes are not yet known) |
    | read-index, read-index-reply | `context`: the request; `index`: serve the read once that is applied |
    | transfer | `context`: who shall lead |
    | timeout-now | campaign at once |
    """

    kind: str
    sender: int
    to: int
    term: int
    index: int = 0  # type: ignore[assignment]  # upstream's name; nobody wants tuple.index
    log_term: int = 0
    entries: tuple[Entry, ...] = ()
    commit: int = 0
    reject: bool = False
    hint: int = 0
    context: int = 0
    configuration: Configuration | None = None
    payload: Any = None


class Ready(NamedTuple):
    """Work for the one who drives the core, in the order of doing it.

    `at_once` may be sent before the disk is done, `messages` only after, `notices` whenever it suits: they tell how far
    the leader has committed, which its next append says too. `snapshot` is a snapshot message that was
    accepted: its payload replaces the state machine. `reads`: (request, index): serve it once `index` is applied.
    """

    at_once: list[Message]
    snapshot: Message | None
    hard_state: HardState | None
    entries: list[Entry]
    messages: list[Message]
    committed: list[Entry]
    reads: list[tuple[int, int]]
    notices: Sequence[Message] = ()

    def __bool__(self) -> bool:
        return any(self)
