"""Reads a lab cell by cell in JupyterLab, as a learner would: keys, not API calls."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import jupyterlab
from workshop.lessons import runner

from .desk import ROOT, Desk

DOCUMENTS = {"01-control-loop-not-yet": "lab.jpg"}
"""Pictures that the documents show, by the moment at which they are taken; small ones."""
ON_THE_BOARD = {"00-tour": ("Deployment", "web", "3"), "01-control-loop": ("ReplicaSet", "web", "3")}
"""What the pinned board has to show, in one row, once the first exercise of a lab is solved."""
PINNED = {
    "lab.board()": ("board", ".ws-status.is-live"),
    "lab.ring()": ("ring", ".ws-ring-place [data-key]"),
    "lab.glass()": ("glass", ".ws-glass"),
}
"""Views that are kept beside the notebook, by the line that makes them: a name, and what is seen when they live."""
PICTURED = ("lab.timeline", "lab.registry")
"""Views of which a picture is taken when they come."""


class Learner:
    """One page of one browser. `shoot(name)` leaves a picture in `pictures`."""

    def __init__(self, page: Any, desk: Desk, pictures: Path, documents: Path | None = None) -> None:
        self.page, self.desk, self.pictures, self.documents = page, desk, pictures, documents
        page.set_default_timeout(jupyterlab.PATIENCE * 1000)
        self.seen: dict[str, float] = {}
        """Seconds after `make lab` at which something was on the screen first."""

    def shoot(self, name: str) -> None:
        self.pictures.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(self.pictures / f"{name}.png"))
        if self.documents is not None and name in DOCUMENTS:
            self.documents.mkdir(parents=True, exist_ok=True)
            small = str(self.documents / DOCUMENTS[name])
            self.page.screenshot(path=small, type="jpeg", quality=70)

    def note(self, what: str) -> None:
        self.seen.setdefault(what, time.monotonic() - self.desk.begun)

    # -- the index --

    def open_index(self) -> None:
        self.page.goto(self.desk.address("index.ipynb"))
        self.page.get_by_role("heading", name="Kubernetes under the hood: the labs").wait_for()
        self.note("index")

    def run_index(self) -> None:
        """Show where the learner is."""
        jupyterlab.idle(self.page, "index.ipynb")
        self.notebook.locator(".jp-CodeCell").first.click()
        self.run(True)
        self.page.get_by_role("columnheader", name="where you are").wait_for()

    def index_shows(self, words: str) -> None:
        """The index's table was drawn before, and is live."""
        self.page.get_by_role("tab", name="index.ipynb").click()
        self.page.get_by_role("cell", name=words).first.wait_for()

    def restart_kernel(self) -> None:
        jupyterlab.restart(self.page)

    def type_and_run(self, source: str) -> str:
        self._insert(source)
        return self.run(True)

    def open_lab(self, title: str, stem: str) -> None:
        """By its link on the index, as a click."""
        self.page.get_by_role("link", name=title).first.click()
        self.page.locator(
            f".jp-mod-current[data-type='document-title'], .lm-mod-current >> text={stem}.ipynb"
        ).first.wait_for()
        self.notebook.locator(".jp-Cell").first.wait_for()
        jupyterlab.idle(self.page, f"{stem}.ipynb")
        self.note(f"{stem} open")

    @property
    def notebook(self) -> Any:
        """The panel in front."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)").last

    # -- cells --

    def first_cell(self) -> None:
        self.notebook.locator(".jp-Notebook").click(position={"x": 5, "y": 5})
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("Control+Home")
        first = self.notebook.locator(".jp-Cell").first
        first.click(position={"x": 3, "y": 3})
        self.page.keyboard.press("Escape")

    @property
    def active(self) -> Any:
        return self.notebook.locator(".jp-Cell.jp-mod-active")

    def write(self, source: str) -> None:
        """Put it into the active cell, in the place of what is there."""
        self.page.keyboard.press("Enter")
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(source)
        self.page.keyboard.press("Escape")

    def run(self, code: bool) -> str:
        """Run the active cell, wait for its end, and go on to the next; what it put out."""
        if not code:
            self.page.keyboard.press("Shift+Enter")
            return ""
        return jupyterlab.run(self.page, self.active.element_handle())

    # -- a lab from top to bottom --

    def work_through(
        self, source: Path, after: Callable[[str, str], None] = lambda cell, said: None
    ) -> dict[str, bool]:
        """Every cell in turn; the first exercise is got wrong first. `after(source, output)` follows each code cell.

        Returns the last verdict of each check, by exercise.
        """
        made = runner.notebook(source)
        known = runner.exercises(made)
        self.first_cell()
        verdicts: dict[str, bool] = {}
        wrong_first, waiting = True, ""
        self.board: Any = None
        for cell in made.cells:
            code = cell.cell_type == "code"
            text = cell.source
            tags = [tag.removeprefix("answer:") for tag in cell.metadata.get("tags", []) if tag.startswith("answer:")]
            if tags and not wrong_first:
                text = known[tags[0]].solution
                self.write(text)
            elif tags:
                waiting, text = tags[0], known[tags[0]].mistake
                self.write(text)
            said = self.run(code)
            after(text, said)
            line = text.strip().rpartition("\n")[2] if code else ""
            if line in PINNED:
                self._pin(source.stem, line)
            elif (view := line.partition("(")[0]) in PICTURED:
                self.shoot(f"{source.stem}-{view.removeprefix('lab.')}")
            if code and "lab.check()" in text:
                self._judged(said, verdicts)
                if wrong_first:
                    wrong_first = False
                    self._again(made, known, waiting, cell, verdicts, after, source.stem)
        if self.board is not None:
            self.shoot(f"{source.stem}-end")
        return verdicts

    def first_board(self, source: Path) -> None:
        """Run the cells up to the one that shows the board, and wait until it is live."""
        self.first_cell()
        for cell in runner.notebook(source).cells:
            last = cell.source.strip() == "lab.board()"
            if last:
                self.page.keyboard.press("Shift+Enter")
                board = self.notebook.locator(".jp-CodeCell", has_text="lab.board()").first
                board.locator(".ws-status.is-live").wait_for()
                self.note(f"{source.stem} board")
                return
            self.run(cell.cell_type == "code")

    def _again(self, made: Any, known: Any, name: str, check: Any, verdicts: Any, after: Any, stem: str) -> None:
        """The first check failed, as it should: look at it, read a hint, go back, do it right, check again."""
        assert verdicts == {known[name].name: False}, verdicts
        self.shoot(f"{stem}-not-yet")
        cells = list(made.cells)
        here, answer = (
            cells.index(check),
            next(i for i, cell in enumerate(cells) if f"answer:{name}" in cell.metadata.get("tags", [])),
        )
        self._insert("lab.hint()")
        hint = self.run(True)
        assert "hint 1 of 4, what is wrong" in hint and known[name].where not in hint, hint
        self.shoot(f"{stem}-hint")
        # the cell of the hint was put in after the check, and the one behind it is active now
        self._up(here + 2 - answer)
        self.write(known[name].solution)
        for cell in cells[answer : here + 1]:
            said = self.run(cell.cell_type == "code")
            after(cell.source, said)
        self._judged(said, verdicts)
        assert verdicts[known[name].name], said
        if stem in ON_THE_BOARD:
            self.board_shows(*ON_THE_BOARD[stem])
        self.shoot(f"{stem}-solved")
        self._up(0)
        self.page.keyboard.press("j")  # past the cell of the hint

    def _pin(self, stem: str, line: str) -> None:
        """A view has come; keep a second one of it beside the notebook."""
        name, alive = PINNED[line]
        cell = self.notebook.locator(".jp-CodeCell", has_text=line).first
        cell.locator(alive).first.wait_for()
        self.note(f"{stem} {name}")
        self.shoot(f"{stem}-{name}")
        cell.locator(".jp-OutputArea-output").last.click(button="right", position={"x": 40, "y": 10})
        self.page.locator(".lm-Menu-itemLabel", has_text="Create New View for Cell Output").click()
        self.board = self.page.locator(".jp-LinkedOutputView")
        self.board.locator(alive).first.wait_for()
        self.shoot(f"{stem}-{name}-pinned")
        cell.locator(".jp-InputPrompt").click()
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("j")

    def board_shows(self, *words: str) -> None:
        """Wait until one row of the pinned board has all these words."""
        row = self.board.locator("tr, [role=row]")
        for word in words:
            row = row.filter(has_text=word)
        row.first.wait_for()

    def _insert(self, source: str) -> None:
        """A new cell above the active one."""
        self.page.keyboard.press("a")
        self.write(source)

    def _up(self, cells: int) -> None:
        self.page.keyboard.press("Escape")
        for _ in range(cells):
            self.page.keyboard.press("k")

    def _judged(self, said: str, verdicts: dict[str, bool]) -> None:
        verdicts.update(runner.verdicts(said))


def labs() -> list[Path]:
    return [path for path in runner.sources(ROOT / "labs") if path.stem != "index"]


def title(source: Path) -> str:
    """The words of its link on the index."""
    found = re.search(rf"\[([^\]]+)\]\({re.escape(source.stem)}\.ipynb\)", (ROOT / "labs" / "index.md").read_text())
    assert found, f"{source.stem} is not on the index"
    return found[1]
