"""`Board(cluster)`: the last expression of a cell shows it live; `print` or a terminal shows it as text."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from workshop.cluster.facade import Cluster

from .feed import Feed

MODULE = Path(__file__).with_name("board.js")
WHY_NOT_OBSERVED = "observed is empty: the processes of this cluster cannot be seen from here"


class Board:
    """One live view of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.title = cluster.name
        self.feed = Feed(str(cluster.kubeconfig()), cluster).start()

    @classmethod
    def attach(cls, kubeconfig: str) -> Board:
        """A board of any cluster. Its observed column is empty, and says why."""
        board = cls.__new__(cls)
        board.title = kubeconfig
        board.feed = Feed(kubeconfig).start()
        return board

    def close(self) -> None:
        self.feed.close()

    def text(self) -> str:
        out = io.StringIO()
        # in a kernel rich would show the table as an output of its own
        Console(file=out, width=110, color_system=None, force_jupyter=False).print(self)
        return out.getvalue()

    def __repr__(self) -> str:
        return self.text()

    def __rich__(self) -> Table:
        table = Table(title=self._heading(), title_justify="left", caption_justify="left", min_width=80)
        for head in ("", "desired", "reported", "observed", "who acts next"):
            table.add_column(head)
        rows = self.feed.picture.values()
        for row in rows:
            if row["type"] == "workload":
                name = f"{row['kind'].lower()}/{row['name']}"
                name += "" if row["namespace"] == "default" else f" ({row['namespace']})"
                counts = [str(row[column]) if row[column] is not None else "" for column in TRUTHS]
                table.add_row(name, *counts, row["next"] or "nobody: all agree", style="" if row["next"] else "dim")
        table.caption = self._down()
        if self.feed.cluster is None:
            table.caption = WHY_NOT_OBSERVED
        return table

    def _down(self) -> str:
        rows = self.feed.picture.values()
        down = [f"{r['name']} {r['state']}" for r in rows if r["type"] == "process" and r["state"] != "running"]
        return "not running: " + ", ".join(down) if down else "every process runs"

    def summary(self) -> str:
        """What the board shows at this moment, in a line for each workload: measured, not told."""
        lines = [self._down()]
        for row in self.feed.picture.values():
            if row["type"] == "workload":
                counts = ", ".join(f"{column} {row[column]}" for column in TRUTHS if row[column] is not None)
                lines.append(f"{row['kind'].lower()}/{row['name']}: {counts}; {row['next'] or 'all agree'}")
        return "\n           ".join(lines)

    def _heading(self) -> str:
        return self.title if self.feed.synced else f"{self.title} (stale: the API server has not answered yet)"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        """What a notebook asks for: the widget, and the text for where there is no front end."""
        from .widget import widget

        shown = widget(self)._repr_mimebundle_()
        data, metadata = shown if isinstance(shown, tuple) else (shown or {}, {})
        return {**data, "text/plain": self.text()}, metadata


TRUTHS = ("desired", "reported", "observed")
