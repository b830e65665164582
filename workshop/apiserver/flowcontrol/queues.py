"""One priority level: its seats, its queues, and whose turn it is. Pure: time is handed in.

A flow is dealt a hand of queues by its hash, and its request joins the shortest of them. So a flow that floods the
server fills its own hand, and another flow has nearly always a queue that is not in it (shuffle sharding: with 64
queues and hands of 8, one flood spoils all queues of one other flow in 10 billion).

Whose turn it is: fair queuing. All queues that are not empty get the same service in seat-seconds, as if bit by bit.
`virtual` is the service that a never empty queue has got so far; each queue's `served` is at what virtual time its next
request begins; the one that would finish first goes first. How long a request takes is known only when it is over, so
a guess is charged at its begin and put right at its end.

    limit 1, queue A has 3 requests, B has 1          A1 runs, then B1 (it has had nothing), then A2, A3

Upstream: `util/flowcontrol/fairqueuing/queueset/queueset.go` and its doc.go; `util/shufflesharding/dealer.go`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any

GUESS = 0.003
"""Seconds that a request is taken to last until one knows."""


@lru_cache(4096)
def deal(flow: str, deck: int, hand: int) -> tuple[int, ...]:
    """`hand` different numbers below `deck`, always the same for a flow, and evenly spread over all flows."""
    entropy = int.from_bytes(sha256(flow.encode()).digest()[:8], "little")
    dealt: list[int] = []
    for left in range(deck, deck - min(hand, deck), -1):
        entropy, card = divmod(entropy, left)
        for other in sorted(dealt):  # `card` counts only the numbers that are not dealt yet
            if card >= other:
                card += 1
        dealt.append(card)
    return tuple(dealt)


@dataclass(eq=False, slots=True)
class Ticket:
    """A request's place. `state`: waiting, executing, or gone (over, refused or given up). `flow` is the FlowSchema's
    name, NUL, and what tells flows of it apart; `who` is for operators only."""

    flow: str
    seats: int
    arrived: float
    begin: Callable[[], None]
    queue: Queue | None = None
    state: str = "waiting"
    began: float = 0.0
    who: Any = None

    @property
    def schema(self) -> str:
        return self.flow.partition("\0")[0]


@dataclass(eq=False)
class Queue:
    """Requests of some flows, in their order. `served` is a virtual time, in seat-seconds."""

    index: int
    waiting: deque[Ticket] = field(default_factory=deque)
    executing: int = 0
    served: float = 0.0

    def load(self) -> int:
        return sum(ticket.seats for ticket in self.waiting)


def _nothing() -> None:
    """Nobody waits for such a seat."""


class Full(Exception):
    """No seat and no place to wait. `reason` is upstream's: `queue-full` or `concurrency-limit`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Queues:
    """`limit` seats, and `count` queues of `length` places; none: who finds no seat is refused. Who is
    exempt passes by."""

    def __init__(self, limit: int, count: int = 0, hand: int = 1, length: int = 50) -> None:
        self.limit, self._hand, self._length = limit, hand, length
        self.queues = [Queue(index) for index in range(count)]
        self._busy: dict[int, Queue] = {}  # where somebody waits or is served
        self.running: set[Ticket] = set()
        self.in_use = self.waiting = 0
        self._virtual = 0.0
        self._seen = 0.0
        #: (what became of requests: dispatched, queue-full, concurrency-limit, time-out, cancelled; schema) → how many.
        self.counts: Counter[tuple[str, str]] = Counter()

    def count(self, *events: str) -> int:
        """How many requests of all schemas ended up so."""
        return sum(number for (event, _), number in self.counts.items() if event in events)

    @property
    def executing(self) -> int:
        return len(self.running)

    def arrive(self, flow: str, seats: int, now: float, begin: Callable[[], None], who: Any = None) -> Ticket:
        """A place for a request; `begin` is called when its turn comes, maybe at once. Raises Full."""
        self._advance(now)
        ticket = Ticket(flow, min(seats, max(1, self.limit)), now, begin, who=who)
        if not self.queues:
            if not self._fits(ticket):
                self.counts["concurrency-limit", ticket.schema] += 1
                raise Full("concurrency-limit")
            self._begin(ticket, now)
            return ticket
        hand = [self.queues[card] for card in deal(flow, len(self.queues), self._hand)]
        queue = min(hand, key=lambda q: (q.load(), q.executing))
        if len(queue.waiting) >= self._length:
            self.counts["queue-full", ticket.schema] += 1
            raise Full("queue-full")
        if not queue.waiting and not queue.executing:
            queue.served = self._virtual  # an idle queue saves nothing up
        ticket.queue = self._busy[queue.index] = queue
        queue.waiting.append(ticket)
        self.waiting += 1
        self.dispatch(now)
        return ticket

    def pass_by(self, schema: str, now: float, who: Any) -> Ticket:
        """Of an exempt level: nobody waits, so there is nothing to reckon with. `passed` ends it."""
        ticket = Ticket(schema, 1, now, _nothing, None, "executing", now, who)
        self.running.add(ticket)
        self.in_use += 1
        self.counts["dispatched", schema] += 1
        return ticket

    def passed(self, ticket: Ticket) -> None:
        self.running.discard(ticket)
        self.in_use -= 1

    def leave(self, ticket: Ticket, now: float) -> None:
        """A request is over: its seats are free, and its queue is charged what it really took."""
        self._advance(now)
        ticket.state = "gone"
        self.in_use -= ticket.seats
        self.running.discard(ticket)
        if ticket.queue is not None:
            ticket.queue.executing -= 1
            ticket.queue.served += (now - ticket.began - GUESS) * ticket.seats
            self._rest(ticket.queue)
        self.dispatch(now)

    def give_up(self, ticket: Ticket, now: float, timed_out: bool) -> None:
        """A request waits no longer: its time is up, or its client has gone."""
        if ticket.state != "waiting":
            return
        assert ticket.queue is not None
        self._advance(now)
        ticket.state = "gone"
        ticket.queue.waiting.remove(ticket)
        self._rest(ticket.queue)
        self.waiting -= 1
        self.counts["time-out" if timed_out else "cancelled", ticket.schema] += 1
        self.dispatch(now)

    def dispatch(self, now: float) -> None:
        """Give free seats to those whose turn it is. A wide request that does not fit yet is waited for."""
        while self.waiting:
            queue = min((q for q in self._busy.values() if q.waiting), key=self._finish)
            ticket = queue.waiting[0]
            if not self._fits(ticket):
                return
            queue.waiting.popleft()
            queue.executing += 1
            queue.served += GUESS * ticket.seats
            self.waiting -= 1
            self._begin(ticket, now)

    @property
    def demand(self) -> int:
        """Seats in use, and seats that those who wait would use."""
        if not self.waiting:
            return self.in_use
        return self.in_use + sum(queue.load() for queue in self._busy.values())

    def _fits(self, ticket: Ticket) -> bool:
        return self.in_use + ticket.seats <= self.limit

    def _begin(self, ticket: Ticket, now: float) -> None:
        ticket.state, ticket.began = "executing", now
        self.in_use += ticket.seats
        self.running.add(ticket)
        self.counts["dispatched", ticket.schema] += 1
        ticket.begin()

    @staticmethod
    def _finish(queue: Queue) -> tuple[float, int]:
        return queue.served + GUESS * queue.waiting[0].seats, queue.index

    def _rest(self, queue: Queue) -> None:
        if not queue.waiting and not queue.executing:
            self._busy.pop(queue.index, None)

    def _advance(self, now: float) -> None:
        """Virtual time runs at the rate at which each busy queue is served."""
        if self.executing and self._busy:
            self._virtual += (now - self._seen) * min(self.in_use, self.limit) / len(self._busy)
        self._seen = now
