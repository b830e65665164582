"""PURE: an exercise is a task, a judge of the state, and hints in tiers. State is judged, not commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workshop.cluster.board import World

TIERS = ("what is wrong", "where to look", "half of the way", "the solution")


def _nothing(method: str, path: str, body: Any = None) -> tuple[int, Any]:
    return 0, None


@dataclass(frozen=True)
class Sight:
    """What a judge may look at. `own`: the learner's own programs that live now; `swapped`: rows of Cluster.swapped.

    `ask(method, path, body)` asks the API server itself: its status, and the object that it answers. `store`: etcd's
    client, in the lab that has one.
    """

    world: World
    swapped: Sequence[Mapping[str, Any]] = ()
    own: Sequence[str] = ()
    ask: Callable[..., tuple[int, Any]] = _nothing
    store: Any = None


@dataclass(frozen=True)
class Finding:
    """What a judge found. `looked_at` is said in either case; `wrong` is empty when the exercise is solved.

    `hint` belongs to this very failure and comes before all others.
    """

    looked_at: str
    wrong: str = ""
    hint: str = ""

    @property
    def passed(self) -> bool:
        return not self.wrong


@dataclass(frozen=True)
class Scenario:
    """A case that the learner has not seen. `given` makes the arguments; `judge(result, given)` says what is wrong."""

    story: str
    given: Callable[[], tuple[Any, ...]]
    judge: Callable[[Any, tuple[Any, ...]], str]


@dataclass(frozen=True)
class Trial:
    """A scenario that calls the function as often as it likes: `play(function)` says what went wrong."""

    story: str
    play: Callable[[Callable[..., Any]], str]


@dataclass(frozen=True)
class Swap:
    """The exercise asks for a function inside a running component; `scenarios` is `module:NAME` of a tuple of
    `Scenario` and `Trial`."""

    component: str
    hook: str
    scenarios: str


@dataclass(frozen=True)
class Exercise:
    """`solution` is source for a notebook cell. `where` and `half` are the hints in between.

    `builds_on`: the section whose state it starts from, for a learner who jumps in.
    """

    name: str
    task: str
    judge: Callable[[Sight], Finding]
    where: str
    half: str
    solution: str
    explanation: str
    mistake: str = ""
    """Source of a plausible wrong answer, for those who prove that a wrong answer is found."""
    builds_on: str = ""
    swap: Swap | None = None

    def hint(self, tier: int, last: Finding | None) -> str:
        """The hint of a tier (from 0); the first is the failure's own."""
        tier = max(0, min(tier, len(TIERS) - 1))
        return f"hint {tier + 1} of {len(TIERS)}, {TIERS[tier]}:\n{self._texts(last)[tier]}"

    def _texts(self, last: Finding | None) -> tuple[str, ...]:
        wrong = "nothing has been checked yet: check first"
        if last is not None:
            wrong = "\n".join(part for part in (last.wrong, last.hint) if part) or "nothing: it is solved"
        return (wrong, self.where, self.half, self.solution)


@dataclass(frozen=True)
class Section:
    """A part of a lab, and the state that it needs. `stopped` components are stopped, all others run.

    `objects` are manifests that exist, `absent` are such as `pod/late` that do not; `own` maps the name of a learner's
    program to its source.
    """

    name: str
    question: str = ""
    stopped: tuple[str, ...] = ()
    objects: tuple[Mapping[str, Any], ...] = ()
    absent: tuple[str, ...] = ()
    own: Mapping[str, str] = field(default_factory=dict)
