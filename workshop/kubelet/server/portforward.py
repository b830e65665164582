"""Port-forward over a WebSocket, in both dialects that clients speak.

- `SPDY/3.1+portforward.k8s.io` (kubectl): the WebSocket carries SPDY frames as a byte stream. For each local
  connection the client opens two streams with the same requestID, streamType `error` and `data`.
- `v4.channel.k8s.io` (the Python client): two channels a port, data and error, the first message on each is the port.

Upstream: `cri-streaming/pkg/streaming/portforward`, `apimachinery/pkg/util/portforward`.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable

from workshop.kubelet.cri import CriError
from workshop.kubelet.server import spdy
from workshop.serving import Receive, Send

SPDY = "SPDY/3.1+portforward.k8s.io"
# As containerd does it: when one direction has ended the other gets this long (seconds), so that a client can read all.
LINGER = 1.0
Dial = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


def refusal(port: int, pod: str, problem: Exception) -> str:
    """What the client is told when nobody listens."""
    return f"error forwarding port {port} to pod {pod}, uid : failed to connect to localhost:{port}: {problem}"


class Tunnel:
    """SPDY over one WebSocket."""

    def __init__(self, dial: Dial, send: Send, pod: str) -> None:
        self._dial, self._send, self._pod = dial, send, pod
        self._spdy = spdy.Connection()
        self._pairs: dict[str, dict[str, int]] = {}
        self._ports: dict[str, int] = {}
        self._inbox: dict[int, asyncio.Queue[bytes | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def _write(self, frame: bytes) -> None:
        await self._send({"type": "websocket.send", "bytes": frame})

    async def run(self, receive: Receive) -> None:
        """Until the client goes."""
        try:
            while True:
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    return
                for event in self._spdy.receive(message.get("bytes") or b""):
                    await self._handle(event)
        except spdy.SpdyError:
            await self._send({"type": "websocket.close", "code": 1002})
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _handle(self, event: spdy.Event) -> None:
        if isinstance(event, spdy.Opened):
            await self._write(self._spdy.reply(event.stream))
            request = event.headers.get("requestid", "")
            pair = self._pairs.setdefault(request, {})
            pair[event.headers.get("streamtype", "")] = event.stream
            self._inbox[event.stream] = asyncio.Queue(64)
            port = event.headers.get("port", "")
            self._ports[request] = int(port) if port.isdigit() else 0
            if {"error", "data"} <= pair.keys():
                task = asyncio.get_running_loop().create_task(self._forward(request, pair["data"], pair["error"]))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        elif isinstance(event, spdy.Data):
            inbox = self._inbox.get(event.stream)
            if inbox is not None:
                if event.data:
                    await inbox.put(event.data)
                if event.fin:
                    await inbox.put(None)
        elif isinstance(event, spdy.Reset):
            inbox = self._inbox.get(event.stream)
            if inbox is not None:
                await inbox.put(None)
        elif isinstance(event, spdy.Pinged):
            await self._write(self._spdy.ping(event.id))

    async def _forward(self, request: str, data: int, error: int) -> None:
        port = self._ports[request]
        inbox = self._inbox[data]
        try:
            reader, writer = await self._dial(port)
        except (CriError, OSError) as problem:
            text = refusal(port, self._pod, problem)
            await self._write(self._spdy.data(error, text.encode(), fin=True))
            await self._write(self._spdy.data(data, b"", fin=True))
            self._close(request, data, error)
            return

        async def upload() -> None:
            while (piece := await inbox.get()) is not None:
                writer.write(piece)
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
            with contextlib.suppress(OSError):
                writer.write_eof()

        sending = asyncio.get_running_loop().create_task(upload())
        try:
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(32768):
                    await self._write(self._spdy.data(data, piece))
            await self._write(self._spdy.data(data, b"", fin=True))
            await self._write(self._spdy.data(error, b"", fin=True))
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            writer.close()
            self._close(request, data, error)

    def _close(self, request: str, *streams: int) -> None:
        self._pairs.pop(request, None)
        self._ports.pop(request, None)
        for stream in streams:
            inbox = self._inbox.pop(stream, None)
            while inbox is not None and not inbox.empty():
                inbox.get_nowait()


async def _all(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks)


async def serve_channels(ports: list[int], dial: Dial, receive: Receive, send: Send, pod: str) -> None:
    """v4.channel.k8s.io: channel 2i is port i's data, 2i+1 its error."""

    async def write(channel: int, data: bytes) -> None:
        await send({"type": "websocket.send", "bytes": bytes([channel]) + data})

    writers: dict[int, asyncio.StreamWriter] = {}
    tasks: list[asyncio.Task[None]] = []

    async def download(channel: int, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(32768):
                await write(channel, piece)

    for index, port in enumerate(ports):
        for channel in (2 * index, 2 * index + 1):
            await write(channel, struct.pack("<H", port))
        try:
            reader, writers[2 * index] = await dial(port)
        except (CriError, OSError) as problem:
            text = refusal(port, pod, problem)
            await write(2 * index + 1, text.encode())
            continue
        tasks.append(asyncio.get_running_loop().create_task(download(2 * index, reader)))

    async def feed() -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            data = message.get("bytes") or b""
            if data and data[0] in writers:
                writers[data[0]].write(data[1:])
                with contextlib.suppress(ConnectionError):
                    await writers[data[0]].drain()

    feeding = asyncio.get_running_loop().create_task(feed())
    try:
        finished = asyncio.get_running_loop().create_task(_all(list(tasks)))
        tasks.append(finished)
        await asyncio.wait([feeding, finished], return_when=asyncio.FIRST_COMPLETED)
        if not feeding.done():
            await asyncio.wait([feeding], timeout=LINGER)
        if not feeding.done():
            await send({"type": "websocket.close", "code": 1000})
    finally:
        for task in [feeding, *tasks]:
            task.cancel()
        await asyncio.gather(feeding, *tasks, return_exceptions=True)
        for writer in writers.values():
            writer.close()
