"""The notebook's widget: it carries questions and batches between the front end and the feed. Apart from `board`,
because importing ipywidgets takes its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from . import desk, front

if TYPE_CHECKING:
    from .board import Board


class BoardWidget(anywidget.AnyWidget):  # type: ignore[misc, unused-ignore]
    """One output of a board. Each place where it is shown is a view of its own, and says so when it goes."""

    _esm = front.bundle()
    _css = front.source(front.STYLE)
    heading = traitlets.Unicode().tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)
    tab = traitlets.Unicode("workloads").tag(sync=True)
    observes = traitlets.Bool(True).tag(sync=True)


def widget(board: Board, tab: str = "workloads") -> Any:
    """A widget that shows the board until the board is closed, or the widget."""
    made = BoardWidget(heading=board.title, note=board.note, observes=board.feed.cluster is not None, tab=tab)
    views = set[str]()

    def asked(_widget: Any, question: Any, _buffers: Any) -> None:
        if isinstance(question, dict):
            view = f"{made.model_id}/{question.get('view', '')}"
            views.add(view)
            desk.answer(board.feed, view, question, made.send)

    def gone() -> None:
        """The widget was closed: nobody looks at it any more."""
        for view in views:
            board.feed.leave(view)

    # JupyterLab sends questions to a subshell, which answers while a cell runs. ipykernel (7.4) would bring them back
    # to the shell that sent last, which is the one that the cell blocks.
    if hasattr(made.comm, "_reply_subshell_for"):
        made.comm._reply_subshell_for = lambda _data, chosen: chosen
    made.on_msg(asked)
    made.observe(lambda _: gone(), "comm")
    # Until the first view asks, it is sent the whole: where a cell runs, its question is not heard before the end.
    board.feed.listen(f"{made.model_id}/", made.send, greet=True)
    views.add(f"{made.model_id}/")
    return made
