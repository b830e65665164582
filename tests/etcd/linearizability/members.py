"""One or several real members, with a proxy before each peer port that can cut one member off from another.

Who connects to the proxy is found in the system's table of sockets, so this needs no privileges. A cut link is not
closed but silent, as a real partition is: bytes wait, and pass when it is mended.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import psutil

from tests.etcd_servers import command
from tests.ports import free_port

if TYPE_CHECKING:
    from tests.etcd.linearizability.checker import Operation


class Member:
    """A process that may be killed and launched again."""

    def __init__(self, kind: str, name: str, folder: Path) -> None:
        self.kind, self.name, self.folder = kind, name, folder
        self.client_port, self.peer_port, self.proxy_port = free_port(), free_port(), free_port()
        self.endpoint = f"127.0.0.1:{self.client_port}"
        self.peers = ""
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        client, peer = f"http://{self.endpoint}", f"http://127.0.0.1:{self.proxy_port}"
        arguments = [
            *command(self.kind),
            f"--name={self.name}",
            f"--data-dir={self.folder / self.name}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls=http://127.0.0.1:{self.peer_port}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster={self.peers}",
            "--snapshot-count=500",
        ]
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(arguments, stdout=log, stderr=log)

    async def answers(self) -> None:
        """Return when the member serves clients."""
        options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]
        async with grpc.aio.insecure_channel(self.endpoint, options) as channel:
            await asyncio.wait_for(channel.channel_ready(), 30)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def owns(self, port: int) -> bool:
        """Does the process have a socket with this local port?"""
        if self.process is None or self.process.poll() is not None:
            return False
        try:
            sockets = psutil.Process(self.process.pid).net_connections("tcp")
        except psutil.Error:
            return False
        return any(socket.laddr and socket.laddr.port == port for socket in sockets)


class Members:
    """All members and the links between them."""

    def __init__(self, kind: str, count: int, folder: Path) -> None:
        self.all = [Member(kind, f"m{number}", folder) for number in range(count)]
        for member in self.all:
            member.peers = ",".join(f"{one.name}=http://127.0.0.1:{one.proxy_port}" for one in self.all)
        self._cut: set[tuple[str, str]] = set()
        self._mended = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self, source: str, target: str) -> None:
        """Nothing that `source` sends comes to `target` any more."""
        self._cut.add((source, target))

    def mend(self) -> None:
        self._cut.clear()
        task = asyncio.ensure_future(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        async with self._mended:
            self._mended.notify_all()

    @classmethod
    @asynccontextmanager
    async def running(cls, kind: str, count: int, folder: Path) -> AsyncIterator[Members]:
        members = cls(kind, count, folder)
        proxies = [await members._proxy(member) for member in members.all]
        try:
            for member in members.all:
                member.launch()
            for member in members.all:
                await member.answers()
            yield members
        finally:
            for member in members.all:
                if member.process is not None and member.process.poll() is None:
                    member.kill()
            for proxy in proxies:
                proxy.close()
            for task in list(members._tasks):
                task.cancel()
            await asyncio.gather(*members._tasks, return_exceptions=True)

    async def patiently(self, ask: Callable[[], Awaitable[Operation | None]]) -> Operation:
        """Ask until there is an answer, for half a minute."""
        for _ in range(150):
            answer = await ask()
            if answer is not None and answer.returned != inf:
                return answer
            await asyncio.sleep(0.2)
        raise TimeoutError("the members did not recover")

    async def _proxy(self, target: Member) -> asyncio.Server:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await self._carry(target, reader, writer)
            except OSError:
                pass  # one of the two ends went away
            finally:
                writer.close()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(serve(reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return await asyncio.start_server(accept, "127.0.0.1", target.proxy_port)

    async def _carry(self, target: Member, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("peername")[1]
        loop = asyncio.get_running_loop()
        owners = await loop.run_in_executor(None, lambda: [one.name for one in self.all if one.owns(port)])
        source = owners[0] if owners else ""
        there, back = await asyncio.open_connection("127.0.0.1", target.peer_port)
        try:
            ways = [
                asyncio.ensure_future(self._pass(source, target.name, reader, back)),
                asyncio.ensure_future(self._pass(target.name, source, there, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            back.close()

    async def _pass(self, source: str, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            async with self._mended:
                await self._mended.wait_for(lambda: (source, target) not in self._cut)
            writer.write(data)
            await writer.drain()
