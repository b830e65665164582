"""What a lab says, as a card: HTML where there is a front end, plain text everywhere else. No script, all escaped."""

from __future__ import annotations

import html
import sys
from dataclasses import dataclass
from typing import Any

MARKS = {"task": "▸", "passed": "✓", "failed": "✗", "hint": "?", "said": "·", "wait": "…"}
COLOURS = {
    "task": "var(--jp-info-color1, #1976d2)",
    "passed": "var(--jp-success-color1, #2e7d32)",
    "failed": "var(--jp-warn-color1, #b45f06)",
    "hint": "var(--jp-brand-color1, #6a4fb3)",
    "said": "var(--jp-border-color1, #777)",
    "wait": "var(--jp-border-color1, #777)",
}


@dataclass(frozen=True)
class Card:
    """`kind` gives mark and colour; `code` is set in a fixed width."""

    kind: str
    title: str
    lines: tuple[str, ...] = ()
    code: str = ""

    def text(self) -> str:
        indented = [f"  {part}" for line in self.lines for part in line.splitlines()]
        return "\n".join(
            [f"{MARKS[self.kind]} {self.title}", *indented, *(self.code.splitlines() if self.code else [])]
        )

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        lines = "".join(f"<div>{html.escape(line).replace(chr(10), '<br>')}</div>" for line in self.lines)
        code = f'<pre style="margin:.4em 0 0">{html.escape(self.code)}</pre>' if self.code else ""
        style = f"border-left:4px solid {COLOURS[self.kind]};padding:.35em .8em;margin:.2em 0;line-height:1.45"
        title = f"<strong>{MARKS[self.kind]} {html.escape(self.title)}</strong>"
        return f'<div class="workshop-{self.kind}" style="{style}">{title}{lines}{code}</div>'


@dataclass(frozen=True)
class Table:
    """Rows under heads."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.heads, *self.rows, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (self.heads, *self.rows)
        )

    def _repr_html_(self) -> str:
        def row(cells: tuple[str, ...], tag: str) -> str:
            style = "text-align:left;vertical-align:top;padding:.2em .9em .2em 0"
            made = (f'<{tag} style="{style}">{html.escape(cell).replace(chr(10), "<br>")}</{tag}>' for cell in cells)
            return f"<tr>{''.join(made)}</tr>"

        return f"<table>{row(self.heads, 'th')}{''.join(row(cells, 'td') for cells in self.rows)}</table>"


def _shell() -> Any:
    """The notebook's kernel, or None in plain Python: there `print` has to do."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    found = get_ipython()  # type: ignore[no-untyped-call, unused-ignore]
    return found if found is not None and hasattr(found, "kernel") else None


def show(what: Card | Table) -> None:
    if _shell() is None:
        print(what, flush=True)
        return
    from IPython.display import display

    display(what)  # type: ignore[no-untyped-call, unused-ignore]


class Indicator:
    """One card that is replaced while something is under way; in plain text only its changes of title are printed."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._title = ""

    def tell(self, card: Card) -> None:
        if _shell() is None:
            if card.title != self._title:
                print(card, flush=True)
            self._title = card.title
            return
        from IPython.display import display

        if self._handle is None:
            self._handle = display(card, display_id=True)  # type: ignore[no-untyped-call, unused-ignore]
        else:
            self._handle.update(card)
