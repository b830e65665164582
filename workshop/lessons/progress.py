"""Progress: one JSON file for all learners and labs of this home, replaced as a whole, so a crash leaves old or new.

    {"version": 1, "learners": {"anna": {"tour": {"three truths": {"kind": "exercise", "passed": true, "tries": 2}}}}}

A step is an exercise, a prediction, or `@` (where the learner is). Nothing here raises: a file that cannot be read is
put aside, one that cannot be written is kept in memory until it can, and `notice` says so in a sentence.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workshop.clock import SYSTEM
from workshop.cluster.layout import home

VERSION = 1
HERE = "@"
"""The step that holds where the learner is."""
Steps = dict[str, dict[str, Any]]
Labs = dict[str, Steps]


def learner() -> str:
    """Whose progress this is: $WORKSHOP_LEARNER, the hub's user, else the user of this machine."""
    for variable in ("WORKSHOP_LEARNER", "JUPYTERHUB_USER"):
        if name := os.environ.get(variable, "").strip():
            return name[:80]
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        return f"user-{os.getuid()}"


class Progress:
    """What one learner has predicted and solved. Answers are kept only as far as a check reports them."""

    def __init__(self, path: Path | None = None, name: str | None = None) -> None:
        self.path = path or home() / "progress.json"
        self.name = name or learner()
        self.notice = ""
        self._unsaved: list[tuple[str, str, dict[str, Any]]] = []

    def labs(self) -> Labs:
        """By lab, then by step; what could not be written yet included."""
        found: Labs = self._merged(self._read())["learners"].get(self.name, {})
        return found

    def steps(self, lab: str) -> Steps:
        return self.labs().get(lab, {})

    def record(self, lab: str, step: str, **what: Any) -> None:
        """Merge `what` into that step. Two kernels may do so at once."""
        self._unsaved.append((lab, step, what))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._locked():
                self._write(self._merged(self._read()))
        except OSError as error:
            self.notice = f"progress cannot be written ({error.strerror}); it is kept in memory and tried again"
        else:
            self._unsaved.clear()

    def told(self) -> str:
        """The notice, once."""
        said, self.notice = self.notice, ""
        return said

    # -- the file --

    def _read(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
            _valid(found)
        except FileNotFoundError:
            return {"version": VERSION, "learners": {}}
        except OSError as error:
            self.notice = f"the progress file cannot be read ({error.strerror}): {self.path}"
            return {"version": VERSION, "learners": {}}
        except ValueError as error:
            self._aside(error)
            return {"version": VERSION, "learners": {}}
        return found

    def _aside(self, error: ValueError) -> None:
        aside = self.path.with_suffix(f".broken-{int(SYSTEM.now() * 1000)}")
        with contextlib.suppress(FileNotFoundError):  # another kernel did it a moment ago
            os.replace(self.path, aside)
            self.notice = f"the progress file could not be read ({error}); it is kept as {aside}, and a new one begins"

    def _merged(self, content: dict[str, Any]) -> dict[str, Any]:
        labs = content["learners"].setdefault(self.name, {}) if self._unsaved else {}
        for lab, step, what in self._unsaved:
            labs.setdefault(lab, {}).setdefault(step, {}).update(what)
        return content

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        handle = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _write(self, content: dict[str, Any]) -> None:
        new = self.path.with_suffix(f".new-{os.getpid()}")
        try:
            with open(new, "w", encoding="utf-8", opener=_private) as file:
                json.dump(content, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, self.path)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _valid(found: Any) -> None:
    """Raises ValueError when the content is no progress."""
    if not isinstance(found, dict) or not isinstance(found.get("learners"), dict):
        raise ValueError("it holds no learners")
    if found.get("version") != VERSION:
        raise ValueError(f"it is of version {found.get('version')}, not {VERSION}")
    for labs in found["learners"].values():
        if not isinstance(labs, dict) or not all(
            isinstance(steps, dict) and all(isinstance(step, dict) for step in steps.values())
            for steps in labs.values()
        ):
            raise ValueError("it does not hold steps by lab")
