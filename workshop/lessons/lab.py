"""`Lab`: what a notebook works with: the workbench, and what the learner is asked on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workshop.clock import SYSTEM
from workshop.views import Board

from . import cards, checks, magic, own, stage
from .exercise import TIERS, Exercise, Finding, Section, Sight
from .instructor.reporter import Reporter
from .progress import HERE, Progress
from .show import Card, Indicator, Table, show
from .workbench import Workbench

PLACEHOLDER = "…"


class Lab(Workbench):
    """One lab: a cluster of its own, and the exercises on it. Make it again at any time; the cluster stays the same."""

    def __init__(
        self,
        name: str,
        exercises: Sequence[Exercise] = (),
        sections: Sequence[Section] = (),
        *,
        nodes: int = 2,
        masters: int = 1,
        only: Sequence[str] = (),
        mode: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(name, nodes=nodes, masters=masters, only=only, mode=mode)
        self.exercises = {exercise.name: exercise for exercise in exercises}
        self.sections = {section.name: section for section in sections}
        self.store = progress or Progress()
        self._reporter = Reporter(self.store.name)
        magic.opened(self)

    def __repr__(self) -> str:
        return f"Lab({self.name!r}): lab.board(), lab.exercise(…), lab.check(), lab.hint(), lab.progress(), lab.reset()"

    def _up(self) -> None:
        super()._up()
        self._report()

    # -- where am I --

    def section(self, name: str) -> None:
        """A section begins: note where the learner is, and say when the cluster is in another state than it needs."""
        found = self.sections.get(name)
        if found is None:
            print(f"this lab has no section {name!r}; it has {', '.join(self.sections)}")
            return
        self._record(HERE, at=name, since=SYSTEM.now())
        wrong = self._guarded(lambda: self._differences(found)) or []
        number = list(self.sections).index(name) + 1
        lines = [found.question] if found.question else []
        if wrong:
            lines.append(f"it starts from another state ({'; '.join(wrong[:3])}): lab.catch_up() takes you there")
        show(Card("said", f"{number} of {len(self.sections)}: {name}", tuple(lines)))

    def catch_up(self, name: str = "") -> None:
        """Jump to the state that a section needs (this one without a name), from wherever you are."""
        name = name or str(self.store.steps(self.name).get(HERE, {}).get("at", ""))
        found = self.sections.get(name)
        if found is None:
            print(f"catch up with which section? This lab has {', '.join(self.sections)}")
            return
        begun = SYSTEM.monotonic()
        self._record(HERE, at=name, since=SYSTEM.now())
        if not self._guarded(lambda: self._caught_up(found)):
            return
        left = self._guarded(lambda: self._differences(found)) or []
        seconds = SYSTEM.monotonic() - begun
        if left:
            print(f"not all is as {name!r} needs it after {seconds:.1f} s: {'; '.join(left)}")
            print("  next: lab.reset(), then again")
        else:
            print(f"all is as {name!r} needs it, after {seconds:.1f} s")

    def _caught_up(self, section: Section) -> bool:
        if self.cluster.plan_or_none() is None or not self.cluster.running():
            self._up()
        stage.arrange(self.cluster, section, self._open().feed)
        return True

    def _differences(self, section: Section) -> list[str]:
        return stage.differences(section, stage.Standing.of(self.cluster), self._open().feed.world)

    # -- predict --

    def predict(self, question: str, answer: str) -> None:
        """Write down what you expect, before you run it."""
        if answer.startswith(PLACEHOLDER):
            print(f"{question}: write your own guess in the place of the dots, then run the cell again")
            return
        self._record(f"prediction: {question}", kind="prediction", predicted=answer)
        print(f"noted: {answer}")

    def observe(self, question: str, happened: str | None = None) -> None:
        """What happened, beside what was predicted: what the board shows now, unless something else was measured."""
        if happened is None:
            happened = self._guarded(lambda: self._open().summary()) or "the board cannot be opened"
        happened = "\n".join(line.strip() for line in happened.splitlines())
        step = f"prediction: {question}"
        predicted = self.store.steps(self.name).get(step, {}).get("predicted") or "(nothing)"
        show(Table(("you predicted", "what happened"), ((predicted, happened),)))
        self._record(step, kind="prediction", happened=happened)

    # -- exercises --

    def exercise(self, name: str) -> None:
        """Show a task, and make it the one that `check`, `hint` and `solution` mean without a name."""
        found = self._exercise(name)
        if found:
            self._record(HERE, exercise=name)
            show(cards.task(found))

    def check(self, name: str = "", limit: float | None = None) -> bool:
        """Judge the state now, and watch it for `limit` seconds until it is right and stays right. Never raises."""
        found = self._exercise(name)
        if found is None:
            return False
        indicator = Indicator()
        finding: Finding | None = None
        try:
            finding = self._judge(found, checks.limit() if limit is None else limit, indicator)
        except KeyboardInterrupt:
            indicator.tell(
                Card("failed", f"interrupted: {found.name}", ("nothing is lost; check again when you like",))
            )
        if finding is None:
            return False
        before = self.store.steps(self.name).get(found.name, {})
        lost = self._record(
            found.name,
            kind="exercise",
            passed=finding.passed or bool(before.get("passed")),
            tries=int(before.get("tries", 0)) + 1,
            wrong=finding.wrong,
            own_hint=finding.hint,
            looked_at=finding.looked_at,
            tier=int(before.get("tier", 0)) if finding.wrong == before.get("wrong") else 0,
            stuck_since=0.0 if finding.passed else before.get("stuck_since") or SYSTEM.now(),
        )
        here = str(self.store.steps(self.name).get(HERE, {}).get("at", ""))
        indicator.tell(cards.result(found, finding, lost, here))
        return finding.passed

    def _judge(self, exercise: Exercise, limit: float, indicator: Indicator) -> Finding | None:
        board: Board | None = self._guarded(self._open)
        if board is None:
            return None
        if exercise.swap is not None:
            indicator.tell(Card("wait", f"checking {exercise.name}", ("scenarios that you have not seen …",)))
            found: Finding | None = self._guarded(lambda: checks.swapped(exercise, self.cluster))
            if found is not None:
                return found
        watched: Finding | None = self._guarded(
            lambda: checks.watch(exercise, board.feed, lambda: self._sight(board), limit, indicator)
        )
        return watched

    def _sight(self, board: Board) -> Sight:
        return Sight(board.feed.world, tuple(self.cluster.swapped()), tuple(own.living(self.cluster)), self._asked)

    def _asked(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        answer = self.http.send(method, path, body)
        return answer.status, answer.json

    def hint(self, name: str = "") -> None:
        """The next tier with each call; what the last check found comes first."""
        found = self._exercise(name)
        if not found:
            return
        step = self.store.steps(self.name).get(found.name, {})
        if "wrong" in step and not step["wrong"]:
            show(cards.solved(found))
            return
        tier = min(int(step.get("tier", 0)), len(TIERS) - 1)
        self._record(found.name, kind="exercise", tier=tier + 1)
        show(cards.hint(found, tier, step))

    def solution(self, name: str = "") -> None:
        """The source of a cell that solves it."""
        found = self._exercise(name)
        if found:
            show(cards.solution(found))

    def progress(self) -> Table:
        """All exercises of this lab, solved or not, as the last expression of a cell."""
        steps = self.store.steps(self.name)
        if notice := self.store.told():
            print(notice)
        return cards.table(self.exercises.values(), steps)

    # -- inside --

    def _exercise(self, name: str) -> Exercise | None:
        name = name or str(self.store.steps(self.name).get(HERE, {}).get("exercise", ""))
        if not name:
            print(f"which exercise? Run its cell first, lab.exercise(…): this lab has {', '.join(self.exercises)}")
        elif name not in self.exercises:
            print(f"this lab has no exercise {name!r}; it has {', '.join(self.exercises)}")
        return self.exercises.get(name)

    def _record(self, step: str, **what: Any) -> str:
        """Keep it; returns a sentence when it could not be kept as it should."""
        self.store.record(self.name, step, **what)
        self._report()
        return self.store.told()

    def _report(self) -> None:
        self._reporter.tell(self.name, self.store.steps(self.name))
