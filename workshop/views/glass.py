"""`GlassBox(cluster)`: requests as they pass through kube-apiserver, link by link, while it is open.

box = GlassBox(cluster)
…kubectl create deployment web --image=nginx…
box                       # in a notebook: live; as text: the newest requests
print(box.explain())      # the newest one, step by step
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from workshop.clock import SYSTEM
from workshop.cluster.facade import Cluster
from workshop.cluster.tracing import listening

from .faces import Faces, look
from .pipeline import Passage, Pipeline

BATCHES_A_SECOND = 10
Send = Callable[[dict[str, Any]], None]


class GlassBox:
    """Any thread may call these methods. Only while it is open does the server tell anything."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.pipeline = Pipeline()
        self._lock = threading.Lock()
        self._changed: dict[str, Passage] = {}
        self._listeners: dict[str, Send] = {}
        self._news = threading.Condition(self._lock)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._open = threading.Event()
        self._begin()

    def _begin(self) -> None:
        self._open.clear()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="glass box", daemon=True)
        self._thread.start()
        self._open.wait(5)

    def reopen(self) -> None:
        """Look into the server of a cluster that was made anew. Whoever looks goes on looking."""
        self.close()
        with self._lock:
            self.pipeline, listeners = Pipeline(), dict(self._listeners)
        self._begin()
        for name, send in listeners.items():
            self.listen(name, send)

    def close(self) -> None:
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(5)

    def requests(self, everything: bool = False) -> list[Passage]:
        """Newest first; without the hum of a cluster (leases, events, watches, health) unless `everything`."""
        with self._lock:
            found = [p for p in self.pipeline.requests.values() if everything or not p.noise]
        return found[::-1]

    def last(self, **like: str) -> Passage | None:
        """The newest request whose fields are these, as `last(verb="create", resource="pods")`."""
        return next((p for p in self.requests(True) if all(getattr(p, k) == v for k, v in like.items())), None)

    def wait(self, timeout: float = 5.0, **like: str) -> Passage | None:
        """`last`, once that request has been answered; None after `timeout` seconds."""
        end = SYSTEM.monotonic() + timeout
        with self._news:
            while True:
                found = [p for p in self.pipeline.requests.values() if p.code]
                fits = [p for p in found if all(getattr(p, k) == v for k, v in like.items())]
                if fits:
                    return fits[-1]
                if (left := end - SYSTEM.monotonic()) <= 0:
                    return None
                self._news.wait(left)

    def explain(self, passage: Passage | None = None) -> str:
        """One request step by step, as text; the newest one by default."""
        passage = passage or next(iter(self.requests()), None)
        return _text(steps(passage)) if passage else "no request has come yet"

    def faces(self, kind: str, name: str, namespace: str = "default") -> Faces:
        """One object as kubectl shows it, as JSON on the wire, and as bytes in etcd."""
        return look(self.cluster, kind, name, namespace)

    def listen(self, name: str, send: Send) -> None:
        """Send all requests now, and each one again when it has moved, until `leave`."""
        with self._lock:
            self._listeners[name] = send
            whole = [p.to_json() for p in self.pipeline.requests.values()]
        send({"requests": whole, "whole": True})

    def leave(self, name: str) -> None:
        with self._lock:
            self._listeners.pop(name, None)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        with contextlib.suppress(OSError):  # the cluster's directory is gone: there is nothing to hear
            async with listening(self.cluster.layout.root, self._hear):
                self._open.set()
                stopped = asyncio.ensure_future(self._stop.wait())
                while not self._stop.is_set():
                    await asyncio.wait([stopped], timeout=1 / BATCHES_A_SECOND)
                    self._send()
        self._open.set()

    def _hear(self, line: dict[str, Any]) -> None:
        with self._lock:
            passage = self.pipeline.hear(line)
            if passage is not None:
                self._changed[passage.id] = passage
                self._news.notify_all()

    def _send(self) -> None:
        with self._lock:
            changed, self._changed = [p.to_json() for p in self._changed.values()], {}
            listeners = list(self._listeners.values()) if changed else []
        for send in listeners:
            send({"requests": changed})

    def __rich__(self) -> Table:
        table = Table(title=f"requests to kube-apiserver of {self.cluster.name}", title_justify="left", min_width=80)
        for head in ("who", "request", "answer", "took", "stopped at"):
            table.add_column(head)
        for passage in self.requests()[:20]:
            took = f"{passage.micros / 1000:.1f} ms" if passage.code else "under way"
            table.add_row(
                passage.agent, f"{passage.method} {passage.path}", str(passage.code or ""), took,
                f"{passage.stopped}: {passage.reason}" if passage.stopped else "",
            )  # fmt: skip
        return table

    def __repr__(self) -> str:
        return _text(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        from .glass_widget import widget

        shown = widget(self)._repr_mimebundle_()
        data, metadata = shown if isinstance(shown, tuple) else (shown or {}, {})
        return {**data, "text/plain": repr(self)}, metadata


def steps(passage: Passage) -> Table:
    """A request as a table: each station, what it decided, how long it took."""
    answer = f"{passage.code} in {passage.micros / 1000:.1f} ms" if passage.code else "under way"
    table = Table(title=f"{passage.method} {passage.path} by {passage.user or '?'}: {answer}", title_justify="left")
    for head in ("link", "decided", "µs"):
        table.add_column(head, justify="right" if head == "µs" else "left")
    for step in passage.steps:
        name = f"{step.link}: {step.plugin}" if step.plugin else step.link
        decided = f"✗ {step.error}" if step.error else said(step.told)
        if step.link == passage.stopped and not step.error:
            decided = f"✗ {passage.reason}"
        table.add_row(name, decided, f"{step.micros:,}")
    for who, late in passage.told:
        table.add_row("told by a watch", who, f"{late * 1e6:,.0f}")
    return table


def said(told: dict[str, Any]) -> str:
    """What a link told, in a line."""

    def one(value: Any) -> str:
        return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

    return "; ".join(f"{name} {one(value)}" for name, value in told.items())


def _text(shown: Any) -> str:
    out = io.StringIO()
    Console(file=out, width=120, color_system=None, force_jupyter=False).print(shown)
    return out.getvalue()
