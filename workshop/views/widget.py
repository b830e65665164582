"""The notebook's widget: it hands batches to `board.js`. Apart, because importing ipywidgets takes its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

if TYPE_CHECKING:
    from .board import Board


def widget(board: Board) -> Any:
    """A widget that shows the board until the board is closed."""
    from .board import MODULE, WHY_NOT_OBSERVED

    class BoardWidget(anywidget.AnyWidget):  # type: ignore[misc, unused-ignore]
        _esm = MODULE.read_text(encoding="utf-8")
        heading = traitlets.Unicode().tag(sync=True)
        note = traitlets.Unicode().tag(sync=True)
        first = traitlets.Dict().tag(sync=True)

    note = "" if board.feed.cluster is not None else WHY_NOT_OBSERVED
    made = BoardWidget(heading=board.title, note=note, first=board.feed.whole())
    board.feed.listen(made.send)

    def asked(_widget: Any, content: Any, _buffers: Any) -> None:
        if content == "whole":
            made.send(board.feed.whole())

    made.on_msg(asked)
    return made
