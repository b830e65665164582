"""The board in a notebook: while a cell runs, after the kernel has died, after it came again."""

import json
import os

import pytest

from . import browser as browsers
from . import notebook
from .test_feed import Served

pytestmark = pytest.mark.cluster
CELLS = (
    "from workshop.views import Board\nboard = Board.attach({path})\nboard",
    "open({pipe}).read()  # blocks until the test writes into it",
    "print('views:', board.feed.listeners)",
    "import os\nos._exit(1)",
)
ROWS = "() => [...document.querySelector('.ws-board').view.time.rows.keys()].filter(key => key.startsWith('Pod/'))"


def test_in_a_notebook(tmp_path):
    served = Served(tmp_path)
    served.pod("first", phase="Pending")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    cells = [cell.format(path=json.dumps(str(served.kubeconfig)), pipe=json.dumps(str(pipe))) for cell in CELLS]
    try:
        with notebook.lab(*cells) as url, browsers.chromium() as chromium:
            page = chromium.new_page(viewport={"width": 1400, "height": 950})
            page.set_default_timeout(2 * browsers.PATIENCE)
            page.goto(url)
            notebook.wait_idle(page)
            _live(page)
            _while_a_cell_runs(page, served, pipe)
            _one_listener(page)
            _after_the_kernel_died(page)
    finally:
        served.close()


def test_the_lab_index_is_accessible(tmp_path, monkeypatch):
    """What the index itself shows: JupyterLab's own frame around it is not ours to judge."""
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    with notebook.lab(source=notebook.ROOT / "labs" / "index.ipynb") as url, browsers.chromium() as chromium:
        page = chromium.new_page(viewport={"width": 1400, "height": 950})
        page.set_default_timeout(2 * browsers.PATIENCE)
        page.goto(url)
        notebook.wait_idle(page)
        notebook.run_all(page)
        for shown in (".jp-Notebook .jp-RenderedMarkdown", ".jp-Notebook .jp-OutputArea"):
            page.locator(shown).first.wait_for()
            assert browsers.serious(page, shown) == []


def _live(page):
    notebook.run_cell(page, 0)
    page.wait_for_selector(".ws-status.is-live")
    page.wait_for_selector('tr[data-key="Pod/default/first"]')
    browsers.shows(page.locator(".ws-note"), "cannot be seen from here")
    assert browsers.serious(page, ".ws-board") == []


def _while_a_cell_runs(page, served, pipe):
    notebook.run_cell(page, 1)
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=busy]")
    served.pod("second", phase="Pending")
    page.wait_for_selector('tr[data-key="Pod/default/second"]')
    page.locator('tr[data-key="Pod/default/second"]').click()
    page.locator(".ws-yaml", has_text="name: second").wait_for()
    busy = page.locator(".jp-Notebook-ExecutionIndicator").get_attribute("data-status")
    assert busy == "busy", "all that happened while the cell ran"
    page.keyboard.press("Escape")
    pipe.write_text("go on")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]")


def _one_listener(page):
    """A view that is shown anew takes the place of the one that went."""
    notebook.run_cell(page, 0)
    page.wait_for_selector(".ws-status.is-live")
    notebook.run_cell(page, 2)
    page.locator(".jp-OutputArea-output", has_text="views: 1").wait_for()


def _after_the_kernel_died(page):
    notebook.run_cell(page, 3)
    page.wait_for_selector(".ws-status.is-stale")
    browsers.shows(page.locator(".ws-status"), "nothing heard")
    assert "Pod/default/second" in page.evaluate(ROWS), "the last picture stays, and can be scrubbed"
    page.get_by_role("button", name="One step back").click()
    notebook.run_cell(page, 0)
    page.wait_for_selector(".ws-status.is-live")
    page.locator('tr[data-key="Pod/default/second"]').wait_for()
