"""Each lab: its notebook is in step with its text; it runs from top to bottom, unsolved and solved."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def runner(*arguments, **settings):
    argv = [sys.executable, "-m", "workshop.lessons.runner", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WORKSHOP_LAB_MODE": "plain", **settings}
    return subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90, check=False)


def test_the_notebooks_are_in_step_with_their_text(tmp_path):
    texts = list((ROOT / "labs").glob("*.md"))
    for text in texts:
        (tmp_path / text.name).write_bytes(text.read_bytes())
    assert runner("build", str(tmp_path)).returncode == 0
    built = {path.name: path.read_text() for path in tmp_path.glob("*.ipynb")}
    assert built == {path.name: path.read_text() for path in (ROOT / "labs").glob("*.ipynb")}
    assert len(built) == len(texts)


def test_cells_are_short_and_notebooks_are_stripped():
    for path in (ROOT / "labs").glob("*.ipynb"):
        for cell in json.loads(path.read_text())["cells"]:
            assert not cell.get("outputs")
            assert cell["cell_type"] != "code" or "".join(cell["source"]).count("\n") < 15


@pytest.mark.cluster
@pytest.mark.parametrize("solved", [False, True])
def test_the_tour_runs_from_top_to_bottom(solved):
    with tempfile.TemporaryDirectory(prefix="ws-") as home:
        settings = {"WORKSHOP_HOME": home, "WORKSHOP_CHECK_SECONDS": "15" if solved else "1"}
        try:
            done = runner("run", "labs/00-tour.md", *(["--solve"] if solved else []), **settings)
            assert done.returncode == 0, done.stderr
            found = json.loads(done.stdout.splitlines()[-1])
            assert found["checks"] == {"three truths": solved, "no node": solved}, found["said"]
            assert "not running: etcd stopped" in found["said"] and "kube-apiserver stopped" in found["said"]
            assert "who talks to etcd?" not in found["said"] and "happened:  kube-apiserver\n" in found["said"]
        finally:
            end = [sys.executable, "-m", "workshop", "down", "--name", "lab-tour", "--purge"]
            subprocess.run(end, cwd=ROOT, env={**os.environ, "WORKSHOP_HOME": home}, capture_output=True, check=False)
