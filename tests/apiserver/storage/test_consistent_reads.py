"""How many questions it takes to read what is true now."""

from __future__ import annotations

import asyncio

import pytest

from workshop.apiserver.cacher import Cacher
from workshop.apiserver.storage.interface import Unavailable
from workshop.apiserver.storage.memory import MemoryStorage
from workshop.clock import SYSTEM


class Slow(MemoryStorage):
    """Answers the question for its revision when it is let; the answer is the revision of the moment it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[asyncio.Future[None]] = []
        self.came = asyncio.Event()

    async def current_revision(self) -> int:
        revision = await super().current_revision()
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.questions.append(answer)
        self.came.set()
        await answer
        return revision

    async def asked(self) -> asyncio.Future[None]:
        """The next question."""
        await self.came.wait()
        self.came.clear()
        return self.questions[-1]


@pytest.fixture
async def store() -> Slow:
    return Slow()


async def filled(store: Slow) -> tuple[Cacher, asyncio.Task[None]]:
    cacher = Cacher(store, SYSTEM)
    running = asyncio.create_task(cacher.run())
    await cacher.ready.wait()
    return cacher, running


async def test_all_who_wait_for_an_answer_share_the_next_question(store: Slow) -> None:
    cacher, running = await filled(store)
    first = asyncio.create_task(cacher.consistent())
    answer = await store.asked()
    late = [asyncio.create_task(cacher.consistent()) for _ in range(20)]
    await asyncio.sleep(0)
    assert len(store.questions) == 1
    answer.set_result(None)
    await first
    second = await store.asked()
    assert not any(task.done() for task in late)  # the first answer is older than their question
    second.set_result(None)
    await asyncio.gather(*late)
    assert len(store.questions) == 2
    running.cancel()


async def test_who_asks_after_a_write_sees_it_though_an_older_answer_is_on_its_way(store: Slow) -> None:
    cacher, running = await filled(store)
    early = asyncio.create_task(cacher.consistent())
    old = await store.asked()
    revision = await store.create("/registry/configmaps/default/new", b"{}")
    late = asyncio.create_task(cacher.consistent())
    await asyncio.sleep(0)
    old.set_result(None)
    await early
    (await store.asked()).set_result(None)
    assert await late >= revision
    assert "/registry/configmaps/default/new" in cacher.shelf("/registry/configmaps/").items
    running.cancel()


async def test_a_store_that_does_not_answer_fails_everybody_once_and_is_asked_again(store: Slow) -> None:
    cacher, running = await filled(store)
    tasks = [asyncio.create_task(cacher.consistent()) for _ in range(3)]
    (await store.asked()).set_exception(Unavailable("gone"))
    assert all(isinstance(error, Unavailable) for error in await asyncio.gather(*tasks, return_exceptions=True))
    again = asyncio.create_task(cacher.consistent())
    (await store.asked()).set_result(None)
    await again
    running.cancel()


async def test_a_caller_that_goes_does_not_take_the_question_along(store: Slow) -> None:
    cacher, running = await filled(store)
    gone, stays = (asyncio.create_task(cacher.consistent()) for _ in range(2))
    answer = await store.asked()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    answer.set_result(None)
    await stays
    running.cancel()
