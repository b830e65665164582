"""Builds the notebooks from their text, and runs one from top to bottom without a browser.

    python -m workshop.lessons.runner build labs            every labs/*.md with a kernel becomes .ipynb
    python -m workshop.lessons.runner run labs/00-tour.md   unsolved; --solve puts each solution in its cell

A cell tagged `answer:NAME` is the learner's. `run` prints a JSON object of the checks, by name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

CELL_SECONDS = 60


def notebook(source: Path) -> Any:
    """The notebook of a MyST text: no outputs, and cell ids that stay the same from build to build."""
    made = jupytext.read(source)
    for number, cell in enumerate(made.cells):
        cell["id"] = f"cell-{number:03d}"
    made.metadata.pop("jupytext", None)
    return made


def text(made: Any) -> str:
    return str(nbformat.writes(made)).rstrip("\n") + "\n"


def sources(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.md")) if path.read_text(encoding="utf-8").startswith("---\n")]


def solve(made: Any, solutions: dict[str, str]) -> None:
    for cell in made.cells:
        for tag in cell.metadata.get("tags", []):
            if tag.startswith("answer:"):
                cell.source = solutions[tag.removeprefix("answer:")]


def outputs(made: Any) -> str:
    """All that the cells printed."""
    return "".join(out.get("text", "") for cell in made.cells for out in cell.get("outputs", []))


def main(argv: list[str]) -> int:
    if argv[:1] == ["build"]:
        for source in sources(Path(argv[1])):
            source.with_suffix(".ipynb").write_text(text(notebook(source)), encoding="utf-8")
        return 0
    made = notebook(Path(argv[1]))
    if "--solve" in argv:
        from .tour import EXERCISES

        solve(made, {exercise.name.replace(" ", "-"): exercise.solution for exercise in EXERCISES})
    NotebookClient(made, timeout=CELL_SECONDS, kernel_name="python3").execute()
    said = outputs(made)
    checks = {}
    for line in said.splitlines():
        for sign, passed in (("✓ solved: ", True), ("✗ not yet: ", False)):
            if line.startswith(sign):
                checks[line.removeprefix(sign)] = passed
    print(json.dumps({"checks": checks, "said": said}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
