"""A component for tests: says who it is, and ends when it is told to."""

from __future__ import annotations

import asyncio
import os
import sys

from workshop.component import inherited_sockets, run_until_signal


def main(argv: list[str]) -> int:
    print("started", os.getpid(), " ".join(argv), inherited_sockets(), flush=True)
    if "--fail" in argv:
        print("failing", file=sys.stderr)
        return 3
    if "--raise" in argv:
        raise RuntimeError("as asked")

    async def body(stop: asyncio.Event) -> None:
        await stop.wait()
        print("stopped", flush=True)

    return run_until_signal(body)
