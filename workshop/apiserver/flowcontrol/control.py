"""The priority levels of a server, as FlowSchemas and PriorityLevelConfigurations in the store say now.

A level that is deleted goes on until its last request is over; nothing that runs is disturbed by a change.

Upstream: `util/flowcontrol/apf_controller.go`, `apf_controller_debug.go`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from workshop.api.meta import Obj
from workshop.apiserver.interfaces import UserInfo
from workshop.apiserver.server.info import RequestInfo
from workshop.clock import Clock, rfc3339_micro

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
                queues = Queues(self._limits[name].nominal, level.queues, level.hand_size, level.queue_length)
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

    # What an operator sees

    def metrics(self) -> list[str]:
        """Prometheus lines, by upstream's names."""
        gauges: dict[str, Callable[[str, State], int]] = {
            "nominal_limit_seats": lambda name, state: self._limits[name].nominal,
            "current_limit_seats": lambda name, state: state.queues.limit,
            "current_executing_seats": lambda name, state: state.queues.in_use,
            "current_executing_requests": lambda name, state: state.queues.executing,
            "current_inqueue_requests": lambda name, state: state.queues.waiting,
        }
        lines = []
        for metric, read in gauges.items():
            full = f"apiserver_flowcontrol_{metric}"
            lines.append(f"# TYPE {full} gauge")
            lines += [f'{full}{{priority_level="{name}"}} {read(name, state)}' for name, state in self.states.items()]
        full = "apiserver_flowcontrol_dispatched_requests_total"
        lines.append(f"# TYPE {full} counter")
        lines += [f'{full}{{priority_level="{n}"}} {state.queues.dispatched}' for n, state in self.states.items()]
        full = "apiserver_flowcontrol_rejected_requests_total"
        lines.append(f"# TYPE {full} counter")
        for name, state in self.states.items():
            reason = "queue-full" if state.queues.queues else "concurrency-limit"
            lines.append(f'{full}{{priority_level="{name}",reason="{reason}"}} {state.queues.rejected}')
            lines.append(f'{full}{{priority_level="{name}",reason="time-out"}} {state.queues.timed_out}')
            lines.append(f'{full}{{priority_level="{name}",reason="cancelled"}} {state.queues.cancelled}')
        return lines

    def dump_priority_levels(self) -> str:
        """`/debug/api_priority_and_fairness/dump_priority_levels`."""
        head = (
            "PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests", "ExecutingRequests",
            "DispatchedRequests", "RejectedRequests", "TimedoutRequests", "CancelledRequests",
        )  # fmt: skip
        rows: list[tuple[str, ...]] = [head]
        for name, state in sorted(self.states.items()):
            q = state.queues
            if state.level.exempt:
                rows.append((name, *("<none>",) * 5, str(q.dispatched), *("<none>",) * 3))
                continue
            active = sum(1 for queue in q.queues if queue.waiting or queue.executing)
            idle = "false" if q.waiting or q.executing else "true"
            numbers = (q.waiting, q.executing, q.dispatched, q.rejected, q.timed_out, q.cancelled)
            rows.append((name, str(active), idle, "false", *map(str, numbers)))
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        return "".join(
            "".join(f"{cell + ',':<{width + 2}}" for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
            for row in rows
        )

    def dump_queues(self) -> str:
        """`/debug/api_priority_and_fairness/dump_queues`: one line a queue."""
        lines = ["PriorityLevelName, Index, PendingRequests, ExecutingRequests, NextDispatchR"]
        lines += [
            f"{name}, {queue.index}, {len(queue.waiting)}, {queue.executing}, {queue.served:.8f}ss"
            for name, state in sorted(self.states.items())
            for queue in state.queues.queues
        ]
        return "\n".join(lines) + "\n"

    def dump_requests(self) -> str:
        """`/debug/api_priority_and_fairness/dump_requests`: one line a request that waits."""
        head = "PriorityLevelName, FlowSchemaName, QueueIndex, RequestIndexInQueue"
        lines = [f"{head}, FlowDistingsher, ArriveTime, InitialSeats"]
        for name, state in sorted(self.states.items()):
            for queue in state.queues.queues:
                for place, ticket in enumerate(queue.waiting):
                    schema, _, flow = ticket.flow.partition("\0")
                    arrived = rfc3339_micro(self._clock.now() - (self._clock.monotonic() - ticket.arrived))
                    lines.append(f"{name}, {schema}, {queue.index}, {place}, {flow}, {arrived}, {ticket.seats}")
        return "\n".join(lines) + "\n"
