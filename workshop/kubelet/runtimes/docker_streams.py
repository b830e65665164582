"""What of the Docker Engine's API does not end with its answer: events, logs, waiting, exec and attach.

The `docker` package blocks a thread for each of those; here they are asyncio streams on a connection each. An answer
to HTTP/1.0 has no chunks and ends with the connection. exec and attach take the connection over (`101 UPGRADED`):
after that it carries the terminal's bytes, or frames where there is no terminal:

    byte 0: 1 stdout, 2 stderr    bytes 1-3: 0    bytes 4-7: length, the highest byte first    then the bytes

Source: Docker Engine API 1.41, "Attach to a container: Hijacking, Stream format".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

from workshop.kubelet.cri import CriError, NotFound

PIECE = 64 << 10


class Remembering(asyncio.StreamReader):
    """What had come when a connection broke is still read: asyncio's own reader drops it. An engine closes as soon as a
    command has ended, also when there is input on its way that nobody will read."""

    def set_exception(self, exc: Exception) -> None:
        self.feed_eof()


class Endpoint:
    """Where the engine listens: `unix:///var/run/docker.sock` or `tcp://127.0.0.1:2375`."""

    def __init__(self, url: str, version: str) -> None:
        """`version` of the API, `1.41`. Raises CriError for a kind of address that streams cannot use."""
        self.url, self.version = url, version
        scheme, _, self._place = url.partition("://")
        if scheme not in ("unix", "tcp") or not self._place:
            raise CriError(f'unsupported Docker endpoint "{url}": there are unix://PATH and tcp://HOST:PORT')
        self._unix = scheme == "unix"

    async def open(
        self, method: str, path: str, query: dict[str, Any] | None = None, body: Any = None, *, take_over: bool = False
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send a request, read the head of its answer. Raises NotFound for 404, CriError with the engine's message."""
        loop = asyncio.get_running_loop()
        reader = Remembering(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        try:
            if self._unix:
                transport, _ = await loop.create_unix_connection(lambda: protocol, self._place)
            else:
                host, _, port = self._place.rpartition(":")
                transport, _ = await loop.create_connection(lambda: protocol, host, int(port))
        except OSError:
            raise unreachable(self.url) from None
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        payload = b"" if body is None else json.dumps(body).encode()
        target = f"/v{self.version}{path}" + (f"?{urlencode(query)}" if query else "")
        head = [f"{method} {target} HTTP/1.{1 if take_over else 0}", "Host: docker", f"Content-Length: {len(payload)}"]
        head += ["Content-Type: application/json"] if payload else []
        head += ["Connection: Upgrade", "Upgrade: tcp"] if take_over else []
        try:
            writer.write("\r\n".join([*head, "", ""]).encode() + payload)
            await writer.drain()
            answer = await reader.readuntil(b"\r\n\r\n")
            status = int(answer.split(b" ", 2)[1])
            if status >= 400:
                raise refused(status, await reader.read(PIECE))
        except (OSError, asyncio.IncompleteReadError):
            await close(writer)
            raise unreachable(self.url) from None
        except BaseException:  # also when the wait is given up
            writer.close()
            raise
        return reader, writer

    async def read(self, method: str, path: str, query: dict[str, Any] | None = None) -> Any:
        """One answer, read to its end, as JSON."""
        reader, writer = await self.open(method, path, query)
        try:
            return json.loads(await reader.read())
        except (OSError, ValueError) as problem:
            raise CriError(f"reading the engine's answer to {path}: {problem}") from None
        finally:
            await close(writer)

    async def lines(self, path: str, query: dict[str, Any]) -> AsyncIterator[Any]:
        """A stream of JSON lines, as `/events` is."""
        reader, writer = await self.open("GET", path, query)
        try:
            while line := await reader.readline():
                yield json.loads(line)
        finally:
            await close(writer)


def unreachable(url: str) -> CriError:
    """Docker's own words."""
    return CriError(f"Cannot connect to the Docker daemon at {url}. Is the docker daemon running?")


def refused(status: int, body: bytes) -> CriError:
    """The engine's `{"message": …}`, whatever of HTTP stands around it."""
    text = body[body.find(b"{") : body.rfind(b"}") + 1]
    message = body.decode(errors="replace").strip()
    with contextlib.suppress(ValueError):
        message = str(json.loads(text)["message"])
    kind = NotFound if status == 404 else CriError
    return kind(f"Error response from daemon: {message}")


async def close(writer: asyncio.StreamWriter) -> None:
    """Close, and wait for it; a connection that broke is closed too."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[tuple[int, bytes]]:
    """(stream, data) until the connection ends; a frame that was cut off is dropped."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            head = await reader.readexactly(8)
            yield head[0], await reader.readexactly(int.from_bytes(head[4:8], "big"))


class Session:
    """cri.Stream over a connection that was taken over."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        tty: bool,
        ended: Callable[[], Awaitable[int]],
        resized: Callable[[int, int], Awaitable[None]],
    ) -> None:
        self._reader, self._writer, self._tty = reader, writer, tty
        self._frames = frames(reader)
        self._ended, self._resized = ended, resized

    async def read(self) -> tuple[int, bytes] | None:
        try:
            if not self._tty:
                return await anext(self._frames, None)
            data = await self._reader.read(PIECE)
        except OSError:
            return None
        return (1, data) if data else None

    async def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self._writer.write(data)
            await self._writer.drain()

    async def close_stdin(self) -> None:
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    async def resize(self, width: int, height: int) -> None:
        await self._resized(width, height)

    async def exit_code(self) -> int:
        return await self._ended()

    async def close(self) -> None:
        await close(self._writer)
