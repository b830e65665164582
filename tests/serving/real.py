"""A real kube-apiserver, where KUBE_BINARIES names a folder with one, over Debian's etcd."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests import etcd_servers
from tests.certificates import self_signed
from tests.ports import free_port

from .dialogue import Dialogue, Server

PATIENCE = 120.0


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Server]:
    """It lets everybody do everything whose certificate it knows."""
    program = Path(os.environ.get("KUBE_BINARIES", ""), "kube-apiserver")
    if not os.environ.get("KUBE_BINARIES") or not program.exists():
        pytest.skip("KUBE_BINARIES names no folder with upstream's kube-apiserver")
    server, client = self_signed(folder, "server", 1), self_signed(folder, "client", 1)
    port = free_port()
    tls = ssl.create_default_context(cafile=server[0])
    tls.check_hostname = False
    tls.load_cert_chain(*client)
    found = Server("127.0.0.1", port, tls)
    log = folder / "log"
    async with etcd_servers.running("debian", folder / "etcd") as etcd:
        with log.open("wb") as words:
            process = await asyncio.create_subprocess_exec(
                program,
                f"--etcd-servers=http://{etcd.endpoint}", "--bind-address=127.0.0.1", f"--secure-port={port}",
                "--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none", "--authorization-mode=AlwaysAllow",
                f"--tls-cert-file={server[0]}", f"--tls-private-key-file={server[1]}", f"--client-ca-file={client[0]}",
                f"--service-account-key-file={server[0]}", f"--service-account-signing-key-file={server[1]}",
                "--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.96.0.0/16",
                stdout=subprocess.DEVNULL, stderr=words,
            )  # fmt: skip
        try:
            await _ready(found, process, log)
            yield found
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _ready(server: Server, process: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await _well(server):
            assert process.returncode is None, log.read_text()[-2000:]
            await asyncio.sleep(0.2)


async def _well(server: Server) -> bool:
    try:
        async with Dialogue(server) as dialogue:
            dialogue.say(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            return (await dialogue.answer()).startswith("200 OK")
    except OSError:
        return False
