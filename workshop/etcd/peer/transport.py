"""Streams to and from every other member.

A member listens: it opens a connection to each other one, and that one sends down it what it has for this member. So
who comes back after a crash finds its way to the others at once, and hears them.

    this member                                       another one
      outbox for it  <── its GET /raft/stream/message/… is open: messages go ──>
      GET /raft/stream/message/… to it ──>            <── its messages come

Messages are lost where there is no connection, and when a box is full: consensus is made for that.

Upstream: `server/etcdserver/api/rafthttp/{transport,stream,peer,snapshot_sender}.go`.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from workshop.clock import Clock
from workshop.etcd import snapshot
from workshop.etcd.membership import Member
from workshop.etcd.peer import codec, http
from workshop.etcd.raft import Message
from workshop.etcd.surroundings import Removed

log = logging.getLogger("etcd")

#: Messages that wait for a peer that listens, or does not (yet).
BOX, BOX_UNHEARD = 4096, 64
#: Bytes of one chunk of a stream, and of one part of a snapshot.
MAX_CHUNK, PART = 64 << 20, 1 << 20
#: Seconds: a stream that says nothing for so long is dead; its other end says something three times as often.
READ_TIMEOUT = 5.0
REDIAL = 0.1
#: Seconds for a request to another member.
REQUEST_TIMEOUT = 7.0


class Receiver(Protocol):
    """The node, as the transport sees it."""

    def receive(self, messages: Sequence[Message]) -> None: ...

    def snapshot_sent(self, peer: int, arrived: bool) -> None: ...

    def fail(self, error: Exception) -> None: ...


class Peer:
    """One other member: where it is, what waits for it, since when it is heard."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.box: deque[Message] = deque(maxlen=BOX_UNHEARD)
        self.something = asyncio.Event()
        self.listeners = 0
        self.heard_since: float | None = None
        self.task: asyncio.Future[None] | None = None
        self._turn = 0

    def url(self) -> str:
        """One of its URLs; the next one after a failure."""
        return self.member.peer_urls[self._turn % len(self.member.peer_urls)]

    def failed(self) -> None:
        self._turn += 1

    def put(self, message: Message) -> None:
        self.box.append(message)
        self.something.set()

    def unheard(self) -> None:
        """Nobody listens any more: only the newest messages are kept for who may come."""
        self.box = deque(self.box, maxlen=BOX_UNHEARD)

    def take(self) -> bytes:
        """All that waits, as one chunk; an empty frame when there is nothing, so that the other end sees we live."""
        messages, self.box = list(self.box), deque(maxlen=BOX)
        self.something.clear()
        if not messages:
            return http.chunk(codec.frame(b""))
        return http.chunk(b"".join(codec.frame(codec.encode(message)) for message in messages))


