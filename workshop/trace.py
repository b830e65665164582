"""Trace events: one line of JSON a step, sent to whoever listens on a socket in the state directory.

    trace.emit("etcd.commit", revision=7, keys=["/registry/pods/default/web"])
    with trace.step("apiserver.link", link="authentication") as told:
        told["user"] = "jane"                # told when the block ends, with how long it took
    with trace.span("controller.reconcile", controller="replicaset", key="default/web"):
        trace.read(pod)                      # the versions it looked at …
        trace.wrote("POST", path, created)   # … and those it made: told together when the block ends

Without a listener each of these costs one comparison. Nothing is ever read back, a line that cannot be sent at once is
dropped and counted: no component behaves differently for being watched.

A listener makes a stream socket and, once it listens, gives it the name `run/trace/ANYTHING.sock` in the cluster's
state directory (`WORKSHOP_STATE`); inotify tells components that it came or went, so that nobody has to look.
`WORKSHOP_COMPONENT` is this process's name there.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Any

from workshop.clock import SYSTEM

Sink = Callable[[str, dict[str, Any]], None]

FOLDER = "run/trace"
MAX_WAITING = 256 * 1024
"""Bytes kept for a listener that does not read; what comes after them is dropped."""
MAX_READS = 200
"""Versions that one span tells; a controller that walks through more tells the newest."""

_sink: Sink | None = None
_span: ContextVar[Span | None] = ContextVar("span", default=None)
_within: ContextVar[Mapping[str, Any]] = ContextVar("within", default=MappingProxyType({}))


def install(sink: Sink | None) -> None:
    """Send all later events to `sink`, or to nobody."""
    global _sink
    _sink = sink


def enabled() -> bool:
    """True while somebody listens. Guard with it what is expensive to gather."""
    return _sink is not None


def emit(event: str, /, **fields: Any) -> None:
    """Tell the listener, if there is one, that `event` happened. Fields are plain JSON values."""
    if _sink is not None:
        _sink(event, {**_within.get(), **fields})


@contextlib.contextmanager
def within(**fields: Any) -> Iterator[None]:
    """Add `fields` to all that is told inside the block, in its tasks too: which request it belongs to, say."""
    if _sink is None:
        yield
        return
    token = _within.set({**_within.get(), **fields})
    try:
        yield
    finally:
        _within.reset(token)


class step:
    """Tell `event` when the block ends: how long it took (`micros`), and why it failed, if it did (`error`, `code`).

        with trace.step("apiserver.link", link="authentication") as told:
            told["user"] = (await authenticate()).name

    Upper case would suit a class; it reads as the function that it stands for.
    """

    __slots__ = ("_begun", "_event", "_fields")

    def __init__(self, event: str, /, **fields: Any) -> None:
        self._event, self._fields, self._begun = event, fields, 0.0

    def __enter__(self) -> dict[str, Any]:
        if _sink is not None:
            self._begun = SYSTEM.monotonic()
        return self._fields

    def __exit__(self, kind: object, error: BaseException | None, where: object) -> None:
        if _sink is None or not self._begun:
            return
        if error is not None:
            self._fields["error"] = str(error) or type(error).__name__
            if isinstance(code := getattr(error, "code", None), int):
                self._fields["code"] = code
        emit(self._event, micros=round((SYSTEM.monotonic() - self._begun) * 1e6), **self._fields)


class Span:
    """One step of a component under way: which versions it has read, and which it has written."""

    def __init__(self) -> None:
        self.begun = SYSTEM.now()
        self.reads: dict[tuple[str, str, str], str] = {}
        self.writes: list[dict[str, Any]] = []

    def fields(self) -> dict[str, Any]:
        found = [(kind, namespace, name, version) for (kind, namespace, name), version in self.reads.items()]
        if len(found) > MAX_READS:
            found = sorted(found, key=lambda one: int(one[3] or 0))[-MAX_READS:]
        return {"begun": self.begun, "read": found, "wrote": self.writes}


@contextlib.contextmanager
def span(event: str, /, **fields: Any) -> Iterator[None]:
    """Tell `event` when the block ends, with all that `read` and `wrote` noted in it (in its tasks too)."""
    if _sink is None:
        yield
        return
    current = Span()
    token = _span.set(current)
    try:
        yield
    finally:
        _span.reset(token)
        emit(event, **fields, **current.fields())


def read(obj: dict[str, Any]) -> None:
    """The step under way looked at this object, in this version."""
    if _sink is None or (current := _span.get()) is None:
        return
    metadata = obj["metadata"]
    key = (obj.get("kind", ""), metadata.get("namespace", ""), metadata["name"])
    current.reads[key] = metadata.get("resourceVersion", "")


def wrote(method: str, path: str, answer: Any) -> None:
    """The step under way has written; `answer` is the server's, an object or a Status."""
    if _sink is None or (current := _span.get()) is None:
        return
    metadata = answer.get("metadata") or {} if isinstance(answer, dict) else {}
    current.writes.append({"method": method, "path": path, "version": metadata.get("resourceVersion", "")})


