"""A stream of messages from one member to another: the answer to a GET that never ends, each chunk one message.

Both ends work without tasks: what consensus says is on the socket when `flush` returns, and what comes is handed on
as it is read. A message passes two members for each write that a client waits for, so that is most of his time.

Upstream: `server/etcdserver/api/rafthttp/stream.go`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from workshop.etcd.config import address
from workshop.etcd.membership import Member
from workshop.etcd.peer import codec, http
from workshop.etcd.raft import Message

#: Messages that wait for a peer that listens, or does not (yet).
BOX, BOX_UNHEARD = 4096, 64
#: Bytes on their way to a peer, behind which the rest waits in the box; bytes of one message.
ON_THE_WAY, MAX_MESSAGE = 1 << 20, 64 << 20
#: Seconds: a stream that says nothing for so long is dead; its other end says something three times as often.
READ_TIMEOUT = 5.0
#: Seconds that a notice waits for a message with which it can go.
NOTICE = 0.001
#: A chunk that is no message: its sender lives.
SIGN_OF_LIFE = b"\xff"
#: What a member that was refused is told, in bytes.
MAX_REFUSAL = 1 << 16


class Refused(ConnectionError):
    """The other member answers, and will have nothing to do with this one."""

    def __init__(self, status: int, reason: str) -> None:
        if reason == "cluster ID mismatch":
            reason = "request sent was ignored by remote peer due to cluster ID mismatch"
        super().__init__(f"{reason} ({status})")
        self.status = status


class Peer:
    """One other member: where it is, what waits for it, since when it is heard."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.heard_since: float | None = None
        self.task: asyncio.Future[None] | None = None
        self._box: deque[Message] = deque(maxlen=BOX_UNHEARD)
        self._listener: asyncio.StreamWriter | None = None
        self._notice: Message | None = None
        self._reminding = False
        self._changed = asyncio.Event()  # another listener, or the socket takes no more for now
        self._turn = 0

    def url(self) -> str:
        """One of its URLs; the next one after a failure."""
        return self.member.peer_urls[self._turn % len(self.member.peer_urls)]

    def failed(self) -> None:
        self._turn += 1

    def put(self, messages: Sequence[Message]) -> None:
        """Send them, or keep them until somebody listens; the oldest are lost when the box is full."""
        if self._notice is not None and messages[0].kind != "append":  # which says what the notice would
            self._box.append(self._notice)
        self._notice = None
        self._box.extend(messages)
        self.flush()

    def remind(self, notice: Message) -> None:
        """Send it with the next message, and soon."""
        self._notice = notice
        if not self._reminding:
            self._reminding = True
            asyncio.get_running_loop().call_later(NOTICE, self._remind)

    def _remind(self) -> None:
        self._reminding = False
        if self._notice is not None:
            notice, self._notice = self._notice, None
            self.put([notice])

    def flush(self) -> None:
        """Put what waits on the socket, as long as that takes it."""
        if self._listener is None or not self._box:
            return
        on_the_way = self._listener.transport.get_write_buffer_size()
        chunks = []
        while self._box and on_the_way < ON_THE_WAY and not self._listener.is_closing():
            chunks.append(http.chunk(codec.encode(self._box.popleft())))
            on_the_way += len(chunks[-1])
        self._listener.write(b"".join(chunks))
        if self._box:
            self._changed.set()

    async def speak(self, listener: asyncio.StreamWriter) -> None:
        """Let `listener` have all messages until it goes away, another takes its place, or `hush` is called. Raises
        OSError."""
        self._listener, self._box = listener, deque(self._box, maxlen=BOX)
        self._changed.set()
        try:
            while self._listener is listener:
                self._changed.clear()
                self.flush()
                try:
                    async with asyncio.timeout(READ_TIMEOUT / 3):
                        await listener.drain()
                        self.flush()
                        await self._changed.wait()
                except TimeoutError:
                    listener.write(http.chunk(SIGN_OF_LIFE))
        finally:
            if self._listener is listener:
                self.hush()

    def hush(self) -> None:
        """Nobody listens any more: only the newest messages are kept for who may come."""
        self._listener, self._box = None, deque(self._box, maxlen=BOX_UNHEARD)
        self._changed.set()


class Listening(asyncio.Protocol):
    """The other end. `heard` is called with what each read brought, once with nothing at the beginning; `ended` has
    what went wrong: an OSError, EOFError or Malformed."""

    def __init__(self, request: bytes, heard: Callable[[list[Message]], None]) -> None:
        self._request, self._heard, self._loop = request, heard, asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._transport = cast(asyncio.Transport, None)
        self._head: http.Head | None = None
        self._rest = b""
        self._last = self._loop.time()
        self._timer = self._loop.call_later(READ_TIMEOUT, self._check)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        if self._head is not None and self._head.start[1] != "200":
            self._end(Refused(int(self._head.start[1]), self._rest.decode("utf-8", "replace").strip()))
        self._end(error or EOFError("the stream ends"))

    def _end(self, error: Exception) -> None:
        self._timer.cancel()
        if not self.ended.done():
            self.ended.set_exception(error)

    def close(self) -> None:
        self._end(EOFError("closed"))
        self._transport.abort()

    def _check(self) -> None:
        silent = self._loop.time() - self._last
        if silent >= READ_TIMEOUT:
            self._end(TimeoutError("the peer says nothing"))
            self._transport.abort()
        else:
            self._timer = self._loop.call_later(READ_TIMEOUT - silent, self._check)

    def data_received(self, data: bytes) -> None:
        self._last = self._loop.time()
        try:
            self._received(self._rest + data if self._rest else data)
        except (http.BadMessage, codec.Malformed) as error:
            self._end(error)
            self._transport.abort()

    def _received(self, data: bytes) -> None:
        if self._head is None:
            self._rest = data
            head, end, data = data.partition(b"\r\n\r\n")
            if not end and len(head) <= http.MAX_HEAD:
                return
            self._head, self._rest = http.parse_head(head + end), b""
            if self._head.start[1] == "200":
                self._heard([])
        if self._head.start[1] != "200":  # the reason follows, then the end
            self._rest = data[:MAX_REFUSAL]
            return
        chunks, self._rest = http.split_chunks(data, MAX_MESSAGE)
        messages = [codec.decode(chunk) for chunk in chunks if chunk != SIGN_OF_LIFE]
        if messages:
            self._heard(messages)


async def listen(url: str, tls: ssl.SSLContext | None, request: bytes, heard: Callable[[list[Message]], None]) -> None:
    """Open a stream and hand on what comes, as long as it lasts. Raises OSError, EOFError, TimeoutError, Malformed."""
    host, port, secure = address(url)
    loop = asyncio.get_running_loop()
    context = tls if secure else None
    async with asyncio.timeout(http.CONNECT_TIMEOUT):
        _, listening = await loop.create_connection(lambda: Listening(request, heard), host, port, ssl=context)
    try:
        await listening.ended
    finally:
        listening.close()
