"""A client that says byte for byte what it is told, over TLS or without, and takes down what it hears.

TLS is done by hand, because none of Python's clients can say "that was all" and go on listening.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from dataclasses import dataclass

PATIENCE = 60.0
AFTERWARDS = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
TOLD = ("content-type", "connection", "allow", "location", "x-content-type-options")
"""Headers that are taken down."""


@dataclass(frozen=True)
class Server:
    host: str
    port: int
    tls: ssl.SSLContext | None = None


class Dialogue:
    """One connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._heard = b""
        self.over = False
        """The server has said that nothing more comes."""

    async def __aenter__(self) -> Dialogue:
        server = self._server
        self._reader, self._writer = await asyncio.open_connection(server.host, server.port)
        self._tls = server.tls.wrap_bio(self._in, self._out) if server.tls is not None else None
        while self._tls is not None:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._fetch()
        self._flush()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._writer.transport.abort()

    def _flush(self) -> None:
        if self._out.pending:
            self._writer.write(self._out.read())

    async def _fetch(self) -> None:
        self._flush()
        data = await self._received()
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()

    async def _received(self) -> bytes:
        """A server that does not wait for the end of what is said may reset the connection: that is an end too."""
        try:
            return await self._reader.read(1 << 16)
        except ConnectionResetError:
            return b""

    def say(self, raw: bytes) -> None:
        if self._tls is None:
            self._writer.write(raw)
            return
        while raw:
            raw = raw[self._tls.write(raw) :]
        self._flush()

    def take_leave(self, notify: bool, fin: bool) -> None:
        """Say that nothing more comes: in TLS, by the socket, or both. It can still listen."""
        if notify and self._tls is not None:
            try:
                self._tls.unwrap()
            except ssl.SSLWantReadError:
                self._flush()
        if fin:
            self._writer.write_eof()

    async def _listen(self) -> None:
        data = await self._read()
        self.over = not data
        self._heard += data

    async def _read(self) -> bytes:
        if self._tls is None:
            return await self._received()
        while True:
            try:
                return self._tls.read(1 << 16)
            except ssl.SSLWantReadError:
                await self._fetch()
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                return b""

    async def _until(self, mark: bytes) -> bool:
        while mark not in self._heard and not self.over:
            await self._listen()
        return mark in self._heard

    async def _take(self, size: int) -> bytes:
        while len(self._heard) < size and not self.over:
            await self._listen()
        taken, self._heard = self._heard[:size], self._heard[size:]
        return taken + b"(cut off)" if len(taken) < size else taken

    async def answer(self, bodiless: bool = False) -> str:
        """The next answer in one line; "" where there is none any more."""
        if not await self._until(b"\r\n\r\n"):
            return self._heard.decode("latin-1")
        head, _, self._heard = self._heard.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if bodiless or status.split()[1] in ("100", "204", "304"):
            body = b""
        elif "content-length" in headers:
            body = await self._take(int(headers["content-length"]))
        elif "transfer-encoding" in headers:
            body = await self._chunks()
        else:
            body = await self._take(1 << 30)
            body = body.removesuffix(b"(cut off)")
        told = [f"{name}: {headers[name]}" for name in TOLD if name in headers]
        return " | ".join(filter(None, [status.removeprefix("HTTP/1.1 "), ", ".join(told), _digest(body)]))

    async def status(self) -> str:
        """Of an answer whose body is still coming."""
        await self._until(b"\r\n\r\n")
        return self._heard.partition(b"\r\n")[0].decode().removeprefix("HTTP/1.1 ")

    async def _chunks(self) -> bytes:
        body = b""
        while await self._until(b"\r\n"):
            size, _, self._heard = self._heard.partition(b"\r\n")
            body += (await self._take(int(size, 16) + 2)).removesuffix(b"\r\n")
            if not int(size, 16):
                return body
        return body + b"(cut off)"

    async def goes_on(self) -> str:
        """`open` if another request is answered here, else `closed`."""
        try:
            if not self.over:
                self.say(AFTERWARDS)
            return "open" if (await self.answer()).startswith("200 OK") else "closed"
        except OSError:
            return "closed"


def _digest(body: bytes) -> str:
    """What a body says, without what each server makes up for itself."""
    try:
        found = json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace").strip()
    if not isinstance(found, dict):
        return body.decode()
    if found.get("kind") == "Status":
        return re.sub(r"\(\d+ vs", "(… vs", f"{found.get('reason', '')}: {found.get('message', '')}")
    return "version" if "gitVersion" in found else str(found.get("kind", body.decode()))