# --- the socket


def follow() -> None:
    """Watch for listeners from the running loop on. Called once by each component's process.

    Does nothing outside of a cluster's state directory, or where there is no inotify.
    """
    state = os.environ.get("WORKSHOP_STATE")
    if state:
        with contextlib.suppress(OSError):  # a directory that is gone or not ours: nobody can listen there
            Listeners(Path(state) / FOLDER, os.environ.get("WORKSHOP_COMPONENT") or Path(sys.argv[0]).name).start()


class Listeners:
    """The sockets in one directory, connected as they come."""

    def __init__(self, folder: Path, process: str) -> None:
        self.folder, self.process = folder, process
        self.open: dict[str, Outbox] = {}

    def start(self) -> None:
        """Raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = _inotify(self.folder)
        if handle >= 0:
            asyncio.get_running_loop().add_reader(handle, self._changed, handle)
        self.look()

    def _changed(self, handle: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(handle, 65536)
        self.look()

    def look(self) -> None:
        """Connect to sockets that came, leave those that went."""
        try:
            found = {path.name for path in self.folder.glob("*.sock")}
        except OSError:
            found = set()
        for name in [name for name in self.open if name not in found]:
            self.open.pop(name).close()
        for name in sorted(found - set(self.open)):
            with contextlib.suppress(OSError):  # a socket whose listener has died
                self.open[name] = Outbox(_connect(self.folder, name))
        install(self.tell if self.open else None)

    def tell(self, event: str, fields: dict[str, Any]) -> None:
        line = {"event": event, "process": self.process, "at": SYSTEM.now(), **fields}
        data = json.dumps(line, default=str).encode() + b"\n"
        for name, outbox in list(self.open.items()):
            if not outbox.put(data):
                self.open.pop(name).close()
        if not self.open:
            install(None)


class Outbox:
    """Lines for one listener; they are sent together once the loop is free."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._waiting, self._due, self._writing = sock, bytearray(), False, False
        self._broken = False
        self.dropped = 0

    def put(self, line: bytes) -> bool:
        """False once the listener is gone."""
        if len(self._waiting) + len(line) > MAX_WAITING:
            self.dropped += 1
            return not self._broken
        if self.dropped:
            self._waiting += json.dumps({"event": "trace.dropped", "lines": self.dropped}).encode() + b"\n"
            self.dropped = 0
        self._waiting += line
        if not self._due and not self._writing:
            self._due = True
            asyncio.get_running_loop().call_soon(self._send)
        return not self._broken

    def _send(self) -> None:
        self._due = False
        if self._broken:
            return
        loop = asyncio.get_running_loop()
        try:
            del self._waiting[: self._sock.send(self._waiting)]
        except BlockingIOError:
            pass  # it reads slowly: below
        except OSError:
            self._broken = True
            self.close()
            return
        if bool(self._waiting) != self._writing:
            self._writing = bool(self._waiting)
            if self._writing:
                loop.add_writer(self._sock, self._send)
            else:
                loop.remove_writer(self._sock)

    def close(self) -> None:
        if self._writing:
            self._writing = False
            asyncio.get_running_loop().remove_writer(self._sock)
        self._broken = True
        self._sock.close()


def _inotify(folder: Path) -> int:
    """A descriptor that can be read when an entry of `folder` came or went; -1 where there is no inotify."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "inotify_init1"):
        return -1
    handle: int = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    created, deleted, moved = 0x100, 0x200, 0xC0
    if handle >= 0 and libc.inotify_add_watch(handle, os.fsencode(folder), created | deleted | moved) < 0:
        os.close(handle)
        return -1
    return handle


def _connect(folder: Path, name: str) -> socket.socket:
    """Raises OSError. A Unix socket's path has room for 107 bytes; through the open directory every path is short."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        sock.setblocking(False)
        sock.connect(f"/proc/self/fd/{descriptor}/{name}")
    except OSError:
        sock.close()
        raise
    finally:
        os.close(descriptor)
    return sock
