"""Each lab: its notebook is in step with its text; it runs from top to bottom, unsolved and solved."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.machine import quiet
from workshop.lessons import runner

ROOT = Path(__file__).resolve().parents[2]
LABS = [path for path in runner.sources(ROOT / "labs") if path.stem != "index"]
SECONDS = 90


def run(*arguments, **settings):
    argv = [sys.executable, "-m", "workshop.lessons.runner", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WORKSHOP_LAB_MODE": "plain", **settings}
    return subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)


def test_the_notebooks_are_in_step_with_their_text(tmp_path):
    texts = runner.sources(ROOT / "labs")
    for text in texts:
        (tmp_path / text.name).write_bytes(text.read_bytes())
    assert run("build", str(tmp_path)).returncode == 0
    built = {path.name: path.read_text() for path in tmp_path.glob("*.ipynb")}
    committed = {path.name: path.read_text() for path in (ROOT / "labs").glob("*.ipynb")}
    assert built == committed, "python -m workshop.lessons.runner build labs"
    assert len(built) == len(texts)


def test_cells_are_short_and_notebooks_are_stripped():
    for path in (ROOT / "labs").glob("*.ipynb"):
        for cell in json.loads(path.read_text())["cells"]:
            source = "".join(cell["source"])
            assert not cell.get("outputs") and not cell.get("execution_count")
            assert cell["cell_type"] != "code" or source.count("\n") < 15
            assert "%%javascript" not in source and "<script" not in source


@pytest.mark.parametrize("lab", LABS, ids=lambda path: path.stem)
def test_each_exercise_has_its_cell_its_check_and_its_hints(lab):
    made = runner.notebook(lab)
    known, answers = runner.exercises(made), runner.answers(made)
    assert set(answers) == set(known) and known
    code = "\n".join(cell.source for cell in made.cells if cell.cell_type == "code")
    module = runner.module(made)
    for exercise in known.values():
        assert f'lab.exercise("{exercise.name}")' in code
        assert all((exercise.where, exercise.half, exercise.solution, exercise.explanation, exercise.task))
        assert exercise.builds_on in {section.name for section in module.SECTIONS}
    assert any(exercise.swap for exercise in known.values()), "each lab swaps a function into a running component"
    for section in module.SECTIONS:
        assert f'lab.section("{section.name}")' in code


@pytest.mark.cluster
@pytest.mark.parametrize("solved", [False, True], ids=["unsolved", "solved"])
@pytest.mark.parametrize("lab", LABS, ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom(lab, solved):
    known = {exercise.name for exercise in runner.exercises(runner.notebook(lab)).values()}
    with tempfile.TemporaryDirectory(prefix="ws-") as home:
        settings = {"WORKSHOP_HOME": home, "WORKSHOP_CHECK_SECONDS": "90" if solved else "1"}
        begun = time.monotonic()
        try:
            done = run("run", str(lab), *(["--solve"] if solved else []), **settings)
            assert done.returncode == 0, done.stderr
            found = json.loads(done.stdout.splitlines()[-1])
            assert found["checks"] == dict.fromkeys(known, solved), found["said"]
            assert "that did not work" not in found["said"], found["said"]
            if solved:
                assert "another state" not in found["said"], found["said"]
            MEASURED.get(lab.stem, lambda said: None)(found["said"])
            assert time.monotonic() - begun < SECONDS or not quiet()
        finally:
            for name in os.listdir(f"{home}/clusters") if os.path.isdir(f"{home}/clusters") else ():
                end = [sys.executable, "-m", "workshop", "down", "--name", name, "--purge"]
                environment = {**os.environ, "WORKSHOP_HOME": home}
                subprocess.run(end, cwd=ROOT, env=environment, capture_output=True, check=False)


def tour(said):
    """The facts that the tour measures."""
    lines = said.splitlines()
    assert "(nothing)      kube-apiserver" in lines, "only the API server talks to etcd"
    assert any("6 × failed" in line for line in lines), "without kube-proxy a Service's address does not answer"
    assert any("1 × hello-" in line for line in lines), "a pod's own address does"
    assert "not running: etcd stopped" in said and "kube-apiserver stopped" in said
    assert any("desired 3, reported 3, observed 2; kubelet-node-1 is stopped" in line for line in lines)


def control_loop(said):
    assert "6 pods for a wish of 3" in said, "a loop that believes events makes them twice"
    assert "409 Conflict" in said


def etcd(said):
    assert "refused: etcdserver: mvcc: required revision has been compacted" in said
    assert "refused: etcdserver: mvcc: required revision is a future revision" in said
    assert any(line.split()[:2] == ["/lab/a", "●"] and "◆" in line for line in said.splitlines()), "the timeline"
    assert any(line.startswith("namespaces ") for line in said.splitlines()), "what the API server wrote"
    assert "★ master-" in said and "voters run, 3 are a majority" in said, "the rings, live and simulated"
    assert "DELETE /lab/alive" in said, "a lease that ended takes its keys along"
    assert "serializable get: /lab/a = 'two'" in said, "without a quorum a member tells what it has"
    assert "put: refused" in said and "get: refused" in said, "and promises nothing"
    assert "etcd is called by: etcd, kube-apiserver" in said and "the kubelet calls: load-balancer" in said


def api_server(said):
    assert "401 at authentication; 403 at authorization; 400 at decoding; 422 at validation" in said
    assert "too old resource version: 1" in said, "a watch from before the compaction"
    assert 'conflict with "autoscaler": .spec.replicas' in said
    assert "a write by the second: 201; its watch: ADDED survivor" in said


MEASURED = {"00-tour": tour, "01-control-loop": control_loop, "02-etcd": etcd, "03-kube-apiserver": api_server}
