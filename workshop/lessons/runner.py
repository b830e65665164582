"""Builds the notebooks from their text, and runs one from top to bottom without a browser.

    python -m workshop.lessons.runner build labs            every labs/*.md with a kernel becomes .ipynb
    python -m workshop.lessons.runner run labs/00-tour.md   unsolved; --solve puts each solution in its cell

A cell tagged `answer:NAME` is the learner's. `run` prints a JSON object: the checks by name, and all that was said.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

from .exercise import Exercise

CELL_SECONDS = 180


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


def module(made: Any) -> ModuleType | None:
    """The module whose `open_lab` the notebook imports."""
    for cell in made.cells:
        found = re.search(r"^from (workshop\.lessons\.\w+) import open_lab", cell.source, re.MULTILINE)
        if found and cell.cell_type == "code":
            return importlib.import_module(found[1])
    return None


def exercises(made: Any) -> dict[str, Exercise]:
    """The lab's exercises, by the name that its tags use."""
    lab = module(made)
    return {exercise.name.replace(" ", "-"): exercise for exercise in lab.EXERCISES} if lab is not None else {}


def answers(made: Any) -> dict[str, Any]:
    """The learner's cells by exercise."""
    found = {}
    for cell in made.cells:
        for tag in cell.metadata.get("tags", []):
            if tag.startswith("answer:"):
                found[tag.removeprefix("answer:")] = cell
    return found


def solve(made: Any, known: Mapping[str, Exercise]) -> None:
    for name, cell in answers(made).items():
        cell.source = known[name].solution


def outputs(made: Any) -> str:
    """All that the cells printed or showed, as text."""
    said = []
    for cell in made.cells:
        for out in cell.get("outputs", []):
            said.append(out.get("text") or out.get("data", {}).get("text/plain", ""))
    return "\n".join(said)


def run(made: Any, folder: Path) -> str:
    """Execute it; all that it said. Raises what a cell raised."""
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(made, timeout=CELL_SECONDS, kernel_name="python3", resources=where).execute()
    return outputs(made)


def verdicts(said: str) -> dict[str, bool]:
    """The last verdict of each check."""
    found = {}
    for line in said.splitlines():
        for sign, passed in (("✓ solved: ", True), ("✗ not yet: ", False)):
            if line.startswith(sign):
                found[line.removeprefix(sign)] = passed
    return found


def main(argv: list[str]) -> int:
    if argv[:1] == ["build"]:
        for source in sources(Path(argv[1])):
            source.with_suffix(".ipynb").write_text(text(notebook(source)), encoding="utf-8")
        return 0
    source = Path(argv[1])
    made = notebook(source)
    if "--solve" in argv:
        solve(made, exercises(made))
    said = run(made, source.parent)
    print(json.dumps({"checks": verdicts(said), "said": said}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
