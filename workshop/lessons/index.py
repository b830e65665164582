"""The lab index: all labs with what this learner has solved, live while the file of progress changes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from .exercise import Exercise, Section
from .progress import HERE, Labs, Progress
from .show import Table

LOOK_SECONDS = 0.5
"""How often the file's time of change is looked at: a stat, not a read."""


@dataclass(frozen=True)
class Entry:
    name: str
    title: str
    exercises: tuple[Exercise, ...]
    sections: tuple[Section, ...]


def entries() -> tuple[Entry, ...]:
    """All labs, in order."""
    from . import api_server, control_loop, etcd_lab, tour

    return (
        Entry("tour", "00 Tour", tour.EXERCISES, tour.SECTIONS),
        Entry("control-loop", "01 State and the control loop", control_loop.EXERCISES, control_loop.SECTIONS),
        Entry("etcd", "02 etcd", etcd_lab.EXERCISES, etcd_lab.SECTIONS),
        Entry("kube-apiserver", "03 kube-apiserver", api_server.EXERCISES, api_server.SECTIONS),
    )


def table(labs: Labs, known: tuple[Entry, ...]) -> Table:
    """PURE: a row a lab: where the learner is, and which exercises are solved."""
    rows = []
    for entry in known:
        steps = labs.get(entry.name, {})
        done = [bool(steps.get(exercise.name, {}).get("passed")) for exercise in entry.exercises]
        tried = [bool(steps.get(exercise.name, {}).get("tries")) for exercise in entry.exercises]
        marks = "\n".join(
            f"{'✓' if solved else '✗' if seen else '·'} {exercise.name}"
            for exercise, solved, seen in zip(entry.exercises, done, tried, strict=True)
        )
        here = str(steps.get(HERE, {}).get("at", ""))
        state = "done" if all(done) else f"at “{here}”" if here else "not begun"
        rows.append((entry.title, state, f"{sum(done)} of {len(done)}", marks))
    return Table(("lab", "where you are", "solved", "exercises"), tuple(rows))


class Live:
    """Draws the table anew into one output for as long as this kernel lives."""

    def __init__(self, store: Progress, known: tuple[Entry, ...]) -> None:
        self.store, self.known = store, known
        self._seen: tuple[int, int] | None = None
        self._handle: Any = None

    def changed(self) -> bool:
        try:
            found = self.store.path.stat()
            now: tuple[int, int] | None = (found.st_mtime_ns, found.st_ino)
        except OSError:
            now = None
        changed, self._seen = now != self._seen, now
        return changed

    def now(self) -> Table:
        return table(self.store.labs(), self.known)

    def show(self) -> None:
        from IPython.display import display

        self.changed()
        self._handle = display(self.now(), display_id=True)  # type: ignore[no-untyped-call, unused-ignore]
        if notice := self.store.told():
            print(notice)
        if self._handle is not None:
            threading.Thread(target=self._follow, name="index", daemon=True).start()

    def _follow(self) -> None:
        wake = threading.Event()
        while not wake.wait(LOOK_SECONDS):
            if self.changed():
                self._handle.update(self.now())


def show() -> None:
    """The table, as the last thing of a cell."""
    Live(Progress(), entries()).show()
