"""PURE: a room of learners. Reports come in, rows go out; nothing grows without bounds.

A learner is known by a secret that only their own machine has: whoever does not have it cannot speak in their name.
Names are for show; two Annas are two rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_LEARNERS = 1000
MAX_CHECKS = 40
MAX_TEXT = 200
GONE = 90.0
"""Seconds without a word after which a learner counts as away."""


class Refused(Exception):
    """A report that is not taken; the text says why."""


@dataclass
class Check:
    """One exercise of one learner. `stuck_since`: server's time of the first failure since a success, 0: none."""

    passed: bool
    tries: int
    found: str
    stuck_since: float


@dataclass
class Learner:
    name: str
    lab: str = ""
    section: str = ""
    since: float = 0.0
    seen: float = 0.0
    checks: dict[str, Check] = field(default_factory=dict)


def identity(secret: str) -> str:
    """What the board calls a learner: known to all, and no help in speaking for them."""
    return hashlib.sha256(secret.encode()).hexdigest()[:12]


class Room:
    def __init__(self) -> None:
        self.learners: dict[str, Learner] = {}

    def report(self, body: Any, now: float) -> str:
        """Take one report; returns the learner's id. Raises Refused."""
        if not isinstance(body, Mapping) or not isinstance(body.get("secret"), str) or len(body["secret"]) < 16:
            raise Refused("a report needs the learner's secret")
        id = identity(body["secret"])
        learner = self.learners.get(id)
        if learner is None:
            if len(self.learners) >= MAX_LEARNERS:
                self._forget(now)
            learner = self.learners[id] = Learner("")
        learner.name = _text(body.get("name")) or "somebody"
        learner.seen = now
        lab, section = _text(body.get("lab")), _text(body.get("section"))
        if (lab, section) != (learner.lab, learner.section):
            learner.lab, learner.section, learner.since = lab, section, now
        checks = body.get("checks")
        for name, told in list(checks.items())[:MAX_CHECKS] if isinstance(checks, Mapping) else ():
            self._check(learner, f"{lab}: {_text(name)}", told, now)
        return id

    def _check(self, learner: Learner, name: str, told: Any, now: float) -> None:
        if not isinstance(told, Mapping) or (name not in learner.checks and len(learner.checks) >= MAX_CHECKS * 12):
            return
        passed, tries = bool(told.get("passed")), _number(told.get("tries"))
        found = "" if passed else _text(told.get("found"))
        stuck = 0.0
        if not passed and tries:
            before = learner.checks.get(name)
            # the learner's machine says for how long, in its own time: clocks in a room differ
            stuck = (before.stuck_since if before else 0.0) or now - min(_number(told.get("stuck")), 86_400)
        learner.checks[name] = Check(passed, tries, found, stuck)

    def _forget(self, now: float) -> None:
        """Make room: the one who has been silent longest goes, if they are away."""
        id, oldest = min(self.learners.items(), key=lambda pair: pair[1].seen)
        if now - oldest.seen < GONE:
            raise Refused(f"the room is full: {MAX_LEARNERS} learners are in it")
        del self.learners[id]

    def rows(self, now: float) -> list[dict[str, Any]]:
        """A row a learner, those who need help first. Seconds are whole."""
        return sorted((self._row(id, one, now) for id, one in self.learners.items()), key=_order)

    def row(self, id: str, now: float) -> dict[str, Any]:
        return self._row(id, self.learners[id], now)

    def _row(self, id: str, learner: Learner, now: float) -> dict[str, Any]:
        here = {name: check for name, check in learner.checks.items() if name.startswith(f"{learner.lab}: ")}
        stuck = [(check.stuck_since, name, check) for name, check in here.items() if check.stuck_since]
        away = now - learner.seen > GONE
        since, name, check = min(stuck, key=lambda found: found[0]) if stuck else (0.0, "", None)
        return {
            "id": id,
            "name": learner.name,
            "lab": learner.lab,
            "section": learner.section,
            "here": int(now - learner.since),
            "state": "away" if away else "stuck" if stuck else "working",
            "check": name.partition(": ")[2],
            "stuck": int(now - since) if stuck else 0,
            "tries": check.tries if check else 0,
            "found": check.found if check else "",
            "solved": sum(check.passed for check in here.values()),
            "silent": int(now - learner.seen),
        }


def _order(row: Mapping[str, Any]) -> tuple[int, int, str]:
    return ("stuck", "working", "away").index(row["state"]), -int(row["stuck"]), str(row["name"])


def _text(value: Any) -> str:
    return "".join(letter for letter in value if letter.isprintable())[:MAX_TEXT] if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return max(0, min(int(value), 1_000_000)) if isinstance(value, int | float) and value == value else 0
