"""Starting the network's holder from the supervisor, and waiting until the network stands."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path


async def start(plan: Path, log: Path, *, join: int = 0, guard: int | None = None) -> int:
    """Its pid. `join`: a process that lives in the network already; `guard`: the descriptor of the block's lock.

    Raises OSError with its sentence.
    """
    argv = [sys.executable, "-m", "workshop.cluster.network.holder", str(plan)]
    argv += ["--join", str(join)] if join else []
    with open(log, "ab") as output:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            pass_fds=[guard] if guard is not None else [],
            start_new_session=True,
        )
    assert child.stdout is not None
    with child.stdout:
        said = await _line(child.stdout.fileno())
    if said != "ok":
        raise OSError(said or f"the network's holder failed: see {log}")
    return child.pid


async def _line(descriptor: int) -> str:
    """What a child writes, until it closes its end."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, done.set)
    said = b""
    try:
        while True:
            await done.wait()
            done.clear()
            part = os.read(descriptor, 4096)
            said += part
            if not part or said.endswith(b"\n"):
                return said.decode().strip()
    finally:
        loop.remove_reader(descriptor)
