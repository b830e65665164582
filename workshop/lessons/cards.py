"""PURE: what a lab shows of an exercise: its task, what a check found, hints from tier to tier, and the list of all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .exercise import TIERS, Exercise, Finding
from .progress import Steps
from .show import Card, Table


def task(exercise: Exercise) -> Card:
    how = "Then lab.check(). Stuck? lab.hint(), as often as you like."
    return Card("task", f"Exercise: {exercise.name}", (exercise.task, how))


def result(exercise: Exercise, finding: Finding, lost: str, here: str) -> Card:
    """What a check found. `lost`: why it could not be noted, `here`: the section that the learner is in."""
    lines = [f"looked at: {finding.looked_at}"]
    if finding.passed:
        lines.append(exercise.explanation)
    else:
        lines += [finding.wrong, "next: lab.hint()"]
        if exercise.builds_on not in ("", here):
            lines.append(f"it builds on {exercise.builds_on!r}: lab.catch_up({exercise.builds_on!r}) takes you there")
    lines += [lost] if lost else []
    word = "solved" if finding.passed else "not yet"
    return Card("passed" if finding.passed else "failed", f"{word}: {exercise.name}", tuple(lines))


def solved(exercise: Exercise) -> Card:
    return Card("passed", f"{exercise.name} is solved", ("lab.solution() shows how we did it",))


def hint(exercise: Exercise, tier: int, step: Mapping[str, Any]) -> Card:
    """The hint of that tier, for who checked last as `step` tells. The last tier is code."""
    last = Finding("", str(step["wrong"]), str(step.get("own_hint", ""))) if "wrong" in step else None
    title, _, text = exercise.hint(tier, last).partition("\n")
    if tier == len(TIERS) - 1:
        return Card("hint", title, (), text)
    return Card("hint", title, (text, "one call more goes one step further"))


def solution(exercise: Exercise) -> Card:
    return Card("hint", f"a solution of {exercise.name}: paste it into a cell", (), exercise.solution)


def put_out(row: Mapping[str, Any]) -> Card:
    """A learner's function that a component put out: a row of `Cluster.swapped`."""
    told = f"your {row['hook']} in {row['component']} was put out; the stock one runs again"
    return Card("failed", told, (), row["traceback"])


def table(exercises: Iterable[Exercise], steps: Steps) -> Table:
    """A row an exercise: solved or not, how often checked, and what the last check found."""
    made = []
    for exercise in exercises:
        step = steps.get(exercise.name, {})
        mark = "✓ solved" if step.get("passed") else "✗ not yet" if step.get("tries") else "· open"
        tries = int(step.get("tries", 0))
        checked = f"{tries} check" + "s" * (tries != 1)
        made.append((mark, exercise.name, checked, "" if step.get("passed") else step.get("wrong", "")))
    return Table(("", "exercise", "", "what the last check found"), tuple(made))
