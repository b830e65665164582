"""Seats, queues and turns of one priority level, on a clock of numbers."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshop.apiserver.flowcontrol.queues import Full, Queues, Ticket, deal


def nothing() -> None:
    pass


def test_a_hand_is_dealt_always_alike_without_doubles_and_evenly() -> None:
    counts: Counter[int] = Counter()
    for number in range(2000):
        hand = deal(f"flow {number}", 64, 8)
        assert hand == deal(f"flow {number}", 64, 8)
        assert len(set(hand)) == 8
        counts.update(hand)
    assert set(counts) == set(range(64))
    assert max(counts.values()) < 2 * min(counts.values())


def test_without_queues_whoever_finds_no_seat_is_refused() -> None:
    level = Queues(limit=2)
    first, _ = (level.arrive("a", 1, 0.0, nothing) for _ in range(2))
    with pytest.raises(Full, match="concurrency-limit"):
        level.arrive("a", 1, 0.0, nothing)
    level.leave(first, 1.0)
    level.arrive("a", 1, 1.0, nothing)
    assert (level.in_use, level.count("concurrency-limit")) == (2, 1)


def test_a_full_queue_refuses() -> None:
    level = Queues(limit=1, count=1, hand=1, length=2)
    for _ in range(3):
        level.arrive("a", 1, 0.0, nothing)
    with pytest.raises(Full, match="queue-full"):
        level.arrive("a", 1, 0.0, nothing)
    assert level.waiting == 2


def test_a_flow_that_floods_does_not_starve_another() -> None:
    """A flood of 40, then one request of somebody else: it is next, not forty-first."""
    level = Queues(limit=1, count=64, hand=6, length=50)
    order: list[str] = []
    running: list[Ticket] = []

    def arrive(flow: str, now: float) -> None:
        box: list[Ticket] = []

        def begin() -> None:
            order.append(flow)

        box.append(level.arrive(flow, 1, now, begin))
        running.extend(box)

    for _ in range(40):
        arrive("flood", 0.0)
    arrive("quiet", 0.001)
    now = 0.0
    for _ in range(7):
        now += 0.1
        level.leave(next(t for t in running if t.state == "executing"), now)
    assert order.index("quiet") <= 7  # the flood holds six queues; each of them may go before


def test_queues_share_by_time_not_by_count() -> None:
    """A flow whose requests take ten times as long gets a tenth as many of them."""
    level = Queues(limit=1, count=8, hand=1, length=500)
    slow, quick = _two_flows_in_different_queues()
    begun: Counter[str] = Counter()
    tickets: list[Ticket] = []
    for flow in (slow, quick):
        for _ in range(300):
            tickets.append(level.arrive(flow, 1, 0.0, nothing))
    now = 0.0
    while now < 50.0:
        current = next(t for t in tickets if t.state == "executing")
        now += 1.0 if current.flow == slow else 0.1
        begun[current.flow] += 1
        level.leave(current, now)
        tickets.remove(current)
    assert begun[quick] / begun[slow] == pytest.approx(10, rel=0.2)


def _two_flows_in_different_queues() -> tuple[str, str]:
    first = "flow 0"
    return first, next(f for f in (f"flow {n}" for n in range(1, 99)) if deal(f, 8, 1) != deal(first, 8, 1))


def test_a_wide_request_waits_until_it_fits_and_is_not_passed_for_ever() -> None:
    level = Queues(limit=4, count=1, hand=1)
    small = [level.arrive("a", 1, 0.0, nothing) for _ in range(3)]
    wide = level.arrive("a", 4, 0.0, nothing)
    late = level.arrive("a", 1, 0.0, nothing)
    assert (wide.state, late.state) == ("waiting", "waiting")
    for ticket in small:
        level.leave(ticket, 1.0)
    assert (wide.state, late.state) == ("executing", "waiting")


def test_more_seats_than_there_are_means_all_of_them() -> None:
    assert Queues(limit=3, count=1, hand=1).arrive("a", 10, 0.0, nothing).seats == 3


def test_who_gives_up_frees_the_place() -> None:
    level = Queues(limit=1, count=1, hand=1)
    level.arrive("a", 1, 0.0, nothing)
    waiting = level.arrive("a", 1, 0.0, nothing)
    level.give_up(waiting, 1.0, timed_out=True)
    assert (level.waiting, level.count("time-out"), waiting.state) == (0, 1, "gone")


@given(
    st.lists(
        st.tuples(st.sampled_from("abcde"), st.integers(1, 3), st.sampled_from(["come", "go", "quit"])), max_size=60
    )
)
def test_seats_are_never_over_the_limit_and_never_idle_while_somebody_fits(steps: list[tuple[str, int, str]]) -> None:
    level, tickets, now = Queues(limit=4, count=4, hand=2, length=3), [], 0.0
    for flow, seats, what in steps:
        now += 0.01
        if what == "come":
            try:
                tickets.append(level.arrive(flow, seats, now, nothing))
            except Full:
                pass
        elif what == "go":
            for ticket in [t for t in tickets if t.state == "executing"][:1]:
                level.leave(ticket, now)
        else:
            for ticket in [t for t in tickets if t.state == "waiting"][:1]:
                level.give_up(ticket, now, timed_out=False)
        executing = [t for t in tickets if t.state == "executing"]
        waiting = [t for t in tickets if t.state == "waiting"]
        assert level.in_use == sum(t.seats for t in executing) <= 4
        assert (level.executing, level.waiting) == (len(executing), len(waiting))
        assert level.demand == sum(t.seats for t in executing + waiting)
        assert not waiting or level.in_use + max(t.seats for t in waiting) > 4
