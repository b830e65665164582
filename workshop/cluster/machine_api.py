"""The supervisor's small HTTP on the Unix socket `run/supervisor.sock`: a machine's front panel.

    GET  /processes                     what there is
    POST /processes/NAME/stop           also start, kill, pause, resume
    GET  /events                        one JSON line a change, until the caller goes
    POST /begin   POST /down            start what the plan says; stop everything and end

The socket lies in a 0700 directory: whoever can open it owns the cluster. `call` and `events` are the blocking
client's side, small enough for a notebook and quick to import.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

log = logging.getLogger("supervisor")

Answer = tuple[int, Any]
Handler = Callable[[str, str], Awaitable[Answer]]
Stream = Callable[[], AsyncIterator[Any]]


class Refused(Exception):
    """The supervisor answered with an error; the text is its sentence."""


class Absent(Exception):
    """Nobody listens on the socket."""


async def serve(path: Path, handle: Handler, events: Stream) -> asyncio.AbstractServer:
    """Serve until closed. An earlier supervisor's stale socket is replaced."""
    path.unlink(missing_ok=True)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii", "replace")
                method, target, *_ = head.split(" ", 2)
                if (method, target) == ("GET", "/events"):
                    await _stream(writer, events())
                else:
                    _answer(writer, *await handle(method, target))
                await writer.drain()
            except (ValueError, asyncio.LimitOverrunError):
                _answer(writer, 400, {"message": "bad request"})
            except Exception as error:
                log.exception("%s", error)
                _answer(writer, 500, {"message": f"the supervisor could not do that: {error}"})
        writer.close()

    sock = socket.socket(socket.AF_UNIX)
    try:
        _through_folder(path, sock.bind)
    except OSError:
        sock.close()
        raise
    return await asyncio.start_unix_server(client, sock=sock)


def _answer(writer: asyncio.StreamWriter, code: int, body: Any) -> None:
    data = json.dumps(body).encode() + b"\n"
    head = f"HTTP/1.1 {code} \r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\nConnection: close"
    writer.write(head.encode() + b"\r\n\r\n" + data)


async def _stream(writer: asyncio.StreamWriter, events: AsyncIterator[Any]) -> None:
    writer.write(b"HTTP/1.1 200 \r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n")
    async for event in events:
        writer.write(json.dumps(event).encode() + b"\n")
        await writer.drain()


def _open(path: Path, method: str, target: str, timeout: float | None) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout)
    try:
        _through_folder(path, sock.connect)
        sock.sendall(f"{method} {target} HTTP/1.1\r\nHost: supervisor\r\n\r\n".encode())
    except TimeoutError:
        sock.close()
        raise
    except OSError as error:
        sock.close()
        raise Absent(str(error)) from error
    return sock


def _through_folder(path: Path, act: Callable[[str], None]) -> None:
    """Bind or connect: a Unix socket's path has room for 107 bytes; a longer one is reached by its open directory."""
    if len(os.fsencode(path)) <= 107:
        act(str(path))
        return
    folder = os.open(path.parent, os.O_PATH)
    try:
        act(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def open_stream(path: Path) -> socket.socket:
    """A socket on which the answer to `GET /events` comes, for an event loop to read. Raises OSError."""
    try:
        sock = _open(path, "GET", "/events", None)
    except Absent as error:
        raise ConnectionError(str(error)) from error
    sock.setblocking(False)
    return sock


def call(path: Path, method: str, target: str, timeout: float | None = 60.0) -> Any:
    """One request. Raises Absent when no supervisor runs, Refused with its sentence, TimeoutError."""
    with _open(path, method, target, timeout) as sock, sock.makefile("rb") as file:
        head = file.readline().split()
        while file.readline() not in (b"\r\n", b""):
            pass
        body = file.read()
    if len(head) < 2:
        raise Absent("the supervisor ended during the request")
    answer = json.loads(body)
    if int(head[1]) >= 400:
        raise Refused(str(answer.get("message", answer)))
    return answer


def events(path: Path) -> Iterator[Any]:
    """Changes as they come; ends with the supervisor."""
    with _open(path, "GET", "/events", None) as sock, sock.makefile("rb") as file:
        while file.readline() not in (b"\r\n", b""):
            pass
        for line in file:
            yield json.loads(line)
