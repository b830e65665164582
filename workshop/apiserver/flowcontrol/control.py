"""The priority levels of a server, as FlowSchemas and PriorityLevelConfigurations in the store say now.

A level that is deleted goes on until its last request is over; nothing that runs is disturbed by a change.

Upstream: `util/flowcontrol/apf_controller.go`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from workshop.api.meta import Obj
from workshop.apiserver.handlers.metrics import Histogram
from workshop.apiserver.interfaces import UserInfo
from workshop.apiserver.server.info import RequestInfo
from workshop.clock import Clock

from . import classify, limits
from .classify import FlowSchema
from .limits import Demand, Level, Limits
from .queues import Queues

#: What is there even if nobody wrote it down: masters pass, everybody else shares the catch-all.
MANDATORY_LEVELS = (Level("exempt", exempt=True), Level("catch-all", shares=5))
_ANY = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
_PATHS = {"verbs": ["*"], "nonResourceURLs": ["*"]}


def _mandatory(name: str, precedence: int, by: str, *groups: str) -> FlowSchema:
    subjects = [{"kind": "Group", "group": {"name": group}} for group in groups]
    rule = {"subjects": subjects, "resourceRules": [_ANY], "nonResourceRules": [_PATHS]}
    return FlowSchema(name, "", name, precedence, by, [rule])


MANDATORY_SCHEMAS = (
    _mandatory("exempt", 1, "", "system:masters"),
    _mandatory("catch-all", 10_000, "ByUser", "system:unauthenticated", "system:authenticated"),
)


@dataclass
class Meter:
    """The demand of one level over time: its highest, mean and deviation since the last `read`."""

    value: int = 0
    high: int = 0
    _since: float = 0.0
    _seen: float = 0.0
    _sum: float = 0.0
    _squares: float = 0.0

    def set(self, value: int, now: float) -> None:
        passed, self._seen = now - self._seen, now
        self._sum += self.value * passed
        self._squares += self.value * self.value * passed
        self.value, self.high = value, max(self.high, value)

    def read(self, now: float) -> tuple[int, float, float]:
        """(highest, mean, deviation), and begin anew."""
        self.set(self.value, now)
        passed = now - self._since
        mean = self._sum / passed if passed > 0 else float(self.value)
        square = self._squares / passed if passed > 0 else mean * mean
        high, self.high, self._since, self._sum, self._squares = self.high, self.value, now, 0.0, 0.0
        return high, mean, math.sqrt(max(0.0, square - mean * mean))


@dataclass
class State:
    """One level at work."""

    level: Level
    queues: Queues
    meter: Meter = field(default_factory=Meter)
    demand: Demand = field(default_factory=Demand)
    #: Seconds: how long requests waited and whether they were served, how long they took; by schema.
    waited: dict[tuple[str, bool], Histogram] = field(default_factory=dict)
    took: dict[str, Histogram] = field(default_factory=dict)


class Control:
    """`total` seats in all. `put` and `remove` are told what the store holds (`cached.feed`)."""

    def __init__(self, total: int, clock: Clock) -> None:
        self._total, self._clock = total, clock
        self._levels = {level.name: level for level in MANDATORY_LEVELS}
        self._schemas = {schema.name: schema for schema in MANDATORY_SCHEMAS}
        self.states: dict[str, State] = {}
        self._limits: dict[str, Limits] = {}
        self._ordered: list[FlowSchema] = []
        self._known: dict[tuple[UserInfo | str, ...], FlowSchema] = {}
        self._adjusted = clock.monotonic()
        self._rebuild()

    def put(self, plural: str, obj: Obj) -> None:
        if plural == "flowschemas":
            schema = classify.read(obj)
            self._schemas[schema.name] = schema
        else:
            level = limits.read(obj)
            if self._levels.get(level.name) == level:
                return
            self._levels[level.name] = level
        self._rebuild()

    def remove(self, plural: str, obj: Obj) -> None:
        name = obj["metadata"]["name"]
        if plural == "flowschemas":
            self._schemas.pop(name, None)
            self._schemas.update({s.name: s for s in MANDATORY_SCHEMAS if s.name == name})
        else:
            self._levels.pop(name, None)
            self._levels.update({level.name: level for level in MANDATORY_LEVELS if level.name == name})
        self._rebuild()

    def limits(self, name: str) -> Limits:
        return self._limits[name]

    def has_level(self, name: str) -> bool:
        return name in self._levels

    def schemas(self) -> list[FlowSchema]:
        return list(self._schemas.values())

    def _rebuild(self) -> None:
        self._limits = limits.nominal(self._levels, self._total)
        self._ordered = classify.in_order(s for s in self._schemas.values() if s.level in self._levels)
        self._known.clear()
        old, self.states = self.states, {}
        for name, level in self._levels.items():
            before = old.get(name)
            if before is not None and before.level == level:
                self.states[name] = before
                before.queues.limit = self._limits[name].nominal
            else:
                nominal = self._limits[name].nominal
                queues = Queues(nominal, level.queues, level.hand_size, level.queue_length)
                self.states[name] = State(level, queues)

    def classify(self, user: UserInfo, info: RequestInfo) -> tuple[FlowSchema, State]:
        """The schema that a request falls under, and its level."""
        path = "" if info.is_resource else info.path
        key = (user.name, *user.groups, info.verb, info.group, info.resource, info.subresource, info.namespace, path)
        schema = self._known.get(key)
        if schema is None:
            schema = next((s for s in self._ordered if s.fits(user, info)), self._schemas["catch-all"])
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[key] = schema
        return schema, self.states[schema.level]

    def note(self, state: State) -> None:
        """A request came or went; every ten seconds of work the levels' shares are drawn anew."""
        now = self._clock.monotonic()
        state.meter.set(state.queues.demand, now)
        if now - self._adjusted >= limits.PERIOD:
            self.adjust(now)

    def adjust(self, now: float) -> None:
        self._adjusted = now
        for state in self.states.values():
            high, mean, deviation = state.meter.read(now)
            state.demand = Demand(high, limits.smoothed(state.demand.smoothed, mean, deviation))
        demands = {name: state.demand for name, state in self.states.items()}
        for name, seats in limits.borrow(self._levels, self._limits, demands).items():
            self.states[name].queues.limit = seats
            self.states[name].queues.dispatch(now)
