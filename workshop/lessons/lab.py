"""`Lab`: what a notebook works with. Nothing here raises into a learner's cell: it says what to do next."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from workshop.clock import SYSTEM
from workshop.cluster.facade import Cluster
from workshop.views import Board

from . import look, magic
from .exercise import Exercise, Finding
from .progress import Progress

LIMIT = 15.0
"""Seconds that a check watches for the state to become right."""
STABLE = 1.0
"""Seconds for which it has to stay right."""


def _limit() -> float:
    return float(os.environ.get("WORKSHOP_CHECK_SECONDS") or LIMIT)


class Lab:
    """One lab: a cluster of its own, and the exercises on it. Make it again at any time; the cluster stays the same."""

    def __init__(
        self, name: str, exercises: Sequence[Exercise] = (), *, nodes: int = 2, progress: Progress | None = None
    ) -> None:
        self.name = name
        self.nodes = nodes
        self.exercises = {exercise.name: exercise for exercise in exercises}
        self.store = progress or Progress()
        self.cluster = Cluster(f"lab-{name}")
        self._board: Board | None = None
        self._last: dict[str, Finding] = {}
        self._tier: dict[str, int] = {}
        magic.current = self.cluster.name

    # -- the cluster --

    def up(self) -> None:
        """Bring it up, or start what is missing."""
        mode = os.environ.get("WORKSHOP_LAB_MODE") or None
        self._guarded(lambda: self._up(mode))

    def _up(self, mode: str | None) -> None:
        begun = SYSTEM.monotonic()
        running = self.cluster.plan_or_none() is not None and self.cluster.running()
        if running:
            # one that was stopped on purpose stays stopped until somebody asks for it
            components = {component.name for component in self.cluster.plan().components}
            for row in self.cluster.ps():
                if row["name"] in components and row["state"] != "running":
                    self.cluster.start(row["name"])
        self.cluster.up() if running else self.cluster.up(nodes=self.nodes, mode=mode)
        print(f"cluster {self.cluster.name} is up after {SYSTEM.monotonic() - begun:.1f} s")

    def reset(self) -> None:
        """A new cluster, whatever state the old one is in. Progress is kept."""
        self._close()
        self._last.clear()
        self._tier.clear()
        self._guarded(
            lambda: (self.cluster.reset(**({} if self.cluster.plan_or_none() else {"nodes": self.nodes})), None)[1]
        )
        print(f"cluster {self.cluster.name} is new")

    def down(self) -> None:
        self._close()
        self._guarded(lambda: self.cluster.down(purge=True))

    def board(self) -> Board | None:
        """The live board, as the last expression of a cell."""
        found: Board | None = self._guarded(self._open)
        return found

    def _open(self) -> Board:
        if self._board is None:
            self._board = Board(self.cluster)
        return self._board

    def _close(self) -> None:
        if self._board is not None:
            self._board.close()
            self._board = None

    def look(self, component: str) -> None:
        self._guarded(lambda: print(look.describe(self.cluster, component)))

    def stop(self, component: str) -> None:
        self._guarded(lambda: self.cluster.stop(component))

    def start(self, component: str) -> None:
        self._guarded(lambda: self.cluster.start(component))

    # -- predict --

    def predict(self, question: str, answer: str) -> None:
        """Write down what you expect, before you run it."""
        self.store.record(self.name, f"prediction: {question}", predicted=answer)
        print(f"noted: {answer}")

    def observe(self, question: str, happened: str | None = None) -> None:
        """What happened, beside what was predicted: what the board shows now, unless something else was measured."""
        if happened is None:
            happened = self._guarded(lambda: self._open().summary()) or "the board cannot be opened"
        predicted = self.store.labs().get(self.name, {}).get(f"prediction: {question}", {}).get("predicted")
        print(f"predicted: {predicted or '(nothing)'}\nhappened:  {happened}")
        self.store.record(self.name, f"prediction: {question}", happened=happened)

    # -- exercises --

    def exercise(self, name: str) -> None:
        found = self._exercise(name)
        if found:
            print(found.task)

    def check(self, name: str, limit: float | None = None) -> bool:
        """Judge the state now, and watch it for `limit` seconds until it is right and stays right."""
        found = self._exercise(name)
        board = self._guarded(self._open) if found else None
        if found is None or board is None:
            return False
        finding: Finding | None = self._guarded(lambda: self._watch(found, board, _limit() if limit is None else limit))
        if finding is None:
            return False
        self._last[name] = finding
        before = self.store.labs().get(self.name, {}).get(name, {})
        self.store.record(
            self.name, name, passed=finding.passed or bool(before.get("passed")), tries=before.get("tries", 0) + 1
        )
        print(f"{'✓ solved' if finding.passed else '✗ not yet'}: {name}\n  looked at: {finding.looked_at}")
        if finding.passed:
            print(f"  {found.explanation}")
        else:
            print(f"  {finding.wrong}\n  next: lab.hint({name!r})")
        return finding.passed

    def _watch(self, exercise: Exercise, board: Board, limit: float) -> Finding:
        feed, end, right_since = board.feed, SYSTEM.monotonic() + limit, 0.0
        while True:
            seen, now = feed.sequence, SYSTEM.monotonic()
            if not feed.synced:
                finding = Finding("nothing: the API server has not answered", "the cluster is not up: run lab.up()")
            elif not {"etcd", "kube-apiserver"} <= set(feed.world.running):
                finding = Finding(
                    "the processes only: what the API said last may be out of date",
                    "etcd or kube-apiserver does not run: lab.up() starts what is missing",
                )
            else:
                finding = exercise.judge(feed.world)
            right_since = (right_since or now) if finding.passed else 0.0
            if finding.passed and now - right_since >= STABLE:
                return finding
            if now >= end and not finding.passed:
                return finding
            feed.wait_for_change(seen, STABLE if finding.passed else max(0.0, end - now))

    def hint(self, name: str) -> None:
        """The next tier with each call."""
        found = self._exercise(name)
        if found:
            tier = self._tier.get(name, 0)
            self._tier[name] = tier + 1
            print(found.hint(tier, self._last.get(name)))

    def solution(self, name: str) -> str:
        """The source of a cell that solves it."""
        found = self._exercise(name)
        if found:
            print(found.solution)
        return found.solution if found else ""

    def progress(self) -> None:
        steps = self.store.labs().get(self.name, {})
        if self.store.notice:
            print(self.store.notice)
        for exercise in self.exercises.values():
            step = steps.get(exercise.name, {})
            print(f"{'✓' if step.get('passed') else '·'} {exercise.name} ({step.get('tries', 0)} checks)")

    # -- inside --

    def _exercise(self, name: str) -> Exercise | None:
        if name not in self.exercises:
            print(f"this lab has no exercise {name!r}; it has {', '.join(self.exercises)}")
        return self.exercises.get(name)

    def _guarded(self, act: Callable[[], Any]) -> Any:
        """Do it, or say in one sentence why not: a lab goes on after whatever a learner did to its cluster."""
        try:
            return act()
        except Exception as error:  # noqa: BLE001
            print(f"that did not work: {error}\n  next: lab.up() starts what is missing, lab.reset() begins anew")
            return None
