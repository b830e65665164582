"""The workshop floor: a room of 300 learners at one instructor's board, and the first board after `make lab`."""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import psutil

from .clusters import ROOT
from .figures import MB, Figure, spread

LEARNERS = 300
ROUNDS = 6
PAUSE = 2.0
"""Seconds between two steps of one learner: far faster than anybody works, ten times a real room."""


def room(learners: int = LEARNERS) -> list[Figure]:
    """Reports as learners send them, and one board that is open; all on loopback."""
    argv = [sys.executable, "-m", "workshop", "instructor", "--address", "127.0.0.1:0", "--token", "bench-board-token"]
    server = subprocess.Popen(
        [*argv, "--learners-token", "bench-room-token"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline())
        assert found, "workshop instructor did not start"
        answers, seen = asyncio.run(_room(found[0], learners))
        process = psutil.Process(server.pid)
        memory, used = process.memory_info().rss / MB, sum(process.cpu_times()[:2])
    finally:
        server.terminate()
        server.wait(10)
        if server.stdout is not None:
            server.stdout.close()
    share = 100 * used / (ROUNDS * PAUSE)
    detail = f"{learners} learners, {learners / PAUSE:.0f} reports a second, {_middle(answers)}"
    return [
        Figure("room: a report answered, p99", _p99(answers), "ms", 250.0, 100.0, detail),
        Figure("room: seen on the board, p99", _p99(seen), "ms", 1000.0, 500.0, _middle(seen)),
        Figure("room: memory of the server", memory, "MB", 120.0, 80.0),
        Figure("room: load of one core", share, "%", 50.0, 25.0),
    ]


def _p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * (len(values) - 1))]


def _middle(values: list[float]) -> str:
    return f"median {statistics.median(values):.0f} ms"


async def _room(url: str, learners: int) -> tuple[list[float], list[float]]:
    """Milliseconds: how long each report took, and until the open board had it."""
    sent: dict[tuple[str, str], float] = {}
    answers: list[float] = []
    seen: list[float] = []
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        watching = asyncio.ensure_future(_watch(session, url, sent, seen))
        await asyncio.gather(*(_learner(session, url, n, learners, sent, answers) for n in range(learners)))
        await asyncio.sleep(1.0)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert len(seen) >= 0.95 * len(answers), f"the board had {len(seen)} of {len(answers)} reports"
    return answers, seen


async def _learner(
    session: aiohttp.ClientSession, url: str, number: int, learners: int, sent: dict[tuple[str, str], float],
    answers: list[float],
) -> None:  # fmt: skip
    await asyncio.sleep(PAUSE * number / learners)
    headers = {"Authorization": "Bearer bench-room-token"}
    for turn in range(ROUNDS):
        section = f"section {turn}"
        checks = {"no node": {"passed": turn % 2 == 1, "tries": turn, "found": "there is no pod late", "stuck": 3}}
        body = {"secret": f"secret of learner {number:04}", "name": f"learner {number}", "lab": "tour"}
        begun = sent[f"learner {number}", section] = time.monotonic()
        async with session.post(
            f"{url}/report", json={**body, "section": section, "checks": checks}, headers=headers
        ) as got:
            assert got.status == 204, got.status
        answers.append(1000 * (time.monotonic() - begun))
        await asyncio.sleep(max(0.0, PAUSE - (time.monotonic() - begun)))


async def _watch(
    session: aiohttp.ClientSession, url: str, sent: dict[tuple[str, str], float], seen: list[float]
) -> None:
    async with session.get(f"{url}/changes", headers={"Authorization": "Bearer bench-board-token"}) as stream:
        async for line in stream.content:
            if line.startswith(b"data: "):
                now = time.monotonic()
                for row in json.loads(line[6:])["learners"]:
                    begun = sent.pop((row["name"], row["section"]), None)
                    if begun is not None:
                        seen.append(1000 * (now - begun))


def first_board(runs: int) -> list[Figure]:
    """From `make lab` to a live board: the index opens, the tour is clicked, its first two cells are run."""
    from playwright.sync_api import sync_playwright

    from tests.robot.__main__ import browser_path, down, no_sandbox
    from tests.robot.desk import Desk
    from tests.robot.learner import Learner, labs, title

    if browser_path() is None:
        print("The first board is not measured: there is no Chromium.")
        return []
    lab = labs()[0]
    times: list[dict[str, float]] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=no_sandbox())
        for _ in range(runs):
            with tempfile.TemporaryDirectory(prefix="ws-") as folder:
                home = Path(folder)
                desk = Desk(home)
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                try:
                    learner = Learner(page, desk, home / "pictures")
                    learner.note("server")
                    learner.open_index()
                    learner.open_lab(title(lab), lab.stem)
                    learner.first_board(lab)
                    times.append(learner.seen)
                finally:
                    page.close()
                    desk.close()
                    down(home)
        browser.close()
    last = [seen[f"{lab.stem} board"] for seen in times]
    steps = {key: statistics.median(seen[key] for seen in times) for key in times[0]}
    detail = f"{spread(last)}; " + ", ".join(f"{key} {value:.1f}" for key, value in steps.items())
    return [Figure("first board after make lab", statistics.median(last), "s", 10.0, 8.0, detail)]
