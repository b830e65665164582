"""One file that survives crashes, other kernels, and whatever was done to it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from workshop.lessons.progress import Progress, learner

ROOT = Path(__file__).resolve().parents[2]


def test_each_learner_and_lab_has_its_own(home):
    path = home / "progress.json"
    Progress(path, "anna").record("tour", "no node", passed=True)
    Progress(path, "ben").record("tour", "no node", passed=False)
    Progress(path, "anna").record("control-loop", "converge", tries=2)
    assert Progress(path, "anna").labs() == {
        "tour": {"no node": {"passed": True}},
        "control-loop": {"converge": {"tries": 2}},
    }
    assert Progress(path, "ben").steps("tour") == {"no node": {"passed": False}}
    assert path.stat().st_mode & 0o777 == 0o600
    assert learner() == "anna"


@pytest.mark.parametrize(
    "content", ['{"learners": {"a"', "[]", '{"version": 1, "learners": {"a": 3}}', '{"version": 9, "learners": {}}', ""]
)
def test_a_corrupt_file_is_put_aside_and_said(home, content):
    store = Progress(home / "progress.json")
    store.path.write_text(content)
    store.record("tour", "no node", passed=True)
    assert store.steps("tour") == {"no node": {"passed": True}}
    assert [path.read_text() for path in home.glob("*.broken-*")] == [content]
    assert "it is kept as" in store.notice and "a new one begins" in store.notice


def test_what_cannot_be_written_is_kept_and_written_later(home):
    store = Progress(home / "here" / "progress.json")
    (home / "here").write_text("a file where a folder should be")
    store.record("tour", "no node", passed=True)
    assert "kept in memory" in store.notice
    assert store.steps("tour") == {"no node": {"passed": True}}
    (home / "here").unlink()
    store.record("tour", "three truths", passed=False)
    assert set(Progress(store.path).steps("tour")) == {"no node", "three truths"}


WRITER = """
import sys
from pathlib import Path
from workshop.lessons.progress import Progress
store = Progress(Path(sys.argv[1]), "anna")
for number in range(20):
    store.record("tour", f"step {sys.argv[2]}-{number}", passed=True)
"""


def test_two_kernels_at_once_lose_nothing(home):
    path = home / "progress.json"
    argv = [sys.executable, "-c", WRITER, str(path)]
    writers = [subprocess.Popen([*argv, str(number)], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}) for number in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(Progress(path, "anna").steps("tour")) == 60
    assert json.loads(path.read_text())["version"] == 1
    assert not list(home.glob("*.new-*"))
