"""One or several real members, and the links between them."""

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

from tests.etcd.linearizability.links import Links, links
from tests.etcd_servers import command

if TYPE_CHECKING:
    from tests.etcd.linearizability.checker import Operation


class Member:
    """A process that may be killed and launched again; `links` gives it its addresses."""

    def __init__(self, kind: str, name: str, folder: Path) -> None:
        self.kind, self.name, self.folder = kind, name, folder
        self.client = self.peer = self.listens = ""
        self.before: list[str] = []
        self.peers = ""
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        client = f"http://{self.client}"
        arguments = [
            *self.before,
            *command(self.kind),
            f"--name={self.name}",
            f"--data-dir={self.folder / self.name}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls=http://{self.listens}",
            f"--initial-advertise-peer-urls=http://{self.peer}",
            f"--initial-cluster={self.peers}",
            "--snapshot-count=500",
        ]
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(arguments, stdout=log, stderr=log)

    async def answers(self) -> None:
        """Return when the member serves clients."""
        options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]
        async with grpc.aio.insecure_channel(self.client, options) as channel:
            await asyncio.wait_for(channel.channel_ready(), 60)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Members:
    """All members."""

    def __init__(self, kind: str, count: int, folder: Path, links: Links) -> None:
        self.all = [Member(kind, f"m{number}", folder) for number in range(count)]
        self.links = links

    @classmethod
    @asynccontextmanager
    async def running(cls, kind: str, count: int, folder: Path, network: str = "auto") -> AsyncIterator[Members]:
        members = cls(kind, count, folder, links(network))
        await members.links.open(list(members.all))
        try:
            for member in members.all:
                member.peers = ",".join(f"{one.name}=http://{one.peer}" for one in members.all)
                member.launch()
            for member in members.all:
                await member.answers()
            yield members
        finally:
            for member in members.all:
                if member.process is not None and member.process.poll() is None:
                    member.kill()
            await members.links.close()

    async def patiently(self, ask: Callable[[], Awaitable[Operation | None]]) -> Operation:
        """Ask until there is an answer, for a minute."""
        for _ in range(300):
            answer = await ask()
            if answer is not None and answer.returned != inf:
                return answer
            await asyncio.sleep(0.2)
        raise TimeoutError("the members did not recover")
