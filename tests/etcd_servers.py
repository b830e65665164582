"""Starting etcd for tests: ours and Debian's, on free ports, ended when the block ends."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from tests.ports import free_port
from workshop.wire import etcd_pb2 as pb

KINDS = ("ours", "debian")


def command(kind: str) -> list[str]:
    """The program; skips where Debian's is not installed, and fails there in CI."""
    if kind == "ours":
        return [sys.executable, "-m", "workshop.etcd"]
    found = shutil.which("etcd")
    if found is None:
        missing = "Debian's etcd-server is not installed (apt-get install etcd-server)"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return [found, "--log-level", "error"]


class EtcdProcess:
    """One member. `start` returns when it answers; `kill` is kill -9."""

    def __init__(self, kind: str, folder: Path, *flags: str) -> None:
        self.kind, self.folder, self.flags = kind, folder, flags
        self.client_port, self.peer_port = free_port(), free_port()
        self.endpoint = f"127.0.0.1:{self.client_port}"
        self.process: subprocess.Popen[bytes] | None = None

    def arguments(self) -> list[str]:
        client, peer = f"http://{self.endpoint}", f"http://127.0.0.1:{self.peer_port}"
        usual = {
            "--data-dir": str(self.folder),
            "--listen-client-urls": client,
            "--advertise-client-urls": client,
            "--listen-peer-urls": peer,
            "--initial-advertise-peer-urls": peer,
            "--initial-cluster": f"default={peer}",
        }
        given = {flag.partition("=")[0] for flag in self.flags}
        flags = [f"{name}={value}" for name, value in usual.items() if name not in given]
        return [*command(self.kind), *flags, *self.flags]

    def spawn(self) -> None:
        self.process = subprocess.Popen(self.arguments(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    async def appears(self, path: Path, patience: float = 60.0) -> bytes:
        """What is in a file that the process writes, once it is there."""
        async with asyncio.timeout(patience):
            while not (path.exists() and path.read_bytes().endswith(b"-\n")):  # noqa: ASYNC110  another process writes
                await asyncio.sleep(0.02)
        return path.read_bytes()

    async def start(self, patience: float = 60.0) -> None:
        self.spawn()
        options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 50)]
        async with grpc.aio.insecure_channel(self.endpoint, options=options) as channel:
            await asyncio.wait_for(channel.channel_ready(), patience)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)


@asynccontextmanager
async def running(kind: str, folder: Path, *flags: str) -> AsyncIterator[EtcdProcess]:
    etcd = EtcdProcess(kind, folder, *flags)
    await etcd.start()
    try:
        yield etcd
    finally:
        if etcd.process is not None and etcd.process.poll() is None:
            etcd.kill()


class Kept:
    """Members that tests use one after the other; each starts when it is first asked for, and each test leaves it empty."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._members: dict[str, EtcdProcess] = {}

    def endpoint(self, kind: str) -> str:
        if kind not in self._members:
            member = self._members[kind] = EtcdProcess(kind, self._folder / kind)
            member.spawn()
            with grpc.insecure_channel(member.endpoint) as channel:
                grpc.channel_ready_future(channel).result(timeout=60)
        return self._members[kind].endpoint

    async def empty(self, kind: str) -> None:
        async with grpc.aio.insecure_channel(self.endpoint(kind)) as channel:
            everything = pb.DeleteRangeRequest(key=b"\0", range_end=b"\0")
            await channel.unary_unary(
                "/etcdserverpb.KV/DeleteRange",
                request_serializer=pb.DeleteRangeRequest.SerializeToString,
                response_deserializer=pb.DeleteRangeResponse.FromString,
            )(everything)

    def close(self) -> None:
        for member in self._members.values():
            member.kill()
