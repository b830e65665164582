"""A container's log, followed from the engine into the kubelet's log directory in CRI's format.

dockershim linked to the engine's own JSON file, which only root on the engine's machine can read; this works for a
user in the group `docker`, and for an engine elsewhere. A new kubelet goes on after the last line that it finds.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator

from workshop.kubelet.cri import CriError
from workshop.kubelet.runtimes import docker_objects as objects
from workshop.kubelet.runtimes import docker_streams as streams

log = logging.getLogger(__name__)


async def follow(endpoint: streams.Endpoint, identity: str, path: str, *, tty: bool) -> None:
    """Until the container has ended: the engine's log, in CRI's format, after what is there already."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    last = last_moment(path)
    query = {"stdout": 1, "stderr": 1, "follow": 1, "timestamps": 1}
    if last:
        query |= {"since": int(objects.moment(last.decode()))}
    try:
        reader, writer = await endpoint.open("GET", f"/containers/{identity}/logs", query)
    except CriError as problem:
        log.warning("following the log of %s: %s", identity[:12], problem)
        return
    try:
        with open(path, "ab", buffering=0) as file:
            entries = _whole_lines(reader) if tty else streams.frames(reader)
            async for stream, entry in entries:
                if not last or entry.partition(b" ")[0] > last:
                    file.write(objects.log_line(entry, stream))
    finally:
        await streams.close(writer)


def last_moment(path: str) -> bytes:
    """The time stamp of a log's last line; b"" for none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - (32 << 10)))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return b""
    return lines[-1].partition(b" ")[0] if lines else b""


async def _whole_lines(reader: asyncio.StreamReader) -> AsyncIterator[tuple[int, bytes]]:
    """A terminal's log has no frames."""
    while line := await reader.readline():
        yield 1, line
