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
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from workshop.clock import Clock
from workshop.etcd import snapshot
from workshop.etcd.membership import Member
from workshop.etcd.peer import codec, http, stream
from workshop.etcd.peer.stream import Peer, Refused
from workshop.etcd.raft import Message
from workshop.etcd.surroundings import Removed

log = logging.getLogger("etcd")

#: Bytes of one part of a snapshot; of an answer.
PART, MAX_ANSWER = 1 << 20, 64 << 20
#: Seconds until a peer that could not be reached is tried again.
REDIAL = 0.1
#: Seconds for a request to another member.
REQUEST_TIMEOUT = 7.0


class Receiver(Protocol):
    """The node, as the transport sees it."""

    def receive(self, messages: Sequence[Message]) -> None: ...

    def snapshot_sent(self, peer: int, arrived: bool) -> None: ...

    def fail(self, error: Exception) -> None: ...


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
        peer.hush()
        if peer.task is not None:
            peer.task.cancel()

    def send(self, messages: Sequence[Message]) -> None:
        letters: dict[int, list[Message]] = {}
        for message in messages:
            if message.kind != "snapshot":
                letters.setdefault(message.to, []).append(message)
            elif message.to in self.peers:
                self._spawn(self._send_snapshot(self.peers[message.to], message))
        for to, these in letters.items():
            if to in self.peers:
                self.peers[to].put(these)

    def remind(self, notices: Sequence[Message]) -> None:
        for notice in notices:
            if notice.to in self.peers:
                self.peers[notice.to].remind(notice)

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
        def heard(messages: list[Message]) -> None:
            if peer.heard_since is None:
                peer.heard_since = self.clock.monotonic()
                self.on_heard()
            if messages:
                self.receiver.receive(messages)

        head = self.head(peer, "GET", f"/raft/stream/message/{self.member_id:x}")
        await stream.listen(peer.url(), self._tls, head, heard)

    # Asking a peer

    def head(self, to: Peer, method: str, path: str, **headers: str) -> bytes:
        """Of a request, which says who asks and whom it believes to ask."""
        also = {
            "Host": to.url().split("//")[1],
            "X-Server-From": f"{self.member_id:x}",
            "X-Etcd-Cluster-ID": f"{self.cluster_id:x}",
            "X-Raft-To": f"{to.member.id:x}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return http.write_head(f"{method} {path} HTTP/1.1", also)

    async def request(self, member: int, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """(status, body) of another member's answer. Raises OSError, EOFError, TimeoutError."""
        peer = self.peers.get(member)
        if peer is None:
            raise ConnectionError(f"there is no member {member:x}")
        question = self.head(peer, method, path, Content_Length=str(len(body))) + body
        async with asyncio.timeout(REQUEST_TIMEOUT), self._asking(peer, question) as (reader, _):
            head = await http.read_head(reader)
            return int(head.start[1]), await http.read_body(reader, head, MAX_ANSWER)

    async def _send_snapshot(self, peer: Peer, message: Message) -> None:
        arrived = False
        try:
            loop = asyncio.get_running_loop()
            data = await loop.run_in_executor(None, snapshot.encode, message.payload)
            question = self.head(peer, "POST", "/raft/snapshot", Transfer_Encoding="chunked")
            async with self._asking(peer, question) as (reader, writer):
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

    @asynccontextmanager
    async def _asking(
        self, peer: Peer, question: bytes
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection of its own for one question."""
        reader, writer = await http.connect(peer.url(), self._tls)
        try:
            writer.write(question)
            yield reader, writer
        finally:
            writer.close()

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
