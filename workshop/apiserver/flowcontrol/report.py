"""What operators see of priority and fairness: metrics, and three tables of who is served and who waits where.

Upstream: `util/flowcontrol/{apf_controller_debug.go,metrics/metrics.go}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from workshop.apiserver.handlers.metrics import Histogram
from workshop.clock import Clock, rfc3339_micro

from .control import Control, State
from .queues import GUESS, Ticket

BUCKETS = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)
_PREFIX = "apiserver_flowcontrol_"
_REFUSED = ("queue-full", "concurrency-limit", "time-out", "cancelled")
_NEVER = "0001-01-01T00:00:00Z"
K = TypeVar("K")


def observe(histograms: dict[K, Histogram], key: K, seconds: float) -> None:
    found = histograms.get(key)
    if found is None:
        found = histograms[key] = Histogram(BUCKETS)
    found.observe(seconds)


def metrics(control: Control) -> list[str]:
    """Prometheus' lines, under upstream's names."""
    gauges: dict[str, Callable[[str, State], float]] = {
        "nominal_limit_seats": lambda name, _: control.limits(name).nominal,
        "lower_limit_seats": lambda name, _: control.limits(name).least,
        "upper_limit_seats": lambda name, _: control.limits(name).most,
        "current_limit_seats": lambda _, state: state.queues.limit,
        "demand_seats_smoothed": lambda _, state: state.demand.smoothed,
        "demand_seats_high_watermark": lambda _, state: state.demand.high,
    }
    lines = []
    for metric, read in gauges.items():
        lines.append(f"# TYPE {_PREFIX}{metric} gauge")
        lines += [f'{_PREFIX}{metric}{{priority_level="{n}"}} {read(n, s):g}' for n, s in control.states.items()]
    counts: dict[str, Callable[[State, str], int]] = {
        "current_executing_seats": lambda state, schema: sum(t.seats for t in _of(state.queues.running, schema)),
        "current_executing_requests": lambda state, schema: len(_of(state.queues.running, schema)),
        "current_inqueue_requests": lambda state, schema: len(_of(_waiting(state), schema)),
        "dispatched_requests_total": lambda state, schema: state.queues.counts["dispatched", schema],
    }
    for metric, count in counts.items():
        lines.append(f"# TYPE {_PREFIX}{metric} {'counter' if metric.endswith('_total') else 'gauge'}")
        for labels, state, schema in _schemas(control):
            lines.append(f"{_PREFIX}{metric}{{{labels}}} {count(state, schema)}")
    lines.append(f"# TYPE {_PREFIX}rejected_requests_total counter")
    for labels, state, schema in _schemas(control):
        for reason in _REFUSED:
            if number := state.queues.counts[reason, schema]:
                lines.append(f'{_PREFIX}rejected_requests_total{{{labels},reason="{reason}"}} {number}')
    lines.append(f"# TYPE {_PREFIX}request_wait_duration_seconds histogram")
    for name, state in control.states.items():
        for (schema, served), histogram in state.waited.items():
            labels = f'execute="{str(served).lower()}",{_labels(name, schema)}'
            lines += histogram.lines(f"{_PREFIX}request_wait_duration_seconds", labels)
    lines.append(f"# TYPE {_PREFIX}request_execution_seconds histogram")
    for name, state in control.states.items():
        for schema, histogram in state.took.items():
            lines += histogram.lines(f"{_PREFIX}request_execution_seconds", _labels(name, schema))
    return lines


def _labels(level: str, schema: str) -> str:
    return f'flow_schema="{schema}",priority_level="{level}"'


def _schemas(control: Control) -> Iterator[tuple[str, State, str]]:
    """Those that had a request."""
    for name, state in control.states.items():
        for schema in sorted({schema for _, schema in state.queues.counts}):
            yield _labels(name, schema), state, schema


def _of(tickets: Iterable[Ticket], schema: str) -> list[Ticket]:
    return [ticket for ticket in tickets if ticket.schema == schema]


def _waiting(state: State) -> Iterator[Ticket]:
    return (ticket for queue in state.queues.queues for ticket in queue.waiting)


def priority_levels(control: Control) -> str:
    """`/debug/api_priority_and_fairness/dump_priority_levels`."""
    head = (
        "PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests", "ExecutingRequests",
        "DispatchedRequests", "RejectedRequests", "TimedoutRequests", "CancelledRequests",
    )  # fmt: skip
    rows: list[Sequence[str]] = [head]
    for name, state in sorted(control.states.items()):
        q = state.queues
        active = sum(1 for queue in q.queues if queue.waiting)
        idle = not (q.waiting or q.executing or state.level.exempt)
        refused = q.count("queue-full", "concurrency-limit")
        numbers = (q.waiting, q.executing, q.count("dispatched"), refused, q.count("time-out"), q.count("cancelled"))
        rows.append((name, str(active), str(idle).lower(), "false", *map(str, numbers)))
    return _table(rows)


def queues(control: Control) -> str:
    """`/debug/api_priority_and_fairness/dump_queues`: one line a queue."""
    head = (
        "PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests", "SeatsInUse", "NextDispatchR",
        "InitialSeatsSum", "MaxSeatsSum", "TotalWorkSum",
    )  # fmt: skip
    rows: list[Sequence[str]] = [head]
    for name, state in control.states.items():
        in_use: dict[int, int] = {}
        for ticket in state.queues.running:
            if ticket.queue is not None:
                in_use[ticket.queue.index] = in_use.get(ticket.queue.index, 0) + ticket.seats
        for queue in state.queues.queues:
            numbers = (queue.index, len(queue.waiting), queue.executing, in_use.get(queue.index, 0))
            load, work = str(queue.load()), queue.load() * GUESS
            rows.append((name, *map(str, numbers), f"{queue.served:.8f}ss", load, load, f"{work:.8f}ss"))
    return _table(rows)


def requests(control: Control, clock: Clock, details: bool) -> str:
    """`/debug/api_priority_and_fairness/dump_requests`: one line a request that waits or is served."""
    head: tuple[str, ...] = (
        "PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue", "FlowDistingsher", "ArriveTime",
        "InitialSeats", "FinalSeats", "AdditionalLatency", "StartTime",
    )  # fmt: skip
    if details:
        head += ("UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource")
    began = clock.now() - clock.monotonic()
    rows: list[Sequence[str]] = [head]

    def add(level: str, place: int, ticket: Ticket) -> None:
        schema, _, flow = ticket.flow.partition("\0")
        index = -1 if ticket.queue is None else ticket.queue.index
        started = rfc3339_micro(began + ticket.began) if ticket.state == "executing" else _NEVER
        arrived = rfc3339_micro(began + ticket.arrived)
        row = (level, schema, str(index), str(place), flow, arrived, str(ticket.seats), "0", "0s", started)
        rows.append((*row, *_details(ticket)) if details else row)

    for name, state in control.states.items():
        for queue in state.queues.queues:
            for place, ticket in enumerate(queue.waiting):
                add(name, place, ticket)
        for ticket in state.queues.running:
            add(name, -1, ticket)
    return _table(rows)


def _details(ticket: Ticket) -> Sequence[str]:
    user, info = ticket.who.user, ticket.who.info
    version = f"{info.group}/{info.version}" if info.group else info.version
    return (user.name, info.verb, info.path, info.namespace, info.name, version, info.resource, info.subresource)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[column]) for row in rows) + 2 for column in range(len(rows[0]) - 1)]
    return "".join(
        "".join(f"{cell + ',':<{width}}" for cell, width in zip(row, widths, strict=False)) + row[-1] + "\n"
        for row in rows
    )
