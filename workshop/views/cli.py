"""`workshop board`: serve the board as a web page until interrupted, and say where."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import signal
from pathlib import Path

from workshop.cluster.facade import Cluster
from workshop.cluster.layout import ClusterError, Layout, write_private

from .board import Board
from .web import serving_board

ADDRESS_FILE = "board.json"
"""In the cluster's state directory, 0600, while a page is served: {"url", "pid"}. Slides find the board by it."""


def board(arguments: argparse.Namespace) -> int:
    if arguments.kubeconfig:
        shown, layout = Board.attach(arguments.kubeconfig), None
        if shown.feed.problem:
            raise ClusterError(shown.feed.problem)
    else:
        cluster = Cluster(arguments.name)
        shown, layout = Board(cluster), cluster.layout
    try:
        asyncio.run(_serve(shown, layout, arguments.port))
    finally:
        shown.close()
    return 0


async def _serve(shown: Board, layout: Layout | None, port: int) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        async with serving_board(shown, secrets.token_urlsafe(24), port) as url:
            address = _address(layout, url)
            print(
                f"The board of {shown.title}: {url}\n(add &embed for an iframe, &tab=map, &theme=dark; Ctrl-C ends)",
                flush=True,
            )
            try:
                await stop.wait()
            finally:
                if address is not None:
                    address.unlink(missing_ok=True)
    except OSError as error:
        raise ClusterError(f"{error.strerror}; choose another by --port") from error


def _address(layout: Layout | None, url: str) -> Path | None:
    if layout is None or not layout.root.is_dir():
        return None
    import os

    path = layout.root / "run" / ADDRESS_FILE
    write_private(path, json.dumps({"url": url, "pid": os.getpid()}).encode())
    return path
