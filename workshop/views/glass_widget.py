"""The glass box in a notebook. Apart from `glass`, because importing ipywidgets takes its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from . import front

if TYPE_CHECKING:
    from .glass import GlassBox


class GlassWidget(anywidget.AnyWidget):  # type: ignore[misc, unused-ignore]
    _esm = front.bundle("glass.js")
    _css = front.source(front.STYLE) + front.source("glass.css")
    heading = traitlets.Unicode().tag(sync=True)


def widget(box: GlassBox) -> Any:
    """A widget that follows the box until one of the two is closed."""
    made = GlassWidget(heading=f"kube-apiserver of {box.cluster.name}")

    def asked(_widget: Any, question: Any, _buffers: Any) -> None:
        if isinstance(question, dict) and question.get("ask") == "whole":
            box.listen(made.model_id, made.send)

    made.on_msg(asked)
    made.observe(lambda _: box.leave(made.model_id), "comm")
    return made
