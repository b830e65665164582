"""The front end: plain ES modules and one style sheet, no library and no build step.

    widget.js, page.js   the two doors: a notebook's widget, a web page
    view.js              the whole board: what arrives, what is chosen, the controls of time
    state.js             the log of steps, and scrubbing in it
    columns.js map.js swimlanes.js inspect.js   the four pictures
    ring.js ringview.js   the door to the Raft ring, and the ring; glass.js pipeline.js   the glass box likewise
    paint.js signs.js dom.js   what a row looks like; its shape and tone; small helpers

A page loads the modules one by one. A notebook's widget has to be one module: `bundle()` puts them into one.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
STYLE = "board.css"
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([a-z]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=class|function|const)", re.MULTILINE)


def source(name: str) -> str:
    """The text of one file. Raises KeyError for what is none of the front end's."""
    if name not in names():
        raise KeyError(name)
    return (FOLDER / name).read_text(encoding="utf-8")


@cache
def names() -> frozenset[str]:
    return frozenset(path.name for path in FOLDER.iterdir() if path.suffix in (".js", ".css"))


@cache
def bundle(entry: str = "widget.js") -> str:
    """`entry` and all that it imports as one ES module: the modules one after the other, each after those it imports.

    It asks two things of them: imports are `import { a, b } from "./name.js";` on one line, and no two modules have a
    top-level name in common.
    """
    order: list[str] = []

    def visit(name: str) -> None:
        if name not in order:
            for other in _IMPORT.findall(source(name)):
                visit(other)
            order.append(name)

    visit(entry)
    return "\n".join(f"// {name}\n" + _EXPORT.sub("", _IMPORT.sub("", source(name))) for name in order)
