"""kubelet's I/O and loops."""

from __future__ import annotations

import asyncio

from workshop.kubelet.config import KubeletConfig


async def run(config: KubeletConfig, stop: asyncio.Event) -> None:
    """Serve and sync pods until `stop` is set."""
    await stop.wait()
