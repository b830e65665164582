"""`Board(cluster)`: the last expression of a cell shows it live; `print` or a terminal shows it as text."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from workshop.cluster.facade import Cluster

from .feed import Feed

WHY_NOT_OBSERVED = "observed is empty: the processes of this cluster cannot be seen from here"
TRUTHS = ("desired", "reported", "observed")


def _order(row: dict[str, Any]) -> tuple[bool, str, str, str]:
    """Own namespaces first, the system's last."""
    return row["namespace"].startswith("kube-"), row["namespace"], row["kind"], row["name"]


class Board:
    """One live view of one cluster."""

    def __init__(self, cluster: Cluster, *, tab: str = "workloads") -> None:
        self.title = cluster.name
        self.tab = tab
        self.feed = Feed(str(cluster.kubeconfig()), cluster).start()

    @classmethod
    def attach(cls, kubeconfig: str | Path, *, tab: str = "workloads") -> Board:
        """A board of any cluster. Its observed column is empty, and says why."""
        board = cls.__new__(cls)
        board.title, board.tab = Path(kubeconfig).stem, tab
        board.feed = Feed(str(kubeconfig)).start()
        return board

    def close(self, why: str = "this board is closed; run its cell again") -> None:
        """Follow no more; whoever looks reads `why`."""
        self.feed.close(why)

    def reopen(self) -> None:
        """Follow a cluster that was made anew. Whoever looks goes on looking, at the same place."""
        old = self.feed
        old.close("the cluster is being made anew")
        self.feed = Feed(old.kubeconfig, old.cluster).start()
        self.feed.take_over(old)

    @property
    def note(self) -> str:
        """What a viewer has to know before he reads it."""
        notes = [] if self.feed.cluster is not None else [WHY_NOT_OBSERVED]
        if self.feed.blind:
            notes.append(f"not shown, since they cannot be read: {', '.join(sorted(self.feed.blind))}")
        return "; ".join(notes)

    def text(self) -> str:
        out = io.StringIO()
        # in a kernel rich would show the table as an output of its own
        Console(file=out, width=110, color_system=None, force_jupyter=False).print(self)
        return out.getvalue()

    def __repr__(self) -> str:
        return self.text()

    def __rich__(self) -> Table:
        self.feed.look()
        table = Table(title=self._heading(), title_justify="left", caption_justify="left", min_width=80)
        for head in ("", "desired", "reported", "observed", "who acts next"):
            table.add_column(head)
        for row in self._workloads():
            name = f"{row['kind'].lower()}/{row['name']}"
            name += "" if row["namespace"] == "default" else f" ({row['namespace']})"
            # a sign beside the number: nobody has to tell colours apart
            counts = [
                "–" if row[truth] is None else f"{row[truth]}{' ≠' if row[truth] != row['desired'] else ''}"
                for truth in TRUTHS
            ]
            table.add_row(name, *counts, row["next"] or "nobody: all agree", style="" if row["next"] else "dim")
        table.caption = self.note or self._down()
        return table

    def _workloads(self) -> list[dict[str, Any]]:
        rows = [row for row in self.feed.picture.values() if "next" in row]
        return sorted(rows, key=_order)

    def _down(self) -> str:
        rows = self.feed.picture.values()
        down = [f"{r['name']} {r['state']}" for r in rows if r["type"] == "process" and r["state"] != "running"]
        return "not running: " + ", ".join(sorted(down)) if down else "every process runs"

    def summary(self) -> str:
        """What the board shows at this moment, in a line for each workload: measured, not told."""
        self.feed.look()
        lines = [self._down()]
        for row in self._workloads():
            counts = ", ".join(f"{column} {row[column]}" for column in TRUTHS if row[column] is not None)
            lines.append(f"{row['kind'].lower()}/{row['name']}: {counts}; {row['next'] or 'all agree'}")
        return "\n           ".join(lines)

    def _heading(self) -> str:
        if problem := self.feed.truth()["problem"]:
            return f"{self.title} (stale: {problem})"
        return self.title if self.feed.synced else f"{self.title} (stale: the API server has not answered yet)"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        """What a notebook asks for: the widget, and the text for where there is no front end."""
        from .widget import widget

        shown = widget(self, self.tab)._repr_mimebundle_()
        data, metadata = shown if isinstance(shown, tuple) else (shown or {}, {})
        return {**data, "text/plain": self.text()}, metadata
