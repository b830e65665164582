"""Three sets and one invariant."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.virtual_clock import VirtualClock, settle
from workshop.client.controller import Controller
from workshop.client.workqueue import Queue, RateLimiter, RateLimitingQueue, ShutDown


async def test_a_key_added_often_is_worked_on_once() -> None:
    queue: Queue[str] = Queue(VirtualClock())
    for _ in range(10):
        queue.add("a")
    assert await queue.get() == "a"
    assert len(queue) == 0


async def test_a_key_added_while_in_work_comes_back_after_done_and_not_before() -> None:
    queue: Queue[str] = Queue(VirtualClock())
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    assert len(queue) == 0
    queue.done(key)
    assert await queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_of_several_delays_the_earliest_counts() -> None:
    clock = VirtualClock()
    queue: Queue[str] = Queue(clock)
    queue.add_after("a", 10)
    queue.add_after("a", 2)
    queue.add_after("b", 5)
    await clock.advance(1.9)
    assert len(queue) == 0
    await clock.advance(0.1)
    assert await queue.get() == "a"
    queue.done("a")
    await clock.advance(20)
    assert await queue.get() == "b"
    assert len(queue) == 0


async def test_a_cancelled_worker_does_not_take_a_key_with_it() -> None:
    queue: Queue[str] = Queue(VirtualClock())
    first, second = asyncio.ensure_future(queue.get()), asyncio.ensure_future(queue.get())
    await settle()
    queue.add("a")  # wakes the first
    first.cancel()
    assert await asyncio.wait_for(second, 60) == "a"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_shut_down_hands_out_what_is_there_and_then_ends() -> None:
    queue: Queue[str] = Queue(VirtualClock())
    queue.add("a")
    queue.shut_down()
    queue.add("b")
    assert await queue.get() == "a"
    with pytest.raises(ShutDown):
        await queue.get()


@given(st.lists(st.sampled_from(["add", "get", "done"]), max_size=40), st.data())
def test_never_two_workers_on_one_key_and_no_key_forgotten(steps: list[str], data: st.DataObject) -> None:
    async def play() -> None:
        queue: Queue[str] = Queue(VirtualClock())
        wanted: set[str] = set()
        working: set[str] = set()
        for step in steps:
            if step == "add":
                key = data.draw(st.sampled_from("abc"))
                queue.add(key)
                wanted.add(key)
            elif step == "get" and len(queue):
                key = await queue.get()
                assert key not in working
                working.add(key)
                wanted.discard(key)
            elif step == "done" and working:
                key = working.pop()
                queue.done(key)
            assert len(queue) == len(wanted - working)

    asyncio.run(play())


def test_failures_wait_twice_as_long_each_time_and_together_ten_a_second() -> None:
    clock = VirtualClock()
    limiter: RateLimiter[str] = RateLimiter(clock)
    assert [limiter.when("a") for _ in range(4)] == [0.005, 0.01, 0.02, 0.04]
    limiter.forget("a")
    assert limiter.when("a") == 0.005
    for i in range(95):
        assert limiter.when(f"other-{i}") == 0.005
    assert limiter.when("one-too-many") == pytest.approx(0.1)


async def test_the_outcomes_of_reconcile() -> None:
    clock = VirtualClock()
    queue: RateLimitingQueue[str] = RateLimitingQueue(clock)
    calls: list[tuple[str, float]] = []
    start = clock.now()

    async def reconcile(key: str) -> float | None:
        calls.append((key, round(clock.now() - start, 3)))
        if key == "fails" and len([c for c in calls if c[0] == key]) < 3:
            raise OSError("refused")
        return 7.0 if key == "again" and len(calls) < 6 else None

    task = asyncio.ensure_future(Controller("test", queue, reconcile).run())
    for key in ("done", "fails", "again"):
        queue.add(key)
    await clock.advance(30)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert calls == [("done", 0), ("fails", 0), ("again", 0), ("fails", 0.005), ("fails", 0.015), ("again", 7.0)]
    assert queue.num_requeues("fails") == 0
