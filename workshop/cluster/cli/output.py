"""Tables as kubectl prints them: capitals, three blanks between columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """
    >>> print(table(["NAME", "PID"], [["etcd", 7], ["kubelet", None]]))
    NAME      PID
    etcd      7
    kubelet   -
    """
    text = [[str(cell) for cell in head]] + [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in text) for column in range(len(head))]
    return "\n".join("   ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in text)


def show(output: str, data: Any, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print `data` as JSON or `rows` as a table."""
    print(json.dumps(data, indent=2) if output == "json" else table(head, rows))


def megabytes(size: int | None) -> str | None:
    return None if size is None else f"{size / 1e6:.1f} MB"
