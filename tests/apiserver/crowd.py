"""`python -m tests.apiserver.crowd`: ten thousand connections to one API server, and clients that behave badly.

All of them are open at once: idle ones, and watchers who all hear of one change. Meanwhile somebody asks as usual. Then
some stop in the middle of a head, some close their half of the connection, some vanish; what they cost is given back.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import ssl
import struct
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import SHUT_WR, SO_LINGER, SOL_SOCKET

import pytest

from workshop import component
from workshop.client import kubeconfig
from workshop.cluster import procfs
from workshop.cluster.facade import Cluster
from workshop.serving.exchange import PIECE

MAPS = "/api/v1/namespaces/default/configmaps"
AT_ONCE = 32  # handshakes under way
PATIENCE = 300.0


@dataclass(frozen=True)
class Door:
    """Where the server is, and which process it is."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    pid: int

    def files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


@dataclass
class Visitor:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, method: str, path: str, body: bytes = b"") -> int:
        """The status of the answer."""
        head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/merge-patch+json\r\n"
        self.writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
        told = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        length = next(int(line[15:]) for line in told.split(b"\r\n") if line.startswith(b"content-length:"))
        await self.reader.readexactly(length)
        return int(told[9:12])

    async def watch(self) -> None:
        """Returns when the watch stands."""
        self.writer.write(f"GET {MAPS}?watch=1&resourceVersion=0 HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        assert (await self.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")

    async def hears(self, word: bytes) -> None:
        await self.reader.readuntil(word)

    def shut(self) -> None:
        """Close our half: nothing more will be asked."""
        self.writer.get_extra_info("socket").shutdown(SHUT_WR)

    def vanish(self) -> None:
        """A reset instead of an end."""
        self.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class Crowd:
    door: Door
    visitors: list[Visitor] = field(default_factory=list)

    async def come(self, count: int) -> None:
        """So many more, each of whom has had one answer."""
        turn = asyncio.Semaphore(AT_ONCE)

        async def one() -> None:
            async with turn:
                opened = await asyncio.open_connection(self.door.host, self.door.port, ssl=self.door.tls, limit=PIECE)
                self.visitors.append(Visitor(*opened))
                assert await self.visitors[-1].ask("GET", "/livez/ping") == 200

        await asyncio.gather(*(one() for _ in range(count)))

    def take(self, count: int) -> list[Visitor]:
        taken, self.visitors = self.visitors[:count], self.visitors[count:]
        return taken

    async def until_left(self, files: int) -> None:
        """Return when the server has let go of its descriptors down to `files`."""
        async with asyncio.timeout(PATIENCE):
            while self.door.files() > files:  # noqa: ASYNC110  another process's
                await asyncio.sleep(0.02)

    def end(self) -> None:
        for each in self.take(len(self.visitors)):
            each.writer.transport.abort()


@asynccontextmanager
async def crowd(door: Door) -> AsyncIterator[Crowd]:
    made = Crowd(door)
    try:
        yield made
    finally:
        made.end()


async def ask_as_usual(door: Door, times: int) -> list[float]:
    """Seconds that each of so many reads of one object took, in order of size."""
    async with crowd(door) as one:
        await one.come(1)
        took = []
        for _ in range(times):
            begun = time.perf_counter()
            assert await one.visitors[0].ask("GET", f"{MAPS}/crowd") == 200
            took.append(time.perf_counter() - begun)
    return sorted(took)


async def tell_all(watchers: Sequence[Visitor], change: Callable[[str], Awaitable[None]]) -> float:
    """Seconds from a change to the last watcher."""
    for watcher in watchers:
        await watcher.watch()
        await watcher.hears(b'"name":"crowd"')
    begun = time.perf_counter()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(change("seen by all"), *(each.hears(b"seen by all") for each in watchers))
    return time.perf_counter() - begun


async def misbehave(made: Crowd, each: int) -> None:
    """Three sorts of bad ends, so many of each; returns when the server has let go of them all."""
    before = made.door.files()
    halves, quitters, ghosts = made.take(each), made.take(each), made.take(each)
    for visitor in halves:
        visitor.shut()
    for visitor in quitters:  # who goes in the middle of a body
        visitor.writer.write(f"POST {MAPS} HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{{".encode())
        visitor.shut()
    for visitor in ghosts:
        visitor.vanish()
    await made.until_left(before - 3 * each)
    for visitor in (*halves, *quitters):
        visitor.writer.transport.abort()


async def full(door: Door, connections: int, watchers: int) -> None:
    """All of it. Raises AssertionError, TimeoutError."""

    async def change(text: str) -> None:
        async with crowd(door) as one:
            await one.come(1)
            body = b'{"data":{"word":"%b"}}' % text.encode()
            assert await one.visitors[0].ask("PATCH", f"{MAPS}/crowd", body) == 200

    def told(title: str, value: str) -> None:
        print(f"{title:44} {value}", flush=True)

    async with crowd(door) as made:
        await made.come(1)
        body = b'{"metadata":{"name":"crowd"}}'
        post = made.take(1)[0]
        post.writer.write(f"POST {MAPS} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        await post.reader.readuntil(b"HTTP/1.1 201")
        post.writer.transport.abort()
        alone = await ask_as_usual(door, 300)
        files, memory = door.files(), procfs.proportional_set_size(door.pid) or 0
        begun = time.perf_counter()
        await made.come(connections)
        told(f"{connections:,} connections, all open", f"{time.perf_counter() - begun:.1f} s")
        held = (procfs.proportional_set_size(door.pid) or 0) - memory
        told("memory of one", f"{held / connections / 1000:.1f} kB")
        amid = await ask_as_usual(door, 300)
        told("a read alone, p50 and p99", f"{1000 * alone[150]:.1f} ms, {1000 * alone[297]:.1f} ms")
        told("a read amid all of them", f"{1000 * amid[150]:.1f} ms, {1000 * amid[297]:.1f} ms")
        listening = made.take(watchers)
        told(f"a change to {watchers:,} watchers", f"{1000 * await tell_all(listening, change):.0f} ms to the last")
        await misbehave(made, connections // 10)
        told(f"{3 * (connections // 10):,} bad ends", "let go of")
        for each in listening:
            each.writer.transport.abort()
        made.end()
        await made.until_left(files)
        told("afterwards", f"{door.files()} descriptors, {files} before")
        await made.come(connections // 2)
        again = (procfs.proportional_set_size(door.pid) or 0) - memory
        told("half as many again", f"{again / 1e6:.0f} MB, {held / 1e6:.0f} the first time")


@contextmanager
def server() -> Iterator[Door]:
    """An API server and its etcd, in a state directory of their own."""
    with tempfile.TemporaryDirectory(prefix="ws-") as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKSHOP_HOME", home)
        cluster = Cluster(f"crowd-{os.getpid()}", only=["etcd", "kube-apiserver"])
        try:
            cluster.up(nodes=0, mode="plain")
            access = kubeconfig.load(Path(cluster.kubeconfig()))
            host, _, port = access.server.removeprefix("https://").rpartition(":")
            pid = next(row["pid"] for row in cluster.ps() if row["name"] == "kube-apiserver")
            yield Door(host, int(port), access.tls(), pid)
        finally:
            cluster.down(purge=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.apiserver.crowd", description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--watchers", type=int, default=1_000, help="how many of them watch")
    options = parser.parse_args()
    component.many_files()
    component.lean_tls()
    with server() as door:
        asyncio.run(full(door, options.connections, options.watchers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
