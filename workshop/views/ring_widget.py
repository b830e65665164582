"""The Raft ring in a notebook. Apart from `raft`, because importing ipywidgets takes its time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from . import front

if TYPE_CHECKING:
    from .raft import LiveRing, RaftRing


class RingWidget(anywidget.AnyWidget):  # type: ignore[misc, unused-ignore]
    _esm = front.bundle("ring.js")
    _css = front.source(front.STYLE) + front.source("ring.css")
    live = traitlets.Bool().tag(sync=True)


def widget(ring: RaftRing | LiveRing) -> Any:
    made = RingWidget(live=ring.live)

    def asked(_widget: Any, question: Any, _buffers: Any) -> None:
        if not isinstance(question, dict):
            return
        if ring.live:  # members that do not answer are waited for: not on the kernel's own thread
            threading.Thread(target=lambda: made.send(ring.answer(question)), daemon=True).start()
        else:
            made.send(ring.answer(question))

    made.on_msg(asked)
    return made
