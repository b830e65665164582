"""A client that costs little: requests that are bytes beforehand, answers of which only the end is looked for.

It speaks HTTP/1.1 over TLS with a client certificate, one request at a time on each connection. What it spends itself
is measured too: on two processors it takes from the server what it needs.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import yaml


@dataclass(frozen=True)
class Target:
    """An API server and who asks it."""

    host: str
    port: int
    tls: ssl.SSLContext

    @classmethod
    def of(cls, kubeconfig: str) -> Target:
        with open(kubeconfig) as file:
            read = yaml.safe_load(file)
        cluster, user = read["clusters"][0]["cluster"], read["users"][0]["user"]
        parts = urlsplit(cluster["server"])
        tls = ssl.create_default_context(
            cafile=cluster.get("certificate-authority"),
            cadata=_text(cluster.get("certificate-authority-data")),
        )
        with _Files(user) as (certificate, key):
            tls.load_cert_chain(certificate, key)
        return cls(parts.hostname or "", parts.port or 443, tls)


def _text(data: str | None) -> str | None:
    import base64

    return base64.b64decode(data).decode() if data else None


class _Files:
    """Certificate and key as files, for as long as they are read."""

    def __init__(self, user: dict[str, str]) -> None:
        self._user = user

    def __enter__(self) -> tuple[str, str]:
        import tempfile

        if "client-certificate" in self._user:
            return self._user["client-certificate"], self._user["client-key"]
        self._made = []
        for field in ("client-certificate-data", "client-key-data"):
            file = tempfile.NamedTemporaryFile("w", suffix=".pem")
            file.write(_text(self._user[field]) or "")
            file.flush()
            self._made.append(file)
        return self._made[0].name, self._made[1].name

    def __exit__(self, *_: object) -> None:
        for file in getattr(self, "_made", []):
            file.close()


def request(method: str, path: str, body: bytes = b"", content_type: str = "application/json") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: kubernetes\r\naccept: application/json\r\nuser-agent: bench\r\n"
    if body:
        head += f"content-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


class Connection(asyncio.Protocol):
    """One connection; `ask` for one answer at a time, or `follow` a watch."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._answer: asyncio.Future[int] | None = None
        self._left = -1
        self._status = 0
        self._on_event: Callable[[int], None] | None = None
        self._open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, raw: bytes) -> asyncio.Future[int]:
        """The status of the answer, once it is here whole."""
        self._answer = asyncio.get_running_loop().create_future()
        self._left, self._status = -1, 0
        self._transport.write(raw)
        return self._answer

    def follow(self, raw: bytes, on_event: Callable[[int], None]) -> asyncio.Future[int]:
        """Send a watch; `on_event` is told how many events came together. The future is done when it stands."""
        self._on_event = on_event
        return self.ask(raw)

    def data_received(self, data: bytes) -> None:
        if self._open and self._on_event is not None:
            if count := data.count(b'{"type":"'):
                self._on_event(count)
            return
        if self._status and self._left > 0:  # in the middle of a body whose length is known
            self._left -= len(data)
            if self._left <= 0:
                self._done()
            return
        self._buffer += data
        if not self._status:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[:end]).lower()
            self._status = int(head[9:12])
            at = head.find(b"content-length:")
            body = len(self._buffer) - end - 4
            if self._on_event is not None and self._status == 200:
                self._open = True
                rest = bytes(self._buffer[end + 4 :])
                self._buffer.clear()
                assert self._answer is not None
                self._answer.set_result(200)
                if count := rest.count(b'{"type":"'):
                    self._on_event(count)
                return
            if at >= 0:
                self._left = int(head[at + 15 :].split(b"\r\n", 1)[0]) - body
                if self._left <= 0:
                    self._done()
                else:
                    self._buffer.clear()
                return
        if self._buffer.endswith(b"0\r\n\r\n"):
            self._done()
        elif len(self._buffer) > 65536:  # of a chunked body only the end matters
            del self._buffer[:-16]

    def _done(self) -> None:
        self._buffer.clear()
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_result(self._status)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("the server closed the connection"))

    def close(self) -> None:
        self._transport.abort()


async def connect(target: Target, count: int) -> list[Connection]:
    loop = asyncio.get_running_loop()
    made = []
    for _ in range(count):
        _, protocol = await loop.create_connection(
            Connection, target.host, target.port, ssl=target.tls, server_hostname=target.host
        )
        made.append(protocol)
    return made


@dataclass(frozen=True)
class Result:
    """`rate` in requests a second; latencies in ms; `own` is the client's own processor time, in seconds a second."""

    count: int
    rate: float
    median: float
    p99: float
    own: float


async def run(connections: list[Connection], requests: Iterable[bytes], good: tuple[int, ...] = (200, 201)) -> Result:
    """Send all requests, each connection one at a time. Raises RuntimeError for an answer that is not `good`."""
    waiting = iter(requests)
    latencies: list[float] = []

    async def worker(connection: Connection) -> None:
        for raw in waiting:
            begun = time.perf_counter()
            status = await connection.ask(raw)
            if status not in good:
                raise RuntimeError(f"{raw[:80]!r}: {status}")
            latencies.append(time.perf_counter() - begun)

    begun, spent = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker(connection) for connection in connections))
    took, own = time.perf_counter() - begun, time.process_time() - spent
    latencies.sort()
    count = len(latencies)
    median, p99 = latencies[count // 2], latencies[count * 99 // 100]
    return Result(count, count / took, 1000 * median, 1000 * p99, own / took)
