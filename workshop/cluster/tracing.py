"""The listener's side of `workshop.trace`: a socket in the state directory, to which components send their lines.

Components see the socket's name appear (inotify) and connect at once. So it gets its name only when it already listens;
and one whose listener has died is put away by the next listener.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from workshop.client.watch import Lines
from workshop.trace import FOLDER

Line = dict[str, Any]


@contextlib.asynccontextmanager
async def listening(state: Path, heard: Callable[[Line], None]) -> AsyncIterator[Path]:
    """Call `heard` with each line while the block runs; gives the socket's path. `state` is the cluster's directory,
    which has to be there. Raises OSError."""
    folder = state / FOLDER
    if not state.is_dir():
        raise FileNotFoundError(str(state))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _put_away_dead(folder)
    sock, name = _bind(folder)
    peers: set[asyncio.BaseTransport] = set()
    server = await asyncio.get_running_loop().create_unix_server(lambda: _Component(heard, peers), sock=sock)
    (folder / f".{name}").rename(folder / name)
    try:
        yield folder / name
    finally:
        (folder / name).unlink(missing_ok=True)
        server.close()
        for transport in list(peers):
            transport.close()


class _Component(asyncio.Protocol):
    """One component's lines."""

    def __init__(self, heard: Callable[[Line], None], peers: set[asyncio.BaseTransport]) -> None:
        self._heard, self._peers, self._lines = heard, peers, Lines()
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._peers.add(transport)

    def data_received(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            with contextlib.suppress(ValueError):  # no line of ours
                self._heard(json.loads(line))

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is not None:
            self._peers.discard(self._transport)


def _bind(folder: Path) -> tuple[socket.socket, str]:
    """A socket under a name that nobody looks for yet, and the name that it shall have."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    directory = os.open(folder, os.O_PATH | os.O_DIRECTORY)  # a Unix socket's path has room for 107 bytes only
    try:
        number = 0
        while (folder / f"{os.getpid()}-{number}.sock").exists() or (folder / f".{os.getpid()}-{number}.sock").exists():
            number += 1
        name = f"{os.getpid()}-{number}.sock"
        sock.bind(f"/proc/self/fd/{directory}/.{name}")
        os.chmod(folder / f".{name}", 0o600)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    finally:
        os.close(directory)
    return sock, name


def _put_away_dead(folder: Path) -> None:
    """Sockets whose process is gone: named after it."""
    for path in folder.glob("*.sock"):
        pid = path.name.partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            path.unlink(missing_ok=True)
