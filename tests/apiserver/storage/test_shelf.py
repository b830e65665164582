"""What the watch cache does with a change that cannot be judged."""

from __future__ import annotations

import asyncio

import pytest

from workshop.apiserver.cacher import Cacher
from workshop.apiserver.shelf import Change
from workshop.apiserver.storage.ciphers import MARK
from workshop.apiserver.storage.memory import MemoryStorage
from workshop.clock import SYSTEM

SECRETS = "/registry/secrets/"


def _labelled(change: Change) -> bool:
    labels, _ = change.new.attributes(lambda obj: {})
    return "app" in labels


@pytest.mark.parametrize("at_once", [True, False])
async def test_an_object_that_nobody_can_read_is_its_readers_affair(at_once: bool) -> None:
    store = MemoryStorage()
    cacher = Cacher(store, SYSTEM)
    running = asyncio.create_task(cacher.run())
    await cacher.ready.wait()
    _, watcher = cacher.watch(SECRETS, cacher.revision, SECRETS, False, _labelled)
    if at_once:
        watcher.pass_on = lambda change: not _labelled(change)
    told = asyncio.create_task(watcher.next(20.0))
    await asyncio.sleep(0)  # now it waits
    await store.create(f"{SECRETS}default/sealed", MARK + b"aescbc:v1:lost:x")
    assert [change.new.key for change in await told] == [f"{SECRETS}default/sealed"]
    made = await store.create(f"{SECRETS}default/plain", b'{"kind":"Secret","metadata":{"labels":{"app":"x"}}}')
    await cacher.wait_until(made, 20.0)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
