"""What encryption needs all the time: its plugins are looked after, and a changed file is taken again.

With `--encryption-provider-config-automatic-reload` the file is read once a minute. A new configuration counts when its
plugins answer; one that cannot be is told of, and the old one stays.

Upstream: `apiserver/pkg/server/options/encryptionconfig/controller`.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from workshop.clock import Clock

from . import encryption
from .encrypted import EncryptedStorage
from .encryption import Encryption

logger = logging.getLogger(__name__)
EVERY = 60.0
GRACE = 10.0
"""Seconds for which old plugins are still asked by whoever was about to."""


async def tend(storage: EncryptedStorage, path: Path | None, text: bytes, clock: Clock) -> None:
    """For ever. `path`: the file to follow, if any; `text`: what `storage` has of it."""
    before: Encryption | None = None
    while True:
        async with asyncio.TaskGroup() as group:
            current = storage.encryption
            probes = [group.create_task(plugin.probe(storage.recovered)) for plugin in current.plugins]
            if before is not None:
                group.create_task(_close(before, clock))
            if path is None:
                return  # once the probes have ended: never, if there are any
            found, text = await _changed(path, text, clock)
            for probe in probes:
                probe.cancel()
            await storage.replace(found)
            before = current


async def _changed(path: Path, known: bytes, clock: Clock) -> tuple[Encryption, bytes]:
    """The next configuration that can be used, and its text."""
    while True:
        await clock.sleep(EVERY)
        try:
            text = await asyncio.to_thread(path.read_bytes)
            if text == known:
                continue
            found = encryption.load(text)
        except (OSError, ValueError) as error:
            logger.error("error processing encryption config file %s: %s", path, error)
            continue
        problems = [problem for plugin in found.plugins if (problem := await plugin.check())]
        if problems:
            logger.error("health check for new transformers failed: %s", "; ".join(problems))
            continue
        logger.info("loaded new encryption config content from %s", path)
        return found, text


async def _close(old: Encryption, clock: Clock) -> None:
    await clock.sleep(GRACE)
    for plugin in old.plugins:
        await plugin.plugin.close()
