"""Members of the consensus core wired together by hand: each message is delivered, held back or lost as a test wants.

wire = Wire(3)
wire.elect(1)                      # all messages flow until nothing is left to say
wire.cut(2)                        # 2 hears and says nothing
wire.members[1].propose([b"x"])
wire.settle()
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from workshop.etcd.raft import LEADER, Configuration, Entry, HardState, Log, Message, Options, Raft

#: The paper's Raft, without what came later.
PAPER = Options(pre_vote=False, check_quorum=False)


def log_of(terms: Iterable[int]) -> Log:
    """A log on disk whose entries have these terms: `log_of([1, 1, 4])`."""
    log = Log()
    log.append([Entry(term, index, b"%d.%d" % (term, index)) for index, term in enumerate(terms, 1)])
    log.stable = log.last
    return log


def member(
    id: int = 1, size: int = 3, terms: Iterable[int] = (), state: HardState | None = None, options: Options = PAPER
) -> Raft:
    """Member `id` of a cluster of `size`."""
    voters = Configuration(frozenset(range(1, size + 1)))
    return Raft(id, voters, Random(id), log_of(terms), state or HardState(), options)


def terms(raft: Raft) -> list[int]:
    return [entry.term for entry in raft.log.between(raft.log.first, raft.log.last)]


class Wire:
    """`disk`: what each member has written. `waiting`: messages that were sent and neither delivered nor lost."""

    def __init__(self, size: int, logs: dict[int, Iterable[int]] | None = None, options: Options = PAPER) -> None:
        self.size, self.options = size, options
        self.members = {
            id: member(id, size, (logs or {}).get(id, ()), HardState(max([0, *(logs or {}).get(id, ())])), options)
            for id in range(1, size + 1)
        }
        self.applied: dict[int, list[bytes]] = {id: [] for id in self.members}
        self.disk: dict[int, tuple[HardState, Log]] = {id: (m.saved, m.log) for id, m in self.members.items()}
        self.waiting: list[Message] = []
        self.told: list[str] = []
        self._cut: set[int] = set()

    def cut(self, *ids: int) -> None:
        self._cut = set(ids)

    def work(self, id: int) -> list[Message]:
        """Do what member `id` has to do; the messages that it sends."""
        raft, sent = self.members[id], []
        while ready := raft.ready():
            self.applied[id] += [entry.data for entry in ready.committed if entry.data]
            sent += [*ready.at_once, *ready.messages, *ready.notices]
            raft.advance(ready)
        return sent

    def collect(self) -> list[Message]:
        """Let all members work; what waits now."""
        for id in self.members:
            self.waiting += self.work(id)
        return self.waiting

    def deliver(self, message: Message) -> None:
        self.waiting.remove(message)
        self.members[message.to].step(message)
        self.waiting += self.work(message.to)

    def settle(self) -> None:
        """Deliver everything until nobody says anything; what members that are cut off say and hear is lost."""
        while self.collect():
            message = self.waiting[0]
            if self._cut & {message.sender, message.to}:
                self.waiting.remove(message)
            else:
                self.deliver(message)

    def elect(self, id: int) -> Raft:
        self.members[id].campaign()
        self.settle()
        assert self.members[id].role == LEADER, self.members[id].role
        return self.members[id]

    def restart(self, id: int) -> Raft:
        """The member comes back with what it had written."""
        old = self.members[id]
        log = Log()
        log.append(old.log.between(1, old.log.stable))
        log.stable = log.last
        self.waiting = [m for m in self.waiting if m.sender != id]
        self.members[id] = Raft(id, old.configuration, Random(id), log, old.saved, old.options)
        return self.members[id]

    # Telling

    def tell(self, text: str) -> None:
        self.told.append(text)

    def show(self, names: dict[int, str] | None = None) -> None:
        """The logs as the paper draws them: the term of each entry; committed ones in brackets."""
        for id, raft in self.members.items():
            entries = raft.log.between(1, raft.log.last)
            boxes = [f"[{e.term}]" if e.index <= raft.log.committed else f" {e.term} " for e in entries]
            role = raft.role if raft.role != "follower" else ""
            name = (names or {}).get(id, f"S{id}")
            self.tell(f"    {name:6} term {raft.term}  {''.join(boxes):42} {role}".rstrip())
