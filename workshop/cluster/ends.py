"""How the supervisor learns that a process has ended: by pidfd, without polling, also of one that is not its child.

Its children's statuses, and those of orphans that became its children, are taken as they come and kept for a while.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable


class Ends:
    """`statuses`: exit statuses by pid, the last thousand."""

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}

    def reap(self) -> None:
        """Take the statuses of ended children, orphans among them that nobody else would ever take."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.statuses[pid] = os.waitstatus_to_exitcode(status)
            if len(self.statuses) > 1000:
                self.statuses.pop(next(iter(self.statuses)))

    def watch(self, pid: int, ended: Callable[[], None]) -> None:
        """Call `ended()` once when process `pid`, child or not, has ended."""
        loop = asyncio.get_running_loop()
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            loop.call_soon(ended)
            return

        def readable() -> None:
            loop.remove_reader(handle)
            os.close(handle)
            self.reap()
            ended()

        loop.add_reader(handle, readable)
