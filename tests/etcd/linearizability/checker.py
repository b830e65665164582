"""Is there an order of all operations that explains what everybody saw?

A history is what clients did and when: each operation has a moment of its call and one of its return, and it took
effect at some point in between. The history is linearizable if those points can be chosen so that every answer is
what a plain map would have given. (Herlihy and Wing, 1990.)

The search is that of Wing and Gong with Lowe's memory of what was tried, as in porcupine
(https://github.com/anishathalye/porcupine): take any operation that was called before the first open one returned,
try it next; where the search comes to a return whose operation was not taken yet, go back. Operations on different
keys cannot be told apart from those on different objects, and linearizability is local: each key is searched alone.

Whoever got no answer does not know whether his write happened: it may take effect at any time later, or never.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import NamedTuple


class Operation(NamedTuple):
    """`kind` get, put, delete or cas. `value` is what is put; `expected` what a cas wants to find (None: no key).

    `result`: of a get the value (None: no key), of a delete whether there was something, of a cas whether it was
    done, of a put nothing. An operation without an answer has `returned` infinity, and may have been done or not.
    """

    client: int
    kind: str
    key: str
    called: float
    returned: float
    value: str | None = None
    expected: str | None = None
    result: object = None
    revision: int = 0

    def __str__(self) -> str:
        what = {"put": f"put {self.value}", "cas": f"cas {self.expected} -> {self.value}"}.get(self.kind, self.kind)
        end = "no answer" if self.returned == inf else f"{self.returned:.4f} = {self.result}"
        return f"client {self.client:2} {self.called:9.4f} {self.key} {what} {end} (revision {self.revision})"


def step(state: str | None, op: Operation) -> tuple[bool, str | None]:
    """May `op` have found `state` and answered as it did? And the state after it."""
    known = op.returned != inf
    match op.kind:
        case "get":
            return not known or op.result == state, state
        case "put":
            return True, op.value
        case "delete":
            return not known or op.result == (state is not None), None
        case "cas":
            done = state == op.expected
            return not known or op.result == done, op.value if done else state
    raise ValueError(f"what is {op.kind}?")


@dataclass(eq=False)
class _Event:
    """A call or a return, in a list in the order of time."""

    op: Operation
    number: int
    match: _Event | None = None  # of a call: its return
    before: _Event | None = None
    after: _Event | None = None


def _events(history: list[Operation]) -> _Event:
    """The head of the list. At one and the same moment calls come before returns: they may overlap."""
    moments: list[tuple[float, int, _Event]] = []
    for number, op in enumerate(history):
        end = _Event(op, number)
        moments.append((op.called, 0, _Event(op, number, end)))
        moments.append((op.returned, 1, end))
    moments.sort(key=lambda moment: moment[:2])
    head = last = _Event(history[0], -1)
    for _, _, event in moments:
        last.after, event.before = event, last
        last = event
    return head


def _lift(call: _Event) -> None:
    """Take a call and its return out of the list."""
    for event in (call, call.match):
        assert event is not None and event.before is not None
        event.before.after = event.after
        if event.after is not None:
            event.after.before = event.before


def _put_back(call: _Event) -> None:
    for event in (call.match, call):
        assert event is not None and event.before is not None
        event.before.after = event
        if event.after is not None:
            event.after.before = event


def is_linearizable(history: list[Operation]) -> bool:
    """The search for one key, from an empty map."""
    if not history:
        return True
    head = _events(history)
    state: str | None = None
    taken, tried = 0, {(0, state)}
    path: list[tuple[_Event, str | None]] = []
    event = head.after
    while head.after is not None:
        assert event is not None
        if event.match is not None:
            possible, then = step(state, event.op)
            bits = taken | 1 << event.number
            if possible and (bits, then) not in tried:
                tried.add((bits, then))
                path.append((event, state))
                state, taken = then, bits
                _lift(event)
                event = head.after
            else:
                event = event.after
        else:
            if event.op.returned == inf:  # only calls without an answer are left: none of them need have happened
                return True
            if not path:
                return False
            call, state = path.pop()
            taken &= ~(1 << call.number)
            _put_back(call)
            event = call.after
    return True


def check(history: Iterable[Operation]) -> list[str]:
    """What is wrong with a history: keys without an explanation, revisions against the order of time."""
    by_key: dict[str, list[Operation]] = {}
    history = [op for op in history if op.kind != "get" or op.returned != inf]
    for op in history:
        by_key.setdefault(op.key, []).append(op)
    wrong = []
    for key, ops in sorted(by_key.items()):
        if not is_linearizable(ops):
            lines = "\n    ".join(map(str, _smallest(ops)))
            wrong.append(f"{key}: no order explains these operations\n    {lines}")
    return wrong + revisions_against_time(history)


def _smallest(history: list[Operation]) -> list[Operation]:
    """The shortest beginning of a history that has no explanation, and only its last operations."""
    ordered = sorted(history, key=lambda op: op.returned)
    low, high = 1, len(ordered)
    while low < high:
        middle = (low + high) // 2
        if is_linearizable(_until(ordered, middle)):
            low = middle + 1
        else:
            high = middle
    return sorted(_until(ordered, low), key=lambda op: op.called)[-20:]


def _until(ordered: list[Operation], size: int) -> list[Operation]:
    """What was known when the `size`-th answer came: later answers are not there yet."""
    end = ordered[size - 1].returned
    early = ordered[:size]
    return early + [op._replace(returned=inf) for op in ordered[size:] if op.called < end and op.kind != "get"]


def revisions_against_time(history: Iterable[Operation]) -> list[str]:
    """Every write has a revision of its own, and one that began after another's answer has a later one."""
    writes = [
        op for op in history if op.revision and op.kind != "get" and op.returned != inf and op.result is not False
    ]
    wrong, seen = [], dict[int, Operation]()
    for op in writes:
        if op.revision in seen:
            wrong.append(f"two writes have one revision:\n    {seen[op.revision]}\n    {op}")
        seen[op.revision] = op
    newest: Operation | None = None
    ended = sorted(writes, key=lambda op: op.returned)
    place = 0
    for op in sorted(writes, key=lambda op: op.called):
        while place < len(ended) and ended[place].returned < op.called:
            if newest is None or ended[place].revision > newest.revision:
                newest = ended[place]
            place += 1
        if newest is not None and op.revision <= newest.revision:
            wrong.append(f"a later write has an earlier revision:\n    {newest}\n    {op}")
    return wrong
