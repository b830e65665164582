"""A load generator for gRPC that costs little: prepared frames, one epoll, no library in between.

The generator shares the machine with the server that it measures, so what it spends is taken from the server. It
states its own CPU seconds a call, and is the same for everybody. Requests look as grpc's own clients send them:
headers are spelled out once a connection and indexed afterwards.
"""

from __future__ import annotations

import resource
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

HEAD = struct.Struct(">HBBBI")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WINDOW = (1 << 31) - 1
DATA, HEADERS, SETTINGS, PING, GOAWAY, END_STREAM, ACK = 0, 1, 4, 6, 7, 1, 1

Request = Callable[[int, int], bytes]  # (caller, count) -> the request's bytes


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return HEAD.pack(len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload


def _text(text: str) -> bytes:
    return bytes((len(text),)) + text.encode()


@dataclass
class Result:
    """Calls a second, for how many seconds; latencies in seconds, CPU seconds of the generator for each call."""

    rate: float
    seconds: float
    median: float
    p99: float
    cpu: float


class Connection:
    """One connection; each caller on it has one call open at a time."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fields = [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", f"{host}:{port}"),
            ("content-type", "application/grpc"), ("user-agent", "grpc-load"), ("te", "trailers"),
        ]  # fmt: skip
        self._spelled = b"".join(b"\x40" + _text(name) + _text(value) for name, value in fields)
        self._indexed = bytes(0x80 | 62 + len(fields) - 1 - place for place in range(len(fields)))
        self._next, self._rest, self._received = 1, b"", 0
        self.calls: dict[int, tuple[int, float]] = {}  # stream -> caller, since
        self._answered: set[int] = set()
        self.messages = 0  # frames of data in what was received last
        self.out = bytearray(
            PREFACE
            + frame(SETTINGS, 0, 0, struct.pack(">HIHI", 2, 0, 4, WINDOW))
            + frame(8, 0, 0, struct.pack(">I", WINDOW - 65_535))
        )

    def call(self, caller: int, request: bytes, last: bool = True) -> None:
        """Begin a call; with `last` its request is the only one."""
        stream, self._next = self._next, self._next + 2
        block = self._spelled if stream == 1 else self._indexed
        self.out += frame(HEADERS, 4, stream, block)
        body = b"\0" + len(request).to_bytes(4, "big") + request
        self.out += frame(DATA, END_STREAM if last else 0, stream, body)
        self.calls[stream] = (caller, time.perf_counter())

    def flush(self) -> None:
        if self.out:
            self.socket.sendall(self.out)
            self.out.clear()

    def receive(self) -> list[tuple[int, float]]:
        """(caller, since) of the calls that are done. Raises RuntimeError for one that failed."""
        data = self._rest + self.socket.recv(1 << 18)
        done, at, size = [], 0, len(data)
        self.messages = 0
        while size - at >= 9:
            high, low, kind, flags, stream = HEAD.unpack_from(data, at)
            end = at + 9 + (high << 8 | low)
            if end > size:
                break
            if kind == DATA:
                self._answered.add(stream)
                self.messages += 1
                self._received += end - at - 9
            elif kind == HEADERS and flags & END_STREAM:
                if stream not in self._answered:
                    raise RuntimeError(f"a call failed: {data[at:end]!r}")
                self._answered.discard(stream)
                done.append(self.calls.pop(stream))
            elif kind == SETTINGS and not flags & ACK:
                self.out += frame(SETTINGS, ACK, 0, b"")
            elif kind == PING and not flags & ACK:
                self.out += frame(PING, ACK, 0, data[at + 9 : end])
            elif kind == GOAWAY:
                raise RuntimeError(f"the server hangs up: {data[at:end]!r}")
            at = end
        self._rest = data[at:]
        if self._received > 1 << 28:
            self.out += frame(8, 0, 0, struct.pack(">I", self._received))
            self._received = 0
        return done


def load(
    endpoint: str, path: str, request: Request, callers: int, connections: int, seconds: float, calls: int = 1 << 62
) -> Result:
    """`callers` that call again as soon as they are answered, for `seconds` or until so many `calls` are begun."""
    host, _, port = endpoint.rpartition(":")
    lines = [Connection(host, int(port), path) for _ in range(min(connections, callers))]
    poll = select.epoll()
    by_file = {line.socket.fileno(): line for line in lines}
    for file in by_file:
        poll.register(file, select.EPOLLIN)
    counts, times = [0] * callers, list[float]()
    used = resource.getrusage(resource.RUSAGE_SELF)
    begun = time.perf_counter()
    end = begun + seconds
    try:
        for caller in range(callers):
            lines[caller % len(lines)].call(caller, request(caller, 0))
        for line in lines:
            line.flush()
        open_calls = begun_calls = callers
        while open_calls:
            for file, _ in poll.poll(10):
                line = by_file[file]
                for caller, since in line.receive():
                    now = time.perf_counter()
                    times.append(now - since)
                    if now < end and begun_calls < calls:
                        begun_calls += 1
                        counts[caller] += 1
                        line.call(caller, request(caller, counts[caller]))
                    else:
                        open_calls -= 1
                line.flush()
    finally:
        for line in lines:
            line.socket.close()
        poll.close()
    spent = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    times.sort()
    return Result(len(times) / spent, spent, times[len(times) // 2], times[int(len(times) * 0.99)], cpu / len(times))


class Watchers:
    """Many calls that stay open, and are told something now and then, each time in one frame."""

    def __init__(self, endpoint: str, path: str, request: bytes, count: int, connections: int) -> None:
        host, _, port = endpoint.rpartition(":")
        self._lines = [Connection(host, int(port), path) for _ in range(connections)]
        self._count = count
        self._poll = select.epoll()
        self._by_file = {line.socket.fileno(): line for line in self._lines}
        for file in self._by_file:
            self._poll.register(file, select.EPOLLIN)
        for number in range(count):
            self._lines[number % connections].call(number, request, last=False)
        for line in self._lines:
            line.flush()
        self.hear()

    def hear(self) -> None:
        """Return when each has been told something."""
        heard = 0
        while heard < self._count:
            for file, _ in self._poll.poll(10):
                line = self._by_file[file]
                line.receive()
                heard += line.messages
                line.flush()

    def close(self) -> None:
        for line in self._lines:
            line.socket.close()
        self._poll.close()
