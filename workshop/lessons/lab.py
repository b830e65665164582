"""`Lab`: what a notebook works with. Nothing here raises into a learner's cell: it says what to do next."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

from workshop.clock import SYSTEM
from workshop.cluster import layout
from workshop.cluster.board import rows
from workshop.cluster.facade import Cluster
from workshop.views import Board, GlassBox

from . import ask, checks, look, magic, own, stage
from .exercise import TIERS, Exercise, Finding, Section, Sight
from .instructor.reporter import Reporter
from .progress import Progress, Steps
from .show import Card, Indicator, Table, show
from .wire import Wire

PLACEHOLDER = "…"
HERE = "@"
"""The step that holds where the learner is."""


class Lab:
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
        self.name = name
        mode = mode or os.environ.get("WORKSHOP_LAB_MODE") or None
        self.shape: dict[str, Any] = {"nodes": nodes, "masters": masters, "lab": True, "mode": mode}
        self.exercises = {exercise.name: exercise for exercise in exercises}
        self.sections = {section.name: section for section in sections}
        self.store = progress or Progress()
        self.cluster = Cluster(f"lab-{name}", only)
        self._board: Board | None = None
        self._glass: GlassBox | None = None
        self._told: set[tuple[str, str]] = set()
        self._urls: dict[str, str] = {}
        self._reporter = Reporter(self.store.name)
        magic.opened(self)

    def __repr__(self) -> str:
        return f"Lab({self.name!r}): lab.board(), lab.exercise(…), lab.check(), lab.hint(), lab.progress(), lab.reset()"

    # -- the cluster --

    def up(self) -> None:
        """Bring it up, or start what is missing."""
        self._guarded(self._up)

    def _up(self) -> None:
        begun = SYSTEM.monotonic()
        self._others()
        options = dict(self.shape) if self.cluster.plan_or_none() is None else {}
        self.cluster.up(wait=0, **options)
        stage.start(self.cluster)
        print(f"cluster {self.cluster.name} is up after {SYSTEM.monotonic() - begun:.1f} s")
        self._report()

    def _others(self) -> None:
        """Clusters of other labs cost memory: offer to stop them."""
        mine = self.cluster.name
        found = [n for n in layout.names() if n.startswith("lab-") and n != mine and Cluster(n).running()]
        if found:
            print(
                f"still running from other labs: {', '.join(found)}. lab.stop_others() stops them and keeps their data"
            )

    def stop_others(self) -> None:
        """Bring the clusters of other labs down; their data stays."""
        for name in layout.names():
            if name.startswith("lab-") and name != self.cluster.name and Cluster(name).running():
                self._guarded(Cluster(name).down)
                print(f"{name} is down; its data is kept")

    def reset(self) -> None:
        """A new cluster, whatever state the old one is in. Progress is kept."""
        begun = SYSTEM.monotonic()
        self._close()
        options = dict(self.shape)
        if mode := os.environ.get("WORKSHOP_LAB_MODE"):
            options["mode"] = mode
        if self._guarded(lambda: self.cluster.reset(**options)) is not None:
            print(f"cluster {self.cluster.name} is new after {SYSTEM.monotonic() - begun:.1f} s; your progress is kept")

    def down(self) -> None:
        """End the lab: the cluster goes, with its data."""
        self._close()
        self._guarded(self._down)

    def _down(self) -> None:
        for name in own.living(self.cluster):  # a good loop outlives its cluster, and waits for it for ever
            own.stop(self.cluster, name)
        self.cluster.down(purge=True)
        print(f"cluster {self.cluster.name} is gone; your progress is kept")

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
        if self._glass is not None:
            self._glass.close()
            self._glass = None

    def ps(self) -> None:
        """What `ps` prints of this cluster."""
        self._guarded(lambda: print(look.processes(self.cluster)))

    def look(self, component: str, flags: bool = False) -> None:
        """One process opened: who it talks to, what it watches, what it wrote. `flags`: its whole command line."""
        self._guarded(lambda: print(look.describe(self.cluster, component, flags)))

    def ask(self, service: str, times: int = 6) -> str:
        """Send `times` requests to a Service and say who answered."""
        return str(
            self._guarded(lambda: ask.service(self.cluster, service, times, self._urls)) or "nothing could be asked"
        )

    def ask_pod(self, selector: str) -> str:
        """Send a request to a pod's own address, past the Service."""
        return str(self._guarded(lambda: ask.pod(self.cluster, selector)) or "nothing could be asked")

    def pods(self, selector: str) -> list[str]:
        """Names of the pods with those labels that are not on their way out."""
        found: list[str] = self._guarded(lambda: ask.pods(self.cluster, selector)) or []
        return found

    def wait_for(self, right: Callable[[], bool], seconds: float = 40.0) -> bool:
        """Wait until `right()`, which is asked anew after each change that the board sees. Says so when it gives up."""
        return bool(self._guarded(lambda: self._wait_for(right, seconds)))

    def _wait_for(self, right: Callable[[], bool], seconds: float) -> bool:
        feed, end = self._open().feed, SYSTEM.monotonic() + seconds
        while not _answered(right):
            left = end - SYSTEM.monotonic()
            if left <= 0:
                print(f"this did not come about within {seconds:g} s: look at the board, or lab.catch_up()")
                return False
            feed.wait_for_change(feed.sequence, min(left, 1.0))
        return True

    def settle(self, seconds: float = 40.0) -> bool:
        """Wait until nobody has anything to do: the three truths of each workload agree."""
        return self.wait_for(lambda: not any(row.next for row in rows(self._open().feed.world)), seconds)

    def kill_container(self, selector: str, node: str = "") -> None:
        """`kill -9` the first process of a container of such a pod (on that node), behind everybody's back."""
        self._guarded(lambda: print(ask.kill(self.cluster, selector, node)))

    # -- processes: components and the learner's own --

    def stop(self, name: str) -> None:
        """SIGTERM; it stays down until `start`."""
        self._guarded(lambda: own.stop(self.cluster, name) if self._is_own(name) else self.cluster.stop(name))

    def start(self, name: str) -> None:
        self._guarded(lambda: self.cluster.start(name))

    def kill(self, name: str) -> None:
        """`kill -9`. The supervisor starts a component again; nobody starts your own program again."""
        self._guarded(
            lambda: own.stop(self.cluster, name, signal.SIGKILL) if self._is_own(name) else self.cluster.kill(name)
        )

    def _is_own(self, name: str) -> bool:
        return own.known(self.cluster, name)

    def run(self, name: str, program: Callable[..., Any] | str) -> None:
        """Run a function of yours as a process under that name, in the place of an earlier one."""
        pid = self._guarded(lambda: own.start(self.cluster, name, program))
        if pid:
            print(f"{name} runs as process {pid}; lab.log({name!r}) shows what it prints")

    def log(self, name: str) -> None:
        """The end of what a process printed."""
        self._guarded(lambda: print(own.said(self.cluster, name)))

    def swap(self, component: str, function: Callable[..., Any] | str, hook: str = "") -> None:
        """Put your function in the place of the component's own, while it runs."""
        rows = self._guarded(lambda: self.cluster.swap(component, function, hook))
        for row in rows or ():
            print(f"{row['component']} runs your {row['hook']} from its next call on; lab.unswap() takes it back")

    def unswap(self) -> None:
        """The components' own functions again."""
        gone = self._guarded(self.cluster.unswap)
        if gone is not None:
            print(f"the component's own again: {', '.join(gone) or 'nothing was swapped'}")

    def notice(self) -> None:
        """After each cell: a function that was put out, told once."""
        if not self.cluster.layout.plan.exists():
            return
        for row in self._guarded(self.cluster.swapped) or ():
            key = (row["component"], row["traceback"])
            if row["state"] == "put out" and key not in self._told:
                self._told.add(key)
                told = f"your {row['hook']} in {row['component']} was put out; the stock one runs again"
                show(Card("failed", told, (), row["traceback"]))

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
        names = {component.name for component in self.cluster.plan().components}
        components = {row["name"]: row["state"] == "running" for row in self.cluster.ps() if row["name"] in names}
        world = self._open().feed.world
        return stage.differences(section, world, components, self.cluster.swapped(), own.living(self.cluster))

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
            show(
                Card(
                    "task",
                    f"Exercise: {name}",
                    (found.task, "Then lab.check(). Stuck? lab.hint(), as often as you like."),
                )
            )

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
        indicator.tell(_result(found, finding, lost, here))
        return finding.passed

    def _judge(self, exercise: Exercise, limit: float, indicator: Indicator) -> Finding | None:
        board: Board | None = self._guarded(self._open)
        if board is None:
            return None
        if exercise.swap is not None:
            indicator.tell(Card("wait", f"checking {exercise.name}", ("scenarios that you have not seen …",)))
            found: Finding | None = self._guarded(lambda: self._judge_swap(exercise))
            if found is not None:
                return found
        return self._guarded(  # type: ignore[no-any-return]
            lambda: checks.watch(exercise, board.feed, lambda: self._sight(board), limit, indicator)
        )

    def _judge_swap(self, exercise: Exercise) -> Finding | None:
        """What keeps a swapped function from being right; None when nothing does."""
        wanted = exercise.swap
        assert wanted is not None
        components = self.cluster.matching(wanted.component)
        rows = [row for row in self.cluster.swapped() if row["component"] in components]
        looked = f"the functions of {wanted.component}"
        if not rows:
            how = f"lab.swap({wanted.component!r}, your_function)"
            return Finding(looked, "it runs its own functions: nothing is swapped in", f"{how} puts yours in its place")
        for row in rows:
            if row["state"] == "put out":
                return Finding(looked, "your function was put out, the stock one runs", row["traceback"])
        source = (self.cluster.layout.swaps(rows[0]["component"]) / f"{rows[0]['hook']}.py").read_text(encoding="utf-8")
        return checks.scenarios(exercise, source)

    def _sight(self, board: Board) -> Sight:
        return Sight(board.feed.world, tuple(self.cluster.swapped()), tuple(own.living(self.cluster)), self._asked)

    def _asked(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        answer = self.http.send(method, path, body)
        return answer.status, answer.json

    @property
    def http(self) -> Wire:
        """HTTP to the API server by hand: `lab.http("GET", "/api/v1/nodes")`."""
        self.cluster.kubeconfig()
        return Wire(self.cluster.layout.root)

    def glass(self) -> GlassBox | None:
        """The glass box of kube-apiserver: requests as they pass, as the last expression of a cell."""
        found: GlassBox | None = self._guarded(self._glass_box)
        return found

    def _glass_box(self) -> GlassBox:
        if self._glass is None:
            self._glass = GlassBox(self.cluster)
        return self._glass

    def hint(self, name: str = "") -> None:
        """The next tier with each call; what the last check found comes first."""
        found = self._exercise(name)
        if not found:
            return
        step = self.store.steps(self.name).get(found.name, {})
        if "wrong" in step and not step["wrong"]:
            show(Card("passed", f"{found.name} is solved", ("lab.solution() shows how we did it",)))
            return
        tier = min(int(step.get("tier", 0)), len(TIERS) - 1)
        last = Finding("", str(step["wrong"]), str(step.get("own_hint", ""))) if "wrong" in step else None
        title, _, text = found.hint(tier, last).partition("\n")
        self._record(found.name, kind="exercise", tier=tier + 1)
        if tier == len(TIERS) - 1:
            show(Card("hint", title, (), text))
        else:
            show(Card("hint", title, (text, "one call more goes one step further")))

    def solution(self, name: str = "") -> None:
        """The source of a cell that solves it."""
        found = self._exercise(name)
        if found:
            show(Card("hint", f"a solution of {found.name}: paste it into a cell", (), found.solution))

    def progress(self) -> Table:
        """All exercises of this lab, solved or not, as the last expression of a cell."""
        steps = self.store.steps(self.name)
        if notice := self.store.told():
            print(notice)
        return table(self.exercises.values(), steps)

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

    def _guarded(self, act: Callable[[], Any]) -> Any:
        """Do it, or say in one sentence why not: a lab goes on after whatever a learner did to its cluster."""
        try:
            return act()
        except Exception as error:  # noqa: BLE001
            print(f"that did not work: {error}\n  next: lab.up() starts what is missing, lab.reset() begins anew")
            return None


def _answered(right: Callable[[], bool]) -> bool:
    """Whether it is right; while nobody answers it is not."""
    try:
        return right()
    except OSError:
        return False


def _result(exercise: Exercise, finding: Finding, lost: str, here: str) -> Card:
    lines = [f"looked at: {finding.looked_at}"]
    if finding.passed:
        lines.append(exercise.explanation)
    else:
        lines += [finding.wrong, "next: lab.hint()"]
        if exercise.builds_on not in ("", here):
            lines.append(f"it builds on {exercise.builds_on!r}: lab.catch_up({exercise.builds_on!r}) takes you there")
    lines += [lost] if lost else []
    return Card("passed" if finding.passed else "failed", f"{_word(finding)}: {exercise.name}", tuple(lines))


def _word(finding: Finding) -> str:
    return "solved" if finding.passed else "not yet"


def table(exercises: Any, steps: Steps) -> Table:
    made = []
    for exercise in exercises:
        step = steps.get(exercise.name, {})
        mark = "✓ solved" if step.get("passed") else "✗ not yet" if step.get("tries") else "· open"
        tries = int(step.get("tries", 0))
        checked = f"{tries} check" + "s" * (tries != 1)
        made.append((mark, exercise.name, checked, "" if step.get("passed") else step.get("wrong", "")))
    return Table(("", "exercise", "", "what the last check found"), tuple(made))
