"""Checks: watch the state until it is right and stays right, for a limited time, and show that this goes on."""

from __future__ import annotations

import os
from collections.abc import Callable

from workshop.clock import SYSTEM
from workshop.cluster.board import runs
from workshop.cluster.facade import Cluster
from workshop.views.feed import Feed

from . import judge
from .exercise import Exercise, Finding, Sight
from .show import Card, Indicator

LIMIT = 15.0
"""Seconds that a check watches for the state to become right, from the last change of what it finds wrong: a slow
machine comes nearer step by step."""
LONGEST = 4
"""And so many times that in all."""
STABLE = 1.0
"""Seconds for which it has to stay right."""
TICK = 1.0
"""Seconds after which the indicator counts down where nothing happens."""


def limit() -> float:
    return float(os.environ.get("WORKSHOP_CHECK_SECONDS") or LIMIT)


def watch(exercise: Exercise, feed: Feed, sight: Callable[[], Sight], seconds: float, indicator: Indicator) -> Finding:
    """The last finding, right or wrong. Wakes by the board's watch, not by polling the API."""
    right_since, begun, wrong = 0.0, SYSTEM.monotonic(), ""
    end, last = begun + seconds, begun + LONGEST * seconds
    while True:
        seen, now = feed.sequence, SYSTEM.monotonic()
        finding = look(exercise, feed, sight)
        if finding.wrong != wrong:
            wrong, end = finding.wrong, min(now + seconds, last)
        right_since = (right_since or now) if finding.passed else 0.0
        if finding.passed and now - right_since >= STABLE:
            return finding
        if now >= end and not finding.passed:
            return finding
        _tell(indicator, exercise, finding, now - begun, end - now)
        left = STABLE - (now - right_since) if finding.passed else min(TICK, max(0.0, end - now))
        feed.wait_for_change(seen, max(0.01, left))


def look(exercise: Exercise, feed: Feed, sight: Callable[[], Sight]) -> Finding:
    """One look: what keeps the judge from judging at all comes first."""
    if not feed.synced:
        return Finding("nothing: the API server has not answered", "the cluster is not up", "lab.up() brings it up")
    down = {name for name in ("etcd", "kube-apiserver") if not runs(name, feed.world.running)}
    if down:
        return Finding(
            "the processes only: what the API said last may be out of date",
            f"{' and '.join(sorted(down))} does not run, so the state cannot be judged",
            "lab.up() starts what is missing",
        )
    try:
        return exercise.judge(sight())
    except Exception as error:  # noqa: BLE001  a judge that stumbles over an odd object must not end the lab
        return Finding(
            "the state, but could not make sense of it", f"{type(error).__name__}: {error}", "lab.catch_up()"
        )


def _tell(indicator: Indicator, exercise: Exercise, finding: Finding, begun: float, left: float) -> None:
    what = [finding.wrong, f"{max(0, round(left))} s left"]
    if finding.passed:
        what = ["right; waiting a moment to see whether it stays"]
    done = min(10, int(10 * begun / max(begun + left, 0.01)))
    bar = "█" * done + "░" * (10 - done)
    indicator.tell(Card("wait", f"checking {exercise.name} {bar}", (f"looking at: {finding.looked_at}", *what)))


def swapped(exercise: Exercise, cluster: Cluster) -> Finding | None:
    """What keeps the function that is swapped in from being right; None when nothing does. Raises ClusterError."""
    wanted = exercise.swap
    assert wanted is not None
    components = cluster.matching(wanted.component)
    rows = [row for row in cluster.swapped() if row["component"] in components]
    looked = f"the functions of {wanted.component}"
    if not rows:
        how = f"lab.swap({wanted.component!r}, your_function)"
        return Finding(looked, "it runs its own functions: nothing is swapped in", f"{how} puts yours in its place")
    for row in rows:
        if row["state"] == "put out":
            return Finding(looked, "your function was put out, the stock one runs", row["traceback"])
    source = (cluster.layout.swaps(rows[0]["component"]) / f"{rows[0]['hook']}.py").read_text(encoding="utf-8")
    return scenarios(exercise, source)


def scenarios(exercise: Exercise, source: str) -> Finding | None:
    """What the hidden scenarios say of a swapped function; None when they all pass."""
    assert exercise.swap is not None
    verdict = judge.judge(exercise.swap.component, exercise.swap.hook, source, exercise.swap.scenarios)
    if not verdict.wrong:
        return None
    looked = f"your function in {verdict.count} scenarios that you have not seen; {verdict.passed} went well"
    return Finding(looked, verdict.wrong, verdict.traceback)
