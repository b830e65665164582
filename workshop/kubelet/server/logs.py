"""Reading container logs (written by the shim in CRI's format) for `kubectl logs`.

Upstream: `pkg/kubelet/kuberuntime/logs/logs.go`. Only while somebody follows a log is the file looked at again, ten
times a second.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

from workshop.clock import Clock, parse_rfc3339

LOOK_AGAIN = 0.1


@dataclass(frozen=True)
class Options:
    """PodLogOptions as they arrive here."""

    follow: bool = False
    tail: int | None = None
    since: float | None = None
    timestamps: bool = False
    limit_bytes: int | None = None
    stream: str = "All"


def render(line: bytes, options: Options) -> bytes | None:
    """A line of the log as the client sees it, or None when it is not wanted.

    >>> render(b"2026-01-31T09:00:00.000000000Z stdout F hello\\n", Options())
    b'hello\\n'
    """
    parts = line.rstrip(b"\n").split(b" ", 3)
    if len(parts) < 4:
        return None
    when, stream, tag, text = parts
    if options.stream != "All" and stream.decode() != options.stream.lower():
        return None
    if options.since is not None:
        moment = when.decode().rstrip("Z")
        seconds, _, fraction = moment.partition(".")
        if parse_rfc3339(seconds + "Z") + float(f"0.{fraction or 0}") < options.since:
            return None
    end = b"" if tag == b"P" else b"\n"
    return (when + b" " if options.timestamps else b"") + text + end


def files(path: str) -> list[str]:
    """The log's files, the oldest first."""
    folder, base = os.path.split(path)
    if not os.path.isdir(folder):
        return []
    old = sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.startswith(base + "."))
    return [*old, path] if os.path.exists(path) else old


def lines_of(paths: list[str]) -> Iterator[bytes]:
    """All whole lines."""
    for path in paths:
        try:
            with open(path, "rb") as file:
                yield from file
        except FileNotFoundError:
            continue


async def read(
    path: str, options: Options, running: Callable[[], Awaitable[bool]], clock: Clock
) -> AsyncIterator[bytes]:
    """The log as the client asked for it; with `follow` until `running()` is False and all is read."""
    left = options.limit_bytes
    alive = await running()
    current = open(path, "rb") if os.path.exists(path) else None  # noqa: SIM115  it is closed below
    try:
        rendered = (text for line in lines_of(files(path)[:-1]) if (text := render(line, options)) is not None)
        shown: Iterator[bytes] = rendered
        fresh: list[bytes] = []
        if current is not None:
            fresh = [text for line in _whole(current) if (text := render(line, options)) is not None]
        if options.tail is not None:
            shown = iter(deque([*rendered, *fresh], maxlen=options.tail)) if options.tail else iter(())
            fresh = []
        for batch in (shown, iter(fresh)):
            for chunk in _chunks(batch):
                piece = chunk if left is None else chunk[:left]
                if left is not None:
                    left -= len(piece)
                if piece:
                    yield piece
                if left == 0:
                    return
        while options.follow:
            piece = b""
            if current is None:
                current = open(path, "rb") if os.path.exists(path) else None  # noqa: SIM115
            if current is not None:
                piece = b"".join(t for line in _whole(current) if (t := render(line, options)) is not None)
                if not piece and _replaced(current.fileno(), path):
                    current.close()
                    current = None
                    continue
            if piece:
                piece = piece if left is None else piece[:left]
                left = None if left is None else left - len(piece)
                yield piece
                if left == 0:
                    return
                continue
            if not alive:
                return
            alive = await running()
            if alive:
                await clock.sleep(LOOK_AGAIN)
    finally:
        if current is not None:
            current.close()


def _whole(file: object) -> Iterator[bytes]:
    """Lines that end with a newline; the rest stays for later."""
    from typing import IO, cast

    source = cast(IO[bytes], file)
    while True:
        position = source.tell()
        line = source.readline()
        if not line.endswith(b"\n"):
            source.seek(position)
            return
        yield line


def _replaced(fd: int, path: str) -> bool:
    try:
        return os.fstat(fd).st_ino != os.stat(path).st_ino
    except FileNotFoundError:
        return False


def _chunks(lines: Iterator[bytes], size: int = 65536) -> Iterator[bytes]:
    held = bytearray()
    for line in lines:
        held += line
        if len(held) >= size:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)
