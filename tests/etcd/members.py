"""Several members of ours as processes, for tests: started together, killed one by one."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from tests.etcd_servers import command
from tests.ports import free_port
from workshop.wire import etcd_pb2 as pb

OPTIONS = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 100)]


async def call(endpoint: str, method: str, request: Any, timeout: float = 90) -> Any:
    """One gRPC call on a connection of its own; waits for the server to be there."""
    answer = getattr(pb, type(request).__name__.replace("Request", "Response"))
    async with grpc.aio.insecure_channel(endpoint, options=OPTIONS) as channel:
        one = channel.unary_unary(
            f"/etcdserverpb.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        end = asyncio.get_running_loop().time() + timeout
        while True:
            left = end - asyncio.get_running_loop().time()
            try:
                return await one(request, timeout=left, wait_for_ready=True)
            except grpc.RpcError as error:
                # on a busy machine followers lose patience; what was proposed meanwhile is asked for again, as a client does
                if error.details() != "etcdserver: leader changed" or left <= 0:
                    raise


class MemberProcess:
    def __init__(self, name: str, folder: Path, *flags: str, kind: str = "ours") -> None:
        self.name, self.folder, self.flags, self.kind = name, folder / name, flags, kind
        self.log = folder / f"{name}.log"
        self.endpoint = f"127.0.0.1:{free_port()}"
        self.peer = f"http://127.0.0.1:{free_port()}"
        self.cluster = f"{name}={self.peer}"
        self.state = "new"
        self.process: subprocess.Popen[bytes] | None = None

    def arguments(self) -> list[str]:
        client = f"http://{self.endpoint}"
        return [
            *command(self.kind),
            f"--name={self.name}",
            f"--data-dir={self.folder}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={self.peer}",
            f"--initial-advertise-peer-urls={self.peer}",
            f"--initial-cluster={self.cluster}",
            f"--initial-cluster-state={self.state}",
            *self.flags,
        ]

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.arguments(), stdout=log, stderr=log)

    def run(self) -> str:
        """Start it and wait until it has ended with an error; what it said last."""
        done = subprocess.run(self.arguments(), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1, done.stderr
        return done.stderr.strip().splitlines()[-1]

    async def ended(self) -> int:
        assert self.process is not None
        return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(None, self.process.wait), 60)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    async def call(self, method: str, request: Any, timeout: float = 90) -> Any:
        return await call(self.endpoint, method, request, timeout)

    async def status(self) -> Any:
        return await self.call("Maintenance/Status", pb.StatusRequest())


class Members:
    def __init__(self, folder: Path, count: int, *flags: str, kind: str = "ours") -> None:
        self.folder, self.flags, self.kind = folder, flags, kind
        self.all = [MemberProcess(f"m{i}", folder, *flags, kind=kind) for i in range(1, count + 1)]
        for member in self.all:
            member.cluster = ",".join(f"{other.name}={other.peer}" for other in self.all)

    def start(self) -> None:
        for member in self.all:
            member.start()

    async def ready(self) -> None:
        await asyncio.gather(*(member.status() for member in self.all))

    async def leader(self, among: list[MemberProcess] | None = None) -> MemberProcess:
        """The leader, as one of the members names it, once there is one among them."""
        async with asyncio.timeout(60):
            while True:
                ids = {}
                for member in among or self.all:
                    status = await member.status()
                    ids[status.header.member_id] = member
                    if status.leader in ids:
                        return ids[status.leader]
                await asyncio.sleep(0.05)

    def joining(self, name: str) -> MemberProcess:
        """A member that was added; it is to be started."""
        new = MemberProcess(name, self.folder, *self.flags, kind=self.kind)
        new.state = "existing"
        self.all.append(new)
        new.cluster = ",".join(f"{other.name}={other.peer}" for other in self.all)
        return new

    def close(self) -> None:
        for member in self.all:
            member.kill()


@asynccontextmanager
async def members(folder: Path, count: int, *flags: str, kind: str = "ours") -> AsyncIterator[Members]:
    cluster = Members(folder, count, *flags, kind=kind)
    cluster.start()
    try:
        await cluster.ready()
        yield cluster
    finally:
        cluster.close()
