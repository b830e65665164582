"""The wheel, built and installed elsewhere: whoever has only that loses nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    for part in ("workshop", "labs", "tools/jupyterlab", "pyproject.toml", "README.md", "LICENSE"):
        (folder / "tree" / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copyfile
        copy(ROOT / part, folder / "tree" / part)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(folder / "tree")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [made] = folder.glob("*.whl")
    return made


def test_everything_that_is_no_python_is_in_it(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(["git", "ls-files", "workshop"], cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = {name for name in tracked.stdout.split() if not name.endswith(".proto")}
    assert wanted - inside == set()
    data = {name.partition(".data/data/")[2] for name in inside if ".data/data/" in name}
    assert {f"share/workshop/labs/{path.name}" for path in (ROOT / "labs").glob("*.ipynb")} <= data
    assert "share/jupyter/lab/settings/overrides.json" in data


def test_installed_it_gives_the_command_and_the_labs(wheel, tmp_path):
    venv.create(tmp_path / "venv")
    pip = [sys.executable, "-m", "pip", "--python", tmp_path / "venv" / "bin" / "python"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", "--no-compile", wheel], check=True)
    # what it depends on is borrowed from the environment that runs the tests
    site = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def workshop(*argv: str) -> subprocess.CompletedProcess[str]:
        command = [tmp_path / "venv" / "bin" / "workshop", *argv]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert workshop("doctor").returncode == 0
    first = workshop("lab", "mine", "--copy")
    assert first.returncode == 0 and "00-tour.ipynb" in first.stdout, first.stderr
    (tmp_path / "mine" / "00-tour.ipynb").write_text("changed by the learner")
    assert "has every lab already" in workshop("lab", "mine", "--copy").stdout
    assert (tmp_path / "mine" / "00-tour.ipynb").read_text() == "changed by the learner"
    shutil.rmtree(tmp_path / "venv" / "share" / "workshop")
    refused = workshop("lab", "other", "--copy")
    assert refused.returncode == 1 and "this installation has no labs" in refused.stderr
