"""Who sits at the machine: root, or an ordinary user that the test makes, with a tree and an environment of its own.

An ordinary user cannot read root's Python, so the environment is made from the system's own (`/usr/bin/python3`).
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_NEEDED = {"anywidget", "ipykernel", "ipywidgets", "jupyterlab", "jupytext", "kubernetes", "nbclient", "networkx"}
"""What the project depends on for labs and judges, and no command of these tests imports."""
_count = itertools.count()


@dataclass
class Seat:
    """One person's place: `workshop("up")` runs the command line as that person, in one mode."""

    mode: str
    user: str | None
    python: str
    tree: Path
    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, *argv: str) -> list[str]:
        become = ["runuser", "-u", self.user, "--"] if self.user else []
        settings = {"HOME": str(self.home), "PYTHONPATH": str(self.tree), **self.environment}
        return [*become, "env", "-u", "WORKSHOP_HOME", *(f"{key}={value}" for key, value in settings.items()), *argv]

    def run(self, *argv: str, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*argv), capture_output=True, text=True, timeout=timeout, check=False, cwd=self.tree
        )

    def workshop(self, *argv: str, timeout: float = 90) -> str:
        """Standard output of a subcommand that must succeed."""
        result = self.run(self.python, "-m", "workshop", *argv, timeout=timeout)
        assert result.returncode == 0, f"workshop {' '.join(argv)}: {result.stderr or result.stdout}"
        return result.stdout

    def refuses(self, *argv: str) -> str:
        """Standard error of a subcommand that must fail."""
        result = self.run(self.python, "-m", "workshop", *argv)
        assert result.returncode == 1, result.stdout
        assert "Traceback" not in result.stderr, result.stderr
        return result.stderr

    def must_be_possible(self) -> None:
        """Skips the test, in words, where this system does not allow the seat's mode."""
        checks = json.loads(self.workshop("doctor", "-o", "json"))
        (verdict,) = [check for check in checks if check["check"] == f"mode {self.mode}"]
        if not verdict["ok"]:
            skip(f"mode {self.mode} is not possible here: {verdict['what']}")

    def processes(self) -> dict[str, dict[str, object]]:
        return {row["name"]: row for row in json.loads(self.workshop("ps", "-o", "json"))}


def skip(why: str) -> None:
    """A skip in words; in CI nothing here may be skipped."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"would be skipped, and CI skips nothing here: {why}")
    pytest.skip(why)


def make(mode: str, folder: Path) -> Seat:
    """A seat for `mode`: root for mode root; else an ordinary user, made here when the test runs as root."""
    if mode == "root" and os.geteuid() != 0:
        skip("mode root needs root")
    if mode == "root" or os.geteuid() != 0:
        return Seat(mode, None, sys.executable, ROOT, folder, {"WORKSHOP_HOME": str(folder)})
    if not shutil.which("useradd") or not shutil.which("runuser") or not os.path.exists("/usr/bin/python3"):
        skip("an ordinary user cannot be made here: useradd, runuser and /usr/bin/python3 are needed")
    user = f"ws-{mode}-{os.getpid()}-{next(_count)}"
    _of_users("useradd", "--create-home", "--shell", "/bin/bash", user)
    home = Path(pwd.getpwnam(user).pw_dir)
    home.chmod(0o700)
    shutil.copytree(ROOT / "workshop", home / "tree" / "workshop", ignore=shutil.ignore_patterns("__pycache__"))
    python = _environment(home / "venv")
    subprocess.run(["chown", "-R", f"{user}:", str(home)], check=True)
    return Seat(mode, user, python, home / "tree", home)


def leave(seat: Seat) -> None:
    """Remove the user that was made."""
    if seat.user:
        _of_users("userdel", "--remove", seat.user)


def _of_users(*command: str) -> None:
    """useradd or userdel: they lock the table of users, and give up where another test holds it for long."""
    end = time.monotonic() + 120
    while True:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode in (0, 12):  # 12: it is gone, and had no mail
            return
        again = done.returncode in (1, 8, 10)  # the table is locked, or a process of the user's is just ending
        assert again and time.monotonic() < end, f"{' '.join(command)} ended with {done.returncode}: {done.stderr}"
        time.sleep(0.2)


def _environment(venv: Path) -> str:
    """A virtual environment of the system's Python with what the components need; path of its interpreter."""
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", str(venv)], check=True)
    python = str(venv / "bin" / "python")
    probe = "import sys, sysconfig; print(sys.version_info[:2] >= (3, 11)); print(sysconfig.get_path('purelib'))"
    recent, target = subprocess.run([python, "-c", probe], capture_output=True, text=True, check=True).stdout.split()
    if recent != "True":
        skip("/usr/bin/python3 is older than 3.11")
    ours = ".".join(map(str, sys.version_info[:2]))
    if f"/python{ours}/" in target:
        for name in _needed():
            _copy(name, Path(target))
    else:
        locked = [f"{name}=={importlib.metadata.version(name)}" for name in _needed()]
        subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", *locked], check=True)
    return python


def _needed() -> set[str]:
    """Distributions that the components need, with what those need."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    queue = [_name(text) for text in project["dependencies"]]
    found: set[str] = set()
    while queue:
        name = queue.pop()
        if name in found or name in NOT_NEEDED:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system or Python
        found.add(name)
        queue += [_name(text) for text in distribution.requires or [] if "extra ==" not in text]
    return found


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return match[0].lower().replace("_", "-")


def _copy(name: str, target: Path) -> None:
    distribution = importlib.metadata.distribution(name)
    for file in distribution.files or []:
        if ".." in file.parts or "__pycache__" in file.parts:
            continue
        place = target / file
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(distribution.locate_file(file)), place)
