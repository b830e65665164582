"""JupyterLab with one notebook, as a learner has it, for tests and for the bench."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def lab(*cells, source=None, patience=120.0):
    """The address of a notebook with these cells (or of a copy of the notebook `source`), in a JupyterLab of its own
    that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="lab-"))
    token = secrets.token_hex(16)
    notebook = {
        "cells": [
            {
                "cell_type": "code",
                "id": f"c{place}",
                "metadata": {},
                "source": cell,
                "outputs": [],
                "execution_count": None,
            }
            for place, cell in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (folder / "work").mkdir()
    (folder / "work" / "board.ipynb").write_text(source.read_text() if source else json.dumps(notebook))
    settings = folder / "settings"
    shutil.copytree(ROOT / "tools" / "jupyterlab", settings)
    port = free_port()
    own = {
        name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    }
    environment = {**os.environ, **own, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder / "ipython")}
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", f"--port={port}",
        "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder / 'work'}",
        f"--LabApp.app_settings_dir={settings}",
    ]  # fmt: skip
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/status?token={token}", server, folder / "log", patience)
        yield f"http://127.0.0.1:{port}/lab/tree/board.ipynb?token={token}"
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url, server, log, patience):
    end = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            if server.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"JupyterLab does not answer: {log.read_text()[-2000:]}") from None
            time.sleep(0.2)


def run_cell(page, place):
    """Run the cell at `place` of the open notebook. A kernel that is still connecting loses what it is told: again."""
    cell = page.locator(".jp-Notebook .jp-CodeCell").nth(place)
    for _ in range(20):
        cell.locator(".jp-InputArea-editor").click()
        page.keyboard.press("Shift+Enter")
        try:
            page.wait_for_function(
                "place => document.querySelectorAll('.jp-Notebook .jp-CodeCell')[place].querySelector('.jp-InputPrompt')"
                ".textContent.trim() !== '[ ]:'",
                arg=place,
                timeout=4000,
            )
            return
        except Exception as error:  # Playwright is imported only where there is one
            if type(error).__name__ != "TimeoutError":
                raise
    raise AssertionError(f"cell {place} was not run")


def wait_idle(page):
    """The notebook is open and its kernel waits. Whatever JupyterLab asks from now on is answered with its default."""
    dialog = page.locator(".jp-Dialog button.jp-mod-accept")
    page.add_locator_handler(page.locator(".jp-Dialog"), lambda: dialog.first.click())
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]")
