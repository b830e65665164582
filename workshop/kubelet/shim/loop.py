"""A selector with callbacks and timers: all that a shim needs of an event loop, without the weight of asyncio."""

from __future__ import annotations

import heapq
import os
import selectors
import socket
import time
from collections.abc import Callable

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Loop:
    """Callbacks for readable and writable descriptors, and for moments in time."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.stopped = False

    def watch(
        self, fd: int, *, read: Callable[[], None] | None = None, write: Callable[[], None] | None = None
    ) -> None:
        """Set both callbacks of `fd`; None and None forget it."""
        events = (READ if read else 0) | (WRITE if write else 0)
        known = fd in self._selector.get_map()
        if not events:
            if known:
                self._selector.unregister(fd)
        elif known:
            self._selector.modify(fd, events, (read, write))
        else:
            self._selector.register(fd, events, (read, write))

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back once, later."""
        self._count += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._count, callback))  # noqa: TID251

    def run(self) -> None:
        """Until `stopped`."""
        while not self.stopped:
            timeout = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None  # noqa: TID251
            for key, mask in self._selector.select(timeout):
                for place, event in enumerate((READ, WRITE)):
                    # a callback before this one may have forgotten the descriptor, or closed it and opened another
                    current = self._selector.get_map().get(key.fd)
                    callback = key.data[place]
                    if mask & event and callback and current is not None and current.data[place] == callback:
                        callback()
            while self._timers and self._timers[0][0] <= time.monotonic():  # noqa: TID251
                heapq.heappop(self._timers)[2]()


class Outbox:
    """Bytes on their way into a non-blocking descriptor. `full()` tells the sender to pause."""

    LIMIT = 256 * 1024

    def __init__(self, loop: Loop, fd: int, on_broken: Callable[[], None]) -> None:
        self._loop, self.fd, self._broken = loop, fd, on_broken
        self._pending = bytearray()
        self._closing: Callable[[], None] | None = None
        self._reader: Callable[[], None] | None = None
        self.on_drained: Callable[[], None] | None = None

    def reader(self, callback: Callable[[], None] | None) -> None:
        """What to call when the same descriptor is readable (sockets and terminals)."""
        self._reader = callback
        self._update()

    def _update(self) -> None:
        if self.fd >= 0:
            self._loop.watch(self.fd, read=self._reader, write=self._flush if self._pending else None)

    def send(self, data: bytes) -> None:
        """Queue and try at once."""
        if self.fd < 0:
            return
        self._pending += data
        self._flush()

    def full(self) -> bool:
        return len(self._pending) > self.LIMIT

    def size(self) -> int:
        return len(self._pending)

    def close_when_sent(self, closed: Callable[[], None]) -> None:
        """Call `closed` once everything is on its way."""
        self._closing = closed
        if not self._pending:
            closed()

    def forget(self) -> None:
        """Stop watching; the owner closes the descriptor."""
        if self.fd >= 0:
            self._loop.watch(self.fd)
            self.fd = -1

    def _flush(self) -> None:
        try:
            while self._pending:
                del self._pending[: os.write(self.fd, bytes(self._pending[:65536]))]
        except BlockingIOError:
            pass
        except OSError:
            self._pending.clear()
            self._broken()
            return
        self._update()
        if not self._pending:
            if self._closing:
                self._closing()
            elif self.on_drained:
                self.on_drained()


def send_descriptor(sock: socket.socket, line: bytes, fd: int) -> None:
    """Answer with a line of JSON and an open descriptor beside it."""
    sock.setblocking(True)
    socket.send_fds(sock, [line], [fd])
