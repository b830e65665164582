"""A learner's side: tells the instructor's board where the learner is. Opt-in, on a thread, and never in the way.

`workshop join URL --token TOKEN` writes `instructor.json` (0600) into the workshop's home; `WORKSHOP_INSTRUCTOR` and
`WORKSHOP_INSTRUCTOR_TOKEN` say the same for a room. The newest state wins, so a slow network queues nothing.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workshop.clock import SYSTEM
from workshop.cluster.layout import ClusterError, home, write_private

from ..progress import HERE, Steps

TIMEOUT = 5.0
HEARTBEAT = 30.0
FILE = "instructor.json"


@dataclass(frozen=True)
class Joined:
    url: str
    token: str
    secret: str
    name: str = ""


def joined(environment: Mapping[str, str] = os.environ) -> Joined | None:
    """Which room this learner has joined; None: none, and nothing is told to anybody."""
    try:
        kept = json.loads((home() / FILE).read_text(encoding="utf-8"))
        kept = kept if isinstance(kept, dict) else {}
    except (OSError, ValueError):
        kept = {}
    url = environment.get("WORKSHOP_INSTRUCTOR") or kept.get("url", "")
    token = environment.get("WORKSHOP_INSTRUCTOR_TOKEN") or kept.get("token", "")
    if not url or not token:
        return None
    return Joined(str(url), str(token), str(kept.get("secret") or _new_secret(kept)), str(kept.get("name", "")))


def _new_secret(kept: dict[str, Any]) -> str:
    """This learner's own, made once and kept."""
    made = secrets.token_urlsafe(24)
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(home() / FILE, json.dumps({**kept, "secret": made}).encode())
    return made


def join(url: str, token: str, name: str = "") -> Joined:
    """Remember the room after it has answered. Raises ClusterError with a sentence."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ClusterError(f"{url!r} is no address of an instructor's board: it begins with http:// or https://")
    before = joined({"WORKSHOP_INSTRUCTOR": url, "WORKSHOP_INSTRUCTOR_TOKEN": token})
    assert before is not None
    made = Joined(url, token, before.secret, name)
    send(made, {"name": name or "somebody", "lab": "", "section": "", "checks": {}})
    write_private(home() / FILE, json.dumps(made.__dict__).encode())
    return made


def leave() -> bool:
    """Tell nobody any more. False when no room had been joined."""
    there = joined({}) is not None
    (home() / FILE).unlink(missing_ok=True)
    return there


def send(room: Joined, report: Mapping[str, Any]) -> None:
    """One report. Raises ClusterError."""
    body = json.dumps({**report, "secret": room.secret}).encode()
    headers = {"Authorization": f"Bearer {room.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{room.url.rstrip('/')}/report", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT):
            return
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(300).decode(errors="replace").strip()
        if not error.headers.get("Content-Type", "").startswith("text/plain"):
            raise ClusterError(
                f"{room.url} is no instructor's board: it answers {error.code} {error.reason}"
            ) from error
        raise ClusterError(f"the instructor's board refused: {said or error.reason}") from error
    except (OSError, ValueError) as error:
        why = getattr(getattr(error, "reason", error), "strerror", None) or error
        raise ClusterError(f"the instructor's board at {room.url} does not answer: {why}") from error


def report(name: str, lab: str, steps: Steps, now: float) -> dict[str, Any]:
    """PURE: what is told: where, and how each check went. Predictions stay at home."""
    checks = {
        step: {
            "passed": bool(what.get("passed")),
            "tries": what.get("tries", 0),
            "found": what.get("wrong", ""),
            "stuck": max(0.0, now - what["stuck_since"]) if what.get("stuck_since") else 0,
        }
        for step, what in steps.items()
        if what.get("kind") == "exercise"
    }
    return {"name": name, "lab": lab, "section": steps.get(HERE, {}).get("at", ""), "checks": checks}


class Reporter:
    """`tell` returns at once. Without a room it does nothing, and starts no thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._news: tuple[str, Steps] | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def tell(self, lab: str, steps: Steps) -> None:
        if self._thread is None and joined() is None:
            return
        with self._changed:
            self._news = (lab, steps)
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        last: tuple[str, Steps] | None = None
        while True:
            with self._changed:
                if self._news is None:
                    self._changed.wait(HEARTBEAT)
                last, self._news = self._news or last, None
            room = joined()
            if room is None or last is None:
                continue
            try:
                send(room, report(room.name or self._name, *last, SYSTEM.now()))
            except ClusterError:
                # told again with the next step, or the next heartbeat
                continue
