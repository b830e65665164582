"""logs and exec: what the kubelet serves, through the API server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from typing import Any

from workshop.api.labels import from_selector
from workshop.api.resources import resource
from workshop.client.rest import Unreachable

from .session import Session, UsageError

PODS = resource("pods")
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255


async def pod_of(s: Session, word: str) -> str:
    """A pod's name; `deployment/web` stands for one of its pods."""
    kind, slash, name = word.partition("/")
    if not slash:
        return word
    found = await s.resource(kind)
    if found == PODS:
        return name
    owner = await s.client.get(found, name, s.within(found))
    selector = owner["spec"].get("selector")
    if selector is None:
        raise UsageError(f"cannot find the pods of {word}")
    if found.plural in ("services", "replicationcontrollers"):
        selector = {"matchLabels": selector}
    pods = await s.client.list(PODS, s.namespace, label_selector=str(from_selector(selector)))
    if not pods["items"]:
        raise UsageError(f"timed out waiting for the condition: {word} has no pods")
    return str(min(pods["items"], key=lambda p: p["status"].get("phase") != "Running")["metadata"]["name"])


async def logs(s: Session, word: str, **query: Any) -> None:
    """Print a container's log; with `follow`, until the container ends."""
    name = await pod_of(s, word)
    response = await s.client.stream("GET", PODS.path(s.namespace, name, "log"), query=query)
    try:
        async for chunk in response.chunks():
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
    finally:
        response.close()


async def execute(s: Session, word: str, command: list[str], container: str | None, stdin: bool, tty: bool) -> int:
    """Run `command` in a container; the exit status is the command's own."""
    name = await pod_of(s, word)
    query = {
        "command": command, "container": container, "stdin": stdin or None, "stdout": True,
        "stderr": None if tty else True, "tty": tty or None,
    }  # fmt: skip
    socket = await s.client.websocket(PODS.path(s.namespace, name, "exec"), query=query)
    feeding = asyncio.create_task(_feed(socket)) if stdin else None
    raw = _raw_terminal() if tty and sys.stdin.isatty() else None
    try:
        if raw is not None:
            columns, rows = os.get_terminal_size()
            await socket.send(bytes([RESIZE]) + json.dumps({"Width": columns, "Height": rows}).encode())
        while (message := await socket.receive()) is not None:
            data = message.encode() if isinstance(message, str) else message
            if data[:1] == bytes([ERROR]):
                return _exit_status(json.loads(data[1:]))
            stream = sys.stderr if data[:1] == bytes([STDERR]) else sys.stdout
            stream.buffer.write(data[1:])
            stream.buffer.flush()
        return 0
    finally:
        if raw is not None:
            raw()
        if feeding is not None:
            feeding.cancel()
        await socket.close()


async def _feed(socket: Any) -> None:
    """Send what is typed, chunk by chunk, then say that it has ended."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        with suppress(Unreachable):
            while data := await reader.read(32 * 1024):
                await socket.send(bytes([STDIN]) + data)
            await socket.send(bytes([CLOSE, STDIN]))
    finally:
        transport.close()


def _raw_terminal() -> Any:
    """Hand each key to the container; the answer puts the terminal back."""
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    return lambda: termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _exit_status(status: dict[str, Any]) -> int:
    if status.get("status") == "Success":
        return 0
    causes = (status.get("details") or {}).get("causes") or []
    code = next((c["message"] for c in causes if c.get("reason") == "ExitCode"), None)
    if code is None:
        raise UsageError(str(status.get("message", status)))
    sys.stderr.write(f"command terminated with exit code {code}\n")
    return int(code)
