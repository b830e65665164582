"""JupyterLab with one notebook, as a learner has it, for tests and for the bench."""

import contextlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

from tests import jupyterlab

ROOT = jupyterlab.ROOT
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


@contextlib.contextmanager
def lab(*cells, source=None):
    """The address of a notebook with these cells (or of a copy of the notebook `source`), in a JupyterLab of its own
    that is gone afterwards."""
    shape = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    code = [{**shape, "id": f"c{place}", "source": cell} for place, cell in enumerate(cells)]
    notebook = {"cells": code, "metadata": {"kernelspec": KERNEL}, "nbformat": 4, "nbformat_minor": 5}
    with tempfile.TemporaryDirectory(prefix="lab-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "work").mkdir()
        (folder / "work" / "board.ipynb").write_text(source.read_text() if source else json.dumps(notebook))
        settings = folder / "settings"
        shutil.copytree(ROOT / "tools" / "jupyterlab", settings)
        argv = [
            sys.executable, "-m", "jupyterlab", "--allow-root", "--ServerApp.ip=127.0.0.1", *jupyterlab.flags(),
            f"--ServerApp.root_dir={folder / 'work'}", f"--LabApp.app_settings_dir={settings}",
        ]  # fmt: skip
        server = jupyterlab.Server(argv, jupyterlab.folders(folder))
        try:
            yield server.address("board.ipynb")
        finally:
            server.close()


def cell(page, place):
    return page.locator(".jp-Notebook .jp-CodeCell").nth(place)


def run_cell(page, place):
    """Begin to run the cell at `place` of the open notebook; what it does is for others to wait for."""
    jupyterlab.idle(page)
    cell(page, place).locator(".jp-InputArea-editor").click()
    page.keyboard.press("Shift+Enter")


def run_all(page):
    """Run all code cells, each to its end."""
    for place in range(page.locator(".jp-Notebook .jp-CodeCell").count()):
        jupyterlab.idle(page)
        cell(page, place).locator(".jp-InputArea-editor").click()
        jupyterlab.run(page, cell(page, place).element_handle())


def wait_idle(page):
    """The notebook is open and its kernel waits. Whatever JupyterLab asks from now on is answered with its default."""
    dialog = page.locator(".jp-Dialog button.jp-mod-accept")
    page.add_locator_handler(page.locator(".jp-Dialog"), lambda: dialog.first.click())
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    jupyterlab.idle(page)
