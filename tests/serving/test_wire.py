"""What our API server says to odd bytes is what a real one said (facts.yaml), and what a real one says where
KUBE_BINARIES names a folder with one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import yaml

from tests.api_server import running
from workshop.serving import listen, serve

from . import cases, real
from .dialogue import PATIENCE, Server
from .record import FACTS, ask

FOUND = yaml.safe_load(FACTS.read_text())


@asynccontextmanager
async def ours() -> AsyncIterator[Server]:
    sock = listen("127.0.0.1", 0)
    async with running() as server, serve(server.app, [sock], streams=server.streams), asyncio.timeout(PATIENCE):
        yield Server(*sock.getsockname())


def test_every_case_has_its_fact() -> None:
    assert [case.name for case in cases.every()] == list(FOUND)


async def test_what_ours_says() -> None:
    async with ours() as server:
        assert await ask(server) == FOUND


async def test_what_a_real_one_says(tmp_path: Path) -> None:
    async with real.running(tmp_path) as server:
        assert await ask(server) == FOUND
