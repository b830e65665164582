"""The zygote as its supervisor sees it: born when needed, one order at a time.

The first one is a fork of the supervisor, made before that has a loop: the interpreter and its standard library are
then in memory once for both, and for every component. One that is made later, because the first was killed, is a
program of its own: a process with a running loop is not forked.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from workshop.clock import SYSTEM
from workshop.cluster import zygote
from workshop.cluster.plan import Plan


class ZygoteHandle:
    def __init__(self, plan: Plan) -> None:
        self.directory = Path(plan.directory)
        self.packages = list(dict.fromkeys(c.module for c in plan.components))
        self.pid = 0
        self.orders: socket.socket | None = None
        self.lock = asyncio.Lock()
        self.born = 0.0
        self.failures = 0

    def fork(self) -> None:
        """Make it as a copy of this process, which must have neither loop nor thread."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            gc.freeze()  # a collection writes into every object it looks at: the pages would not stay shared
            self.pid = os.fork()
            if self.pid == 0:
                self._become(theirs)
        self._born(ours)

    def _become(self, orders: socket.socket) -> None:
        status = 1
        try:
            os.setsid()
            with open(self._log(), "ab") as output, open(os.devnull, "rb") as nothing:
                os.dup2(nothing.fileno(), 0)
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
            number = os.dup2(orders.fileno(), 3)
            os.closerange(4, os.sysconf("SC_OPEN_MAX"))
            status = zygote.main([str(number), str(self.directory), *self.packages])
        except BaseException:  # noqa: BLE001  the last edge of this process: its log is the only place to tell
            traceback.print_exc()
        finally:
            os._exit(status)

    def spawn(self) -> None:
        """Make it as a program of its own."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, open(self._log(), "ab") as output:
            child = subprocess.Popen(
                [
                    sys.executable, "-m", "workshop.cluster.zygote",
                    str(theirs.fileno()), str(self.directory), *self.packages,
                ],
                pass_fds=[theirs.fileno()],
                env=zygote.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )  # fmt: skip
        self.pid = child.pid
        child.returncode = 0  # the supervisor takes the status of all its children itself
        self._born(ours)

    def _log(self) -> Path:
        return self.directory / "logs" / "zygote.log"

    def _born(self, orders: socket.socket) -> None:
        orders.setblocking(False)
        self.orders = orders
        self.born = SYSTEM.now()

    def close(self) -> None:
        """Its orders end, and so does it."""
        if self.orders is not None:
            self.orders.close()
            self.orders = None

    async def order(self, order: dict[str, Any], sockets: list[int] | None = None) -> dict[str, Any]:
        """Send one order and wait for its answer. Raises OSError when the zygote is gone or refuses."""
        async with self.lock:
            if self.orders is None:
                raise ConnectionResetError("no zygote")
            socket.send_fds(self.orders, [json.dumps(order).encode()], sockets or [])
            data = await asyncio.get_running_loop().sock_recv(self.orders, zygote.MAX_ORDER)
            if not data:
                raise ConnectionResetError("the zygote ended")
            answer: dict[str, Any] = json.loads(data)
            if "error" in answer:
                raise OSError(answer["error"])
            return answer
