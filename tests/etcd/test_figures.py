"""The paper's figures, played by the real core and told as text: `figures/figure_N.txt`.

`REWRITE_FIGURES=1 pytest tests/etcd/test_figures.py` writes them anew, to be read as a diff.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.etcd.wire import Wire, terms
from workshop.etcd.raft import LEADER

FOLDER = Path(__file__).parent / "figures"


def figure_4() -> list[str]:
    """Roles, and what leads from one to another."""
    wire = Wire(3)
    wire.tell("S1 hears nobody and stands for election:")
    wire.members[1].campaign()
    wire.show()
    wire.tell("nobody answers; it stands again, in a new term:")
    wire.waiting.clear()
    wire.members[1].campaign()
    wire.show()
    wire.tell("a majority votes for it:")
    wire.settle()
    wire.show()
    wire.tell("it is cut off, and S2 is elected in its place:")
    wire.cut(1)
    wire.elect(2)
    wire.show()
    wire.tell("it hears of the later term:")
    wire.cut()
    wire.members[2].tick()
    wire.settle()
    wire.show()
    return wire.told


def figure_6() -> list[str]:
    """Logs: the term in each entry, committed ones in brackets, each follower at its own pace."""
    leader = [1, 1, 1, 2, 3, 3, 3]
    wire = Wire(5, {1: leader, 2: leader[:5], 3: leader, 4: leader[:2], 5: leader[:6]})
    wire.tell("before:")
    wire.show()
    wire.cut(4)
    wire.elect(1)
    wire.tell("S1 is elected while S4 is away; its first entry commits all before it, with S2, S3 and S5:")
    wire.show()
    wire.cut()
    wire.members[1].tick()
    wire.settle()
    wire.tell("S4 is back; one heartbeat later:")
    wire.show()
    return wire.told


#: Who may be in which state when the leader of term 8 comes to power. (The paper's letters.)
FIGURE_7 = {
    "leader": [1, 1, 1, 4, 4, 5, 5, 6, 6, 6],
    "a": [1, 1, 1, 4, 4, 5, 5, 6, 6],
    "b": [1, 1, 1, 4],
    "c": [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    "d": [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    "e": [1, 1, 1, 4, 4, 4, 4],
    "f": [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
}


def figure_7() -> list[str]:
    """Six followers whose logs differ from a new leader's in every way; each comes to have the leader's log."""
    names = dict(enumerate(FIGURE_7, 1))
    wire = Wire(7, dict(enumerate(FIGURE_7.values(), 1)))
    for raft in wire.members.values():
        raft.term, raft.vote = 7, 0
    wire.show(names)
    wire.members[1].campaign()
    while wire.collect():
        message = wire.waiting[0]
        if message.kind in ("append", "append-reply", "vote-reply"):
            sender, to = names[message.sender], names[message.to]
            what = {
                "append": f"{len(message.entries)} entries after {message.index} (term {message.log_term})",
                "append-reply": f"{'no entry of that term at' if message.reject else 'agrees up to'} {message.index}"
                + (f"; try {message.hint} (term {message.log_term})" if message.reject else ""),
                "vote-reply": "no" if message.reject else "yes",
            }[message.kind]
            wire.tell(f"{sender:>6} -> {to:6} {message.kind}: {what}")
        wire.deliver(message)
    wire.show(names)
    assert len({tuple(terms(raft)) for raft in wire.members.values()}) == 1
    return wire.told


def figure_8(crashes: bool) -> list[str]:
    """Why an entry of an earlier term is not committed by counting."""
    wire = Wire(5, {1: [1, 2], 2: [1, 2], 3: [1], 4: [1], 5: [1]})
    for raft in wire.members.values():
        raft.term, raft.vote = 2, 1
    first, fifth = wire.members[1], wire.members[5]
    wire.tell("(a) S1 leads term 2; its entry 2 has come to S2 alone.")
    wire.show()

    wire.cut(1, 2)
    fifth.campaign()
    for message in [m for m in wire.collect() if m.to in (3, 4)]:
        wire.deliver(message)
    for reply in [m for m in wire.waiting if m.to == 5]:
        wire.deliver(reply)
    wire.waiting.clear()
    wire.tell("(b) S1 crashes. S3, S4 and S5 make S5 leader of term 3; it crashes before anybody has its entry 2.")
    wire.show()

    wire.cut(4, 5)
    first = wire.restart(1)
    first.campaign()
    wire.settle()  # S3 has voted in term 3 already
    first.campaign()
    while not (first.role == LEADER and first.progress[2].match == first.progress[3].match == 2):
        message = next(m for m in wire.collect() if not {m.sender, m.to} & {4, 5})
        if message.kind == "append":  # the entry of its own term is still on its way
            wire.waiting[wire.waiting.index(message)] = message = message._replace(
                entries=tuple(entry for entry in message.entries if entry.term < first.term)
            )
        wire.deliver(message)
    wire.waiting.clear()
    wire.tell("(c) S1 leads again, in term 4. Its entry 2 is on S1, S2 and S3, a majority; and not committed.")
    wire.show()
    assert terms(wire.members[3]) == [1, 2] and first.log.committed == 0

    if crashes:
        wire.cut(1)
        fifth = wire.restart(5)
        fifth.campaign()
        wire.settle()
        fifth.campaign()
        wire.settle()
        wire.tell("(d) S1 crashes. S2, S3 and S4 may make S5 leader, whose entry 2 takes the place of S1's.")
    else:
        wire.cut(4, 5)
        for _ in range(3):
            first.tick()
            wire.settle()
        wire.tell("(e) S1 does not crash: the entry of its own term comes to a majority, and commits entry 2 with it.")
        wire.show()
        wire.cut(1)
        fifth = wire.restart(5)
        for _ in range(3):
            fifth.campaign()
            wire.settle()
        wire.tell("    S5 cannot be elected any more, however often it tries.")
    wire.show()
    assert (fifth.role == LEADER) == crashes
    return wire.told


FIGURES: dict[str, Callable[[], list[str]]] = {
    "figure_4": figure_4,
    "figure_6": figure_6,
    "figure_7": figure_7,
    "figure_8_d": lambda: figure_8(crashes=True),
    "figure_8_e": lambda: figure_8(crashes=False),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_told_as_it_is_written(name: str) -> None:
    told = "\n".join(FIGURES[name]()) + "\n"
    path = FOLDER / f"{name}.txt"
    if os.environ.get("REWRITE_FIGURES"):
        path.write_text(told)
    assert told == path.read_text()
