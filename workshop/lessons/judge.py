"""Judges a learner's function by scenarios that the learner has not seen, in a child process with limits.

    python -m workshop.lessons.judge < {"program": …, "hook": …, "source": …, "scenarios": "module:NAME"}

The child answers with one line of JSON on descriptor 3, so that nothing a learner prints is taken for a verdict. It may
use SECONDS of processor time and MEMORY bytes, and write no file.
"""

from __future__ import annotations

import copy
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from workshop import hooks, swap

from .exercise import Scenario, Trial

SECONDS = 10
MEMORY = 1 << 30
FILE = "<your function>"


@dataclass(frozen=True)
class Verdict:
    """`passed` of `count` scenarios; `wrong` tells of the first that failed, `traceback` how it raised."""

    count: int = 0
    passed: int = 0
    wrong: str = ""
    traceback: str = ""


def judge(program: str, hook: str, source: str, scenarios: str, patience: float = 60.0) -> Verdict:
    """Run them in a child. Never raises for what the function does."""
    order = json.dumps({"program": program, "hook": hook, "source": source, "scenarios": scenarios})
    read, write = os.pipe()
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join(part for part in sys.path if part),
        "VERDICT": str(write),
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "workshop.lessons.judge"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        pass_fds=[write],
        start_new_session=True,
    )
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        try:
            child.communicate(order.encode(), timeout=patience)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return Verdict(wrong=f"judging took longer than {patience:.0f} s: does your function wait for something?")
        said = answer.read()
    if not said:
        return Verdict(
            wrong=f"judging ended by {_ending(child.returncode)}: your function took too much time or memory"
        )
    return Verdict(**json.loads(said))


def _ending(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def run(program: str, hook: str, source: str, scenarios: Sequence[Scenario | Trial]) -> Verdict:
    """In the child: the scenarios one after another, until one fails."""
    found = hooks.find(program, hook)
    try:
        function = swap.load(found, source, FILE)
    except BaseException as error:  # noqa: BLE001  the learner's code at large
        return Verdict(len(scenarios), 0, "your source cannot be loaded", swap.told(error, FILE))
    for done, scenario in enumerate(scenarios):
        try:
            problem = scenario.play(function) if isinstance(scenario, Trial) else _one(found, function, scenario)
        except BaseException as error:  # noqa: BLE001
            return Verdict(len(scenarios), done, f"{scenario.story}: it raised", swap.told(error, FILE))
        if problem:
            return Verdict(len(scenarios), done, f"{scenario.story}: {problem}")
    return Verdict(len(scenarios), len(scenarios))


def _one(found: hooks.Hook, function: Callable[..., Any], scenario: Scenario) -> str:
    given = scenario.given()
    untouched = copy.deepcopy(given)
    with swap.limits(FILE, None):
        result = function(*given)
    problem = swap.wrong(found, result, given) or scenario.judge(result, untouched)
    if not problem and _plain(given) != _plain(untouched):
        problem = "it changed its arguments: they are shared with everybody, so decide and leave them alone"
    return problem


def _plain(arguments: tuple[Any, ...]) -> list[Any]:
    return [argument for argument in arguments if isinstance(argument, dict | list)]


def main() -> int:
    order: dict[str, Any] = json.loads(sys.stdin.buffer.read())
    module, _, name = order["scenarios"].partition(":")
    scenarios: Sequence[Scenario | Trial] = getattr(importlib.import_module(module), name)
    hooks.of(order["program"])
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_AS, (_size() + MEMORY, _size() + MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        verdict = run(order["program"], order["hook"], order["source"], scenarios)
    except Exception:  # noqa: BLE001  a scenario of ours that is wrong must not look like the learner's mistake
        verdict = Verdict(
            wrong="the scenarios themselves failed, that is our mistake", traceback=traceback.format_exc()
        )
    os.write(int(os.environ["VERDICT"]), json.dumps(verdict.__dict__).encode())
    return 0


def _size() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    raise SystemExit(main())
