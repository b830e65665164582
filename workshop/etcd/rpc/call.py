"""One call: what it reads, what it writes, who calls."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from workshop.http2.frames import messages

if TYPE_CHECKING:
    from workshop.etcd.rpc.connection import Connection

#: Messages that wait in a call that does not read; more are only taken when it does.
INBOX = 64


class Method(NamedTuple):
    """A method of a service. `unary` gets a request and gives the answer; `stream` reads and writes by the call."""

    unary: Callable[[bytes, Call], Awaitable[bytes]] | None = None
    stream: Callable[[Call], Awaitable[None]] | None = None


class Call:
    """A handler's view of its call.

    `metadata` are the request's headers (lower case); `common_name` is that of the client's certificate, "" without.
    """

    __slots__ = (
        "_half_closed", "_inbox", "_partial", "_reader", "connection", "metadata", "method", "out", "started", "stream",
        "task", "trailers", "unacknowledged", "window", "writer",
    )  # fmt: skip

    def __init__(self, connection: Connection, stream: int, method: Method, metadata: dict[str, str], window: int):
        self.connection, self.stream, self.method, self.metadata = connection, stream, method, metadata
        self.task: asyncio.Task[None] | None = None
        # What the client sends.
        self._partial = bytearray()
        self._inbox: deque[bytes] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._half_closed = False
        self.unacknowledged = 0  # bytes that the client may not send again before it is told so
        # What goes to the client: bytes that the flow control holds back, and how much it lets through.
        self.out = bytearray()
        self.window = window
        self.trailers: bytes | None = None
        self.started = False
        self.writer: asyncio.Future[None] | None = None

    @property
    def common_name(self) -> str:
        return self.connection.common_name

    async def read(self) -> bytes | None:
        """The next message; None when the client will send no more."""
        while not self._inbox:
            if self._half_closed:
                return None
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        message = self._inbox.popleft()
        self.connection.acknowledge(self)
        return message

    async def write(self, message: bytes) -> None:
        """Send a message; returns when there is room for another."""
        if not self.send(message):
            await self.room()

    def send(self, message: bytes) -> bool:
        """Send a message; False when `room` should be waited for before the next."""
        return self.connection.send_message(self, message)

    async def room(self) -> None:
        """Return when what was sent has left."""
        await self.connection.room(self)

    # From the connection

    def feed(self, data: bytes, ended: bool, limit: int) -> None:
        """Payload has come. Raises MessageRefused."""
        size = len(data) - 5
        if not self._partial and 0 <= size <= limit and not data[0] and int.from_bytes(data[1:5], "big") == size:
            self._inbox.append(data[5:])  # one whole message, as nearly always
        elif data:
            self._partial += data
            self._inbox += messages(self._partial, limit)
        self._half_closed = ended
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    @property
    def ended(self) -> bool:
        """Will the client send no more?"""
        return self._half_closed

    @property
    def full(self) -> bool:
        return len(self._inbox) > INBOX

    def request(self) -> bytes | None:
        """The one message of a unary call; None if there is none, or another number."""
        return self._inbox[0] if len(self._inbox) == 1 and not self._partial else None
