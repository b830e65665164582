"""Talking to shims: start one, ask it a verb, follow its events, stream through it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from workshop.kubelet.cri import CriError
from workshop.kubelet.runtimes import spec
from workshop.kubelet.shim.containers import start_time

SHIM = str(Path(__file__).parent.parent / "shim")
START_TIMEOUT = 60.0
"""Seconds; what goes wrong with a shim is known at once, by its end. A busy machine needs its time."""


def alive(directory: str) -> int:
    """The pid of the shim of a sandbox's directory, or 0 when it is gone."""
    try:
        told = json.loads(Path(directory, "shim.json").read_text())
    except (OSError, ValueError):
        return 0
    return int(told["pid"]) if told["start"] and start_time(int(told["pid"])) == told["start"] else 0


async def start(directory: str, namespace: str, name: str, unshare: str, hostname: str) -> subprocess.Popen[bytes]:
    """Start a shim, and return when it answers. Raises CriError with what it said."""
    python = os.path.realpath(sys.executable)
    command = [python, "-I", "-S", SHIM, "-namespace", namespace, "-name", name, "-dir", directory]
    if unshare:
        command += ["-unshare", unshare, "-hostname", hostname]
    read, write = os.pipe()
    with open(os.path.join(directory, "shim.log"), "ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=log,
            cwd="/",
            env=spec.mark(),
            start_new_session=True,
        )
    os.close(write)
    loop = asyncio.get_running_loop()
    told = loop.create_future()

    def readable() -> None:
        loop.remove_reader(read)
        if not told.done():
            told.set_result(os.read(read, 64))

    loop.add_reader(read, readable)
    try:
        line = await asyncio.wait_for(told, START_TIMEOUT)
    except TimeoutError:
        line = b""
    finally:
        loop.remove_reader(read)
        os.close(read)
    if line != b"ready\n":
        process.kill()
        process.wait()
        raise CriError("shim did not start: " + Path(directory, "shim.log").read_text(errors="replace").strip()[-500:])
    return process


async def connect(directory: str) -> socket.socket:
    """A connection to a shim's socket, whose path may be longer than a socket address holds. Raises CriError."""
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY) if os.path.isdir(directory) else -1
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, f"/proc/self/fd/{folder}/shim.sock")
    except OSError as problem:
        sock.close()
        raise CriError(f"shim is not running: {problem.strerror}") from None
    finally:
        if folder >= 0:
            os.close(folder)
    return sock


async def ask(directory: str, **request: Any) -> dict[str, Any]:
    """One verb, one answer. Raises CriError with the shim's text."""
    reader, writer = await asyncio.open_unix_connection(sock=await connect(directory))
    try:
        return await _ask(reader, writer, request)
    finally:
        writer.close()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: dict[str, Any]) -> dict[str, Any]:
    try:
        writer.write(json.dumps(request).encode() + b"\n")
        line = await reader.readline()
    except ConnectionError:
        line = b""
    if not line:
        raise CriError("shim is not running: connection closed")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise CriError(answer["error"], str(answer.get("errno", "")))
    return answer


async def follow(directory: str) -> AsyncIterator[dict[str, Any]]:
    """The shim's events, ending when the shim does. The first one is `{"running": [ids]}`."""
    reader, writer = await asyncio.open_unix_connection(sock=await connect(directory))
    try:
        writer.write(b'{"verb": "subscribe"}\n')
        while line := await reader.readline():
            yield json.loads(line)
    finally:
        writer.close()


async def dial(directory: str, addresses: list[str], port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to a port of the pod, opened by the shim inside the pod's network. Raises CriError."""
    sock = await connect(directory)
    loop = asyncio.get_running_loop()
    with sock:
        await loop.sock_sendall(
            sock, json.dumps({"verb": "dial", "addresses": addresses, "port": port}).encode() + b"\n"
        )
        arrived = loop.create_future()

        def readable() -> None:
            loop.remove_reader(sock.fileno())
            if not arrived.done():
                arrived.set_result(socket.recv_fds(sock, 65536, 1))

        loop.add_reader(sock.fileno(), readable)
        try:
            line, descriptors, _, _ = await arrived
        finally:
            loop.remove_reader(sock.fileno())
    if not descriptors:
        raise CriError(json.loads(line or b"{}").get("error", "shim is not running"))
    inner = socket.socket(fileno=descriptors[0])
    inner.setblocking(False)
    return await asyncio.open_connection(sock=inner)


class Session:
    """A cri.Stream over the shim's frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._exit: int | None = None

    @classmethod
    async def open(cls, directory: str, **request: Any) -> Session:
        """exec or attach. Raises CriError."""
        reader, writer = await asyncio.open_unix_connection(sock=await connect(directory))
        try:
            await _ask(reader, writer, request)
        except CriError:
            writer.close()
            raise
        return cls(reader, writer)

    async def read(self) -> tuple[int, bytes] | None:
        """The next piece of output; None at the end."""
        try:
            channel, length = struct.unpack(">BI", await self._reader.readexactly(5))
            data = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        if channel == 3:
            self._exit = int(json.loads(data)["exit_code"])
            return None
        return channel, data

    async def _frame(self, channel: int, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            self._writer.write(struct.pack(">BI", channel, len(data)) + data)
            await self._writer.drain()

    async def write(self, data: bytes) -> None:
        """To standard input."""
        if data:
            await self._frame(0, data)

    async def close_stdin(self) -> None:
        """No more input."""
        await self._frame(0, b"")

    async def resize(self, width: int, height: int) -> None:
        """Columns and rows."""
        await self._frame(4, json.dumps({"width": width, "height": height}).encode())

    async def exit_code(self) -> int:
        """137 when the shim did not live to tell."""
        return 137 if self._exit is None else self._exit

    async def close(self) -> None:
        """The client went away."""
        self._writer.close()


def kill_leftovers(directory: str) -> None:
    """Kill the containers of a sandbox whose shim is gone: those that still have the pid and start time on record."""
    for state in Path(directory, "c").glob("*/state.json"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            told = json.loads(state.read_text())
            if told["start"] and start_time(told["pid"]) == told["start"]:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(told["pid"], signal.SIGKILL)
                os.kill(told["pid"], signal.SIGKILL)
