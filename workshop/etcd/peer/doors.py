"""What a member answers on its peer URLs."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable

from workshop.etcd import snapshot
from workshop.etcd.peer import codec, http
from workshop.etcd.peer.stream import READ_TIMEOUT
from workshop.etcd.peer.transport import Transport

log = logging.getLogger("etcd")

#: Bytes of a request's body; of a snapshot.
MAX_BODY, MAX_SNAPSHOT = 16 << 20, 16 << 30

#: (rest of the path, body) -> (status, body). Raises nothing.
Handler = Callable[[str, bytes], Awaitable[tuple[int, bytes]]]


class Refusal(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class PeerDoors:
    """Serve while open. `routes`: handlers by method and path, for paths below too."""

    def __init__(self, transport: Transport, allowed_name: str = "") -> None:
        self.transport, self._allowed_name = transport, allowed_name
        self.routes: dict[tuple[str, str], Handler] = {("GET", "/raft/probing"): self._probing}
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        self._servers.append(await asyncio.start_server(self._serve, sock=listening, ssl=tls, limit=1 << 20))

    def close(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._connections:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._answer(reader, writer)
        except (OSError, EOFError, TimeoutError, codec.Malformed, http.BadMessage) as error:
            log.debug("peer connection ends: %s", error)
        except asyncio.CancelledError:
            return  # this member ends
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(READ_TIMEOUT):
            head = await http.read_head(reader)
        method, target, _ = head.start
        path = target.split("?")[0]
        ours = {"X-Etcd-Cluster-ID": f"{self.transport.cluster_id:x}", "Connection": "close"}
        try:
            self._check_name(writer)
            if path.startswith("/raft/stream/message/"):
                await self._stream(head, writer, ours)
                return
            if path == "/raft/snapshot":
                await self._snapshot(head, reader)
                status, body = 204, b""
            else:
                status, body = await self._route(method, path, await http.read_body(reader, head, MAX_BODY))
        except Refusal as refusal:
            status, body = refusal.status, f"{refusal}\n".encode()
        kind = "application/json" if body[:1] in (b"{", b"[") else "text/plain; charset=utf-8"
        writer.write(http.answer(status, body, ours, kind))
        await writer.drain()

    async def _route(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        for (wanted, prefix), handler in self.routes.items():
            if path == prefix or path.startswith(f"{prefix}/"):
                if method != wanted:
                    raise Refusal(405, "Method Not Allowed")
                return await handler(path[len(prefix) + 1 :], body)
        raise Refusal(404, "404 page not found")

    async def _probing(self, rest: str, body: bytes) -> tuple[int, bytes]:
        return 200, json.dumps({"OK": True, "Time": self.transport.clock.now()}).encode()

    # Who may come in

    def _check_name(self, writer: asyncio.StreamWriter) -> None:
        """`--peer-cert-allowed-cn`."""
        if not self._allowed_name:
            return
        certificate = writer.get_extra_info("peercert") or {}
        names = {value for group in certificate.get("subject", ()) for key, value in group if key == "commonName"}
        if self._allowed_name not in names:
            raise Refusal(403, "client certificate authentication failed")

    def _check_sender(self, head: http.Head) -> int:
        """The id of the member that asks. Raises Refusal when it is none of ours."""
        transport = self.transport
        if head.headers.get("x-etcd-cluster-id") != f"{transport.cluster_id:x}":
            log.warning("request cluster ID mismatch: %s", head.headers.get("x-etcd-cluster-id"))
            raise Refusal(412, "cluster ID mismatch")
        try:
            sender = int(head.headers.get("x-server-from", ""), 16)
        except ValueError:
            raise Refusal(400, "invalid X-Server-From") from None
        if sender in transport.removed:
            raise Refusal(410, "the member has been permanently removed from the cluster")
        if head.headers.get("x-raft-to") != f"{transport.member_id:x}":
            raise Refusal(412, "to field mismatch")
        if sender not in transport.peers:
            raise Refusal(404, "error sender not found")
        return sender

    # Consensus

    async def _stream(self, head: http.Head, writer: asyncio.StreamWriter, ours: dict[str, str]) -> None:
        """Send what there is for the member that listens, until it goes away or another stream takes its place."""
        peer = self.transport.peers[self._check_sender(head)]
        headers = {**ours, "Content-Type": "application/octet-stream", "Transfer-Encoding": "chunked"}
        writer.write(http.write_head("HTTP/1.1 200 OK", headers))
        await peer.speak(writer)

    async def _snapshot(self, head: http.Head, reader: asyncio.StreamReader) -> None:
        """A whole state comes in."""
        sender = self._check_sender(head)
        message, data = codec.decode_snapshot(await http.read_body(reader, head, MAX_SNAPSHOT))
        loop = asyncio.get_running_loop()
        try:
            taken = await loop.run_in_executor(None, snapshot.decode, data)
        except ValueError as error:
            raise Refusal(400, f"the snapshot cannot be read: {error}") from error
        log.info("snapshot of entry %d, %d bytes, received from %x", message.index, len(data), sender)
        self.transport.receiver.receive([message._replace(payload=taken)])
