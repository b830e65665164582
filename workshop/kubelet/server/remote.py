"""exec and attach over a WebSocket.

Each message begins with a channel number: 0 stdin, 1 stdout, 2 stderr, 3 error, 4 resize; in v5 also 255, which closes
the channel in its second byte (so that a client can say that its input ends). Before the end a `Status` goes out on
channel 3; a non-zero exit code stands in its details (clients before v4 get the sentence alone, and nothing when all
went well). Upstream: `cri-streaming/pkg/streaming/remotecommand`.
"""

from __future__ import annotations

import asyncio
import json

from workshop.kubelet import cri
from workshop.serving import Receive, Scope, Send

V5, V4, V1 = "v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255


def exit_status(code: int) -> dict[str, object]:
    """The Status that tells an exit code."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def failure_status(message: str) -> dict[str, object]:
    """The Status of a command that could not be run at all."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {message}",
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }


def told(status: dict[str, object], protocol: str | None) -> bytes:
    """What goes out on channel 3; nothing for a success before v4."""
    if protocol != V1:
        return bytes([ERROR]) + json.dumps(status).encode()
    return bytes([ERROR]) + str(status["message"]).encode() if status["status"] == "Failure" else b""


def choose(scope: Scope, offered: tuple[str, ...] = (V5, V4, V1)) -> str | None:
    """The first protocol of ours that the client also speaks."""
    asked = scope.get("subprotocols") or []
    return next((protocol for protocol in offered if protocol in asked), None)


async def send_bytes(send: Send, data: bytes) -> None:
    await send({"type": "websocket.send", "bytes": data})


async def serve(
    stream: cri.Stream, receive: Receive, send: Send, *, stdin: bool, stderr: bool, protocol: str | None = V5
) -> None:
    """Carry one session, from the accepted WebSocket to its end."""

    async def output() -> int:
        while (piece := await stream.read()) is not None:
            channel, data = piece
            if channel == STDERR and not stderr:
                continue
            for start in range(0, len(data), 32768):
                await send_bytes(send, bytes([channel]) + data[start : start + 32768])
        return await stream.exit_code()

    async def feed() -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            data = message.get("bytes") or (message.get("text") or "").encode()
            if not data:
                continue
            channel, payload = data[0], data[1:]
            if channel == STDIN and stdin:
                await stream.write(payload)
            elif channel == RESIZE:
                await _resize(stream, payload)
            elif channel == CLOSE and payload[:1] == b"\0" and stdin:
                await stream.close_stdin()

    create = asyncio.get_running_loop().create_task
    outgoing, incoming = create(output()), create(feed())
    try:
        await asyncio.wait([outgoing, incoming], return_when=asyncio.FIRST_COMPLETED)
        if outgoing.done():
            code = await outgoing
            if last := told(exit_status(code), protocol):
                await send_bytes(send, last)
            await send({"type": "websocket.close", "code": 1000})
    finally:
        for task in (outgoing, incoming):
            task.cancel()
        await asyncio.gather(outgoing, incoming, return_exceptions=True)
        await stream.close()


async def _resize(stream: cri.Stream, payload: bytes) -> None:
    """A terminal's columns and rows are numbers of 16 bits; what says something else says nothing."""
    try:
        size = json.loads(payload)
        width, height = int(size["Width"]), int(size["Height"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return
    if max(width, height) < 1 << 16 and min(width, height) >= 0:
        await stream.resize(width, height)
