"""Trace events: one line of JSON a step, sent to whoever listens on a socket in the state directory.

A component calls `emit("apiserver.authorize", user=..., allowed=True)`. Without a listener that costs one
comparison. Nothing is ever read back: no component behaves differently for being watched.

`WORKSHOP_TRACE` names a Unix datagram socket that the observer binds while somebody looks; `install` is
called once at a component's start and again by a loop that checks now and then whether a listener came.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Sink = Callable[[str, dict[str, Any]], None]

_sink: Sink | None = None


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
        _sink(event, fields)
