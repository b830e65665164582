"""PURE: the source of a function, method or class by name, as the slide shows it."""

from __future__ import annotations

import ast
import textwrap

MOST_LINES, MOST_COLUMNS = 24, 112


class Missing(Exception):
    """A slide names what is not there (any more)."""


def find(source: str, symbol: str) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef:
    """`symbol` is a dotted path inside the module. Raises Missing."""
    scope: list[ast.stmt] = ast.parse(source).body
    found: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | None = None
    for part in symbol.split("."):
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        found = next((node for node in scope if isinstance(node, kinds) and node.name == part), None)
        if found is None:
            raise Missing(f"there is no {symbol!r} (looked for {part!r})")
        scope = found.body
    assert found is not None
    return found


def extract(source: str, symbol: str, *, docstring: bool = True, start: str = "", until: str = "") -> str:
    """The lines of `symbol`, moved to the left margin.

    Decorators stay away. `start` and `until` cut inside it: from the first line that contains the one to the first
    after it that contains the other. Raises Missing when a name or text is gone, or when it does not fit a slide.
    """
    node = find(source, symbol)
    lines = source.splitlines()
    first, last = node.lineno - 1, node.end_lineno or node.lineno
    kept = list(range(first, last))
    head = node.body[0]
    if not docstring and ast.get_docstring(node, clean=False) is not None:
        gone = range(head.lineno - 1, head.end_lineno or head.lineno)
        kept = [number for number in kept if number not in gone]
    text = [lines[number] for number in kept]
    if start:
        text = text[_index(text, start, symbol) :]
    if until:
        text = text[: _index(text, until, symbol) + 1]
    shown = textwrap.dedent("\n".join(text))
    widest = max(len(line) for line in shown.splitlines())
    if len(text) > MOST_LINES or widest > MOST_COLUMNS:
        raise Missing(
            f"{symbol} has {len(text)} lines of up to {widest} columns, a slide shows {MOST_LINES} of {MOST_COLUMNS}: "
            "cut it with from and until"
        )
    return shown


def _index(lines: list[str], text: str, symbol: str) -> int:
    for number, line in enumerate(lines):
        if text in line:
            return number
    raise Missing(f"{symbol} has no line with {text!r}")