class Transport:
    """`update` says who the others are; `send` and `request` reach them."""

    def __init__(
        self, cluster_id: int, member_id: int, receiver: Receiver, clock: Clock, tls: ssl.SSLContext | None = None
    ) -> None:
        self.cluster_id, self.member_id, self.receiver, self.clock = cluster_id, member_id, receiver, clock
        self.peers: dict[int, Peer] = {}
        self.removed: set[int] = set()
        self.on_heard: Callable[[], None] = lambda: None
        self._tls = tls
        self._tasks: set[asyncio.Future[Any]] = set()

    # The node's side

    def update(self, members: Sequence[Member], removed: set[int]) -> None:
        wanted = {member.id: member for member in members if member.id != self.member_id}
        self.removed = set(removed)
        for id in [id for id in self.peers if id not in wanted]:
            self._forget(self.peers.pop(id))
        for id, member in wanted.items():
            peer = self.peers.get(id)
            if peer is None:
                peer = self.peers[id] = Peer(member)
                peer.task = asyncio.ensure_future(self._listen(peer))
            peer.member = member

    def _forget(self, peer: Peer) -> None:
        if peer.task is not None:
            peer.task.cancel()

    def send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            peer = self.peers.get(message.to)
            if peer is None:
                continue
            if message.kind == "snapshot":
                self._spawn(self._send_snapshot(peer, message))
            else:
                peer.put(message)

    def connected_since(self, member: int) -> float | None:
        peer = self.peers.get(member)
        return peer.heard_since if peer is not None else None

    def close(self) -> None:
        for peer in self.peers.values():
            self._forget(peer)
        for task in self._tasks:
            task.cancel()

    # Listening to a peer

    async def _listen(self, peer: Peer) -> None:
        """Keep a stream from `peer` open, for ever."""
        said = ""
        while True:
            try:
                await self._stream(peer)
                said = ""
            except Refused as refused:
                if refused.status == 410:
                    self.receiver.fail(Removed("the member has been permanently removed from the cluster"))
                    return
                said = self._say(peer, str(refused), said)
            except (OSError, EOFError, TimeoutError, ssl.SSLError, codec.Malformed) as error:
                peer.failed()
                said = self._say(peer, str(error) or type(error).__name__, said)
            finally:
                peer.heard_since = None
            await self.clock.sleep(REDIAL)

    def _say(self, peer: Peer, problem: str, before: str) -> str:
        if problem != before:
            log.warning("peer %x at %s: %s", peer.member.id, peer.url(), problem)
        return problem

    async def _stream(self, peer: Peer) -> None:
        path = f"/raft/stream/message/{self.member_id:x}"
        async with Exchange(self, peer, "GET", path) as (head, reader, _):
            if head.start[1] != "200":
                raise Refused(int(head.start[1]), (await http.read_body(reader, head, PART)).decode().strip())
            stream = http.chunks(reader, MAX_CHUNK)
            while True:
                async with asyncio.timeout(READ_TIMEOUT):
                    data = await anext(stream, None)
                if data is None:
                    return
                if peer.heard_since is None:
                    peer.heard_since = self.clock.monotonic()
                    self.on_heard()
                messages = list(_messages(data))
                if messages:
                    self.receiver.receive(messages)

    # Asking a peer

    def headers(self, to: int) -> dict[str, str]:
        return {
            "X-Server-From": f"{self.member_id:x}",
            "X-Etcd-Cluster-ID": f"{self.cluster_id:x}",
            "X-Raft-To": f"{to:x}",
        }

    async def request(self, member: int, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """(status, body) of another member's answer. Raises OSError, EOFError, TimeoutError."""
        peer = self.peers.get(member)
        if peer is None:
            raise ConnectionError(f"there is no member {member:x}")
        async with (
            asyncio.timeout(REQUEST_TIMEOUT),
            Exchange(self, peer, method, path, {"Content-Length": str(len(body))}, body) as (head, reader, _),
        ):
            return int(head.start[1]), await http.read_body(reader, head, MAX_CHUNK)

    async def _send_snapshot(self, peer: Peer, message: Message) -> None:
        arrived = False
        try:
            loop = asyncio.get_running_loop()
            data = await loop.run_in_executor(None, snapshot.encode, message.payload)
            async with Exchange(
                self, peer, "POST", "/raft/snapshot", {"Transfer-Encoding": "chunked"}, answered=False
            ) as (_, reader, writer):
                writer.write(http.chunk(codec.encode_snapshot_head(message)))
                for start in range(0, len(data), PART):
                    writer.write(http.chunk(data[start : start + PART]))
                    await writer.drain()
                writer.write(http.chunk(b""))
                head = await http.read_head(reader)
                arrived = head.start[1] == "204"
            log.info("snapshot of entry %d, %d bytes, sent to %x", message.index, len(data), peer.member.id)
        except (OSError, EOFError, TimeoutError) as error:
            log.warning("a snapshot could not be sent to %x: %s", peer.member.id, error)
        finally:
            self.receiver.snapshot_sent(peer.member.id, arrived)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Refused(ConnectionError):
    """The other member answers, and will have nothing to do with this one."""

    def __init__(self, status: int, reason: str) -> None:
        if reason == "cluster ID mismatch":
            reason = "request sent was ignored by remote peer due to cluster ID mismatch"
        super().__init__(f"{reason} ({status})")
        self.status = status


def _messages(data: bytes) -> Any:
    offset = 0
    while offset + 4 <= len(data):
        size = codec.LENGTH.unpack_from(data, offset)[0]
        if size:
            yield codec.decode(data[offset + 4 : offset + 4 + size])
        offset += 4 + size


class Exchange:
    """One request on a connection of its own; closed when the block ends."""

    def __init__(
        self,
        transport: Transport,
        peer: Peer,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        answered: bool = True,
    ) -> None:
        self._transport, self._peer, self._answered = transport, peer, answered
        host = peer.url().split("//")[1]
        also = {"Host": host, **transport.headers(peer.member.id), **(headers or {})}
        self._request = http.write_head(f"{method} {path} HTTP/1.1", also) + body
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> tuple[http.Head, asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await http.connect(self._peer.url(), self._transport._tls)
        self._writer = writer
        try:
            writer.write(self._request)
            head = http.Head(("", "", ""))
            if self._answered:
                async with asyncio.timeout(http.CONNECT_TIMEOUT):
                    head = await http.read_head(reader)
        except BaseException:
            writer.close()
            raise
        return head, reader, writer

    async def __aexit__(self, *_: object) -> None:
        assert self._writer is not None
        self._writer.close()
