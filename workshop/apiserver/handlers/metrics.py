"""`/metrics`: what this server measures of itself, under upstream's names, in Prometheus' text form.

Upstream: `apiserver/pkg/endpoints/metrics/metrics.go`, `storage/etcd3/metrics`, component-base/metrics.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from workshop.apiserver.server.info import RequestInfo
from workshop.apiserver.server.timeout import is_long

BUCKETS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
)  # fmt: skip
"""Seconds; upstream's for request_duration_seconds."""
SLI_BUCKETS = (
    0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
)  # fmt: skip
TERMINATED = (429, 504)
"""Codes of requests that were sent away, or broken off."""
ATTEMPTS = ("authentication_attempts", "authenticated_user_requests")
"""Counters whose names do not say that they are."""
READING = frozenset({"get", "list", "watch"})
MOST_SERIES = 10_000
"""Paths are the clients' to choose: beyond this many kinds of requests the rest are counted as one."""
_OTHERS = ("other", "", "", "", "", "")
_VERBS = {"create": "POST", "update": "PUT"}

Labels = tuple[str, ...]


@dataclass
class Histogram:
    """How often values fell into each bucket, their number and sum."""

    bounds: Sequence[float] = BUCKETS
    counts: list[int] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str, labels: str) -> Iterator[str]:
        seen = 0
        for bound, count in zip((*self.bounds, "+Inf"), self.counts, strict=True):
            seen += count
            yield f'{name}_bucket{{{labels}{"," if labels else ""}le="{bound}"}} {seen}'
        around = f"{{{labels}}}" if labels else ""
        yield f"{name}_sum{around} {self.total:.6f}"
        yield f"{name}_count{around} {seen}"


class Metrics:
    """`objects` counts what the watch cache holds, by resource; `more` are lines of other parts."""

    def __init__(self, objects: Callable[[], Iterable[tuple[str, int]]], version: str) -> None:
        self._objects, self._version = objects, version
        self.more: list[Callable[[], list[str]]] = []
        #: What must be asked for before the text is made.
        self.before: list[Callable[[], Awaitable[None]]] = []
        self._counts: dict[tuple[str, str], float] = {}
        self._observed: dict[tuple[str, str], Histogram] = {}
        self._sli: dict[Labels, Histogram] = {}
        self._terminations: dict[tuple[Labels, int], int] = {}
        self._requests: dict[tuple[Labels, int], int] = {}
        self._durations: dict[Labels, Histogram] = {}
        self._in_flight = {"mutating": 0, "readOnly": 0}
        self._long: dict[Labels, int] = {}

    def count(self, name: str, labels: str = "") -> None:
        """One more of `name`, with labels as Prometheus writes them."""
        key = (name, labels)
        self._counts[key] = self._counts.get(key, 0) + 1

    def set(self, name: str, value: float, labels: str = "") -> None:
        self._counts[name, labels] = value

    def observe(self, name: str, value: float, labels: str = "", bounds: Sequence[float] = BUCKETS) -> None:
        found = self._observed.get((name, labels))
        if found is None:
            found = self._observed[name, labels] = Histogram(bounds)
        found.observe(value)

    def begin(self, info: RequestInfo) -> None:
        if is_long(info):
            labels = _labels(info)
            self._long[labels] = self._long.get(labels, 0) + 1
        else:
            self._in_flight["readOnly" if info.verb in READING else "mutating"] += 1

    def end(self, info: RequestInfo, code: int, seconds: float, waited: float = 0.0) -> None:
        """`waited`: for a seat, which is no fault of the server's."""
        labels = _labels(info)
        if len(self._requests) >= MOST_SERIES and (labels, code) not in self._requests:
            labels = _OTHERS
        key = (labels, code)
        self._requests[key] = self._requests.get(key, 0) + 1
        if is_long(info):
            return
        self._in_flight["readOnly" if info.verb in READING else "mutating"] -= 1
        histogram = self._durations.get(labels)
        if histogram is None:
            histogram = self._durations[labels] = Histogram()
        histogram.observe(seconds)
        sli = self._sli.get(labels)
        if sli is None:
            sli = self._sli[labels] = Histogram(SLI_BUCKETS)
        sli.observe(seconds - waited)
        if code in TERMINATED:
            ended = (labels, code)
            self._terminations[ended] = self._terminations.get(ended, 0) + 1

    def over(self, info: RequestInfo) -> None:
        """A long-running request has ended."""
        self._long[_labels(info)] -= 1

    def text(self) -> str:
        lines = ["# TYPE apiserver_request_total counter"]
        for (labels, code), count in sorted(self._requests.items()):
            lines.append(f'apiserver_request_total{{{_told(labels)},code="{code}"}} {count}')
        lines.append("# TYPE apiserver_request_duration_seconds histogram")
        for labels, histogram in sorted(self._durations.items()):
            lines += histogram.lines("apiserver_request_duration_seconds", _told(labels))
        lines.append("# TYPE apiserver_request_sli_duration_seconds histogram")
        for labels, histogram in sorted(self._sli.items()):
            lines += histogram.lines("apiserver_request_sli_duration_seconds", _told(labels))
        lines.append("# TYPE apiserver_request_terminations_total counter")
        for (labels, code), count in sorted(self._terminations.items()):
            lines.append(f'apiserver_request_terminations_total{{{_told(labels)},code="{code}"}} {count}')
        lines.append("# TYPE apiserver_current_inflight_requests gauge")
        lines += [f'apiserver_current_inflight_requests{{request_kind="{k}"}} {n}' for k, n in self._in_flight.items()]
        lines.append("# TYPE apiserver_longrunning_requests gauge")
        lines += [f"apiserver_longrunning_requests{{{_told(k)}}} {n}" for k, n in sorted(self._long.items())]
        lines.append("# TYPE apiserver_storage_objects gauge")
        lines += [f'apiserver_storage_objects{{resource="{name}"}} {n}' for name, n in sorted(self._objects())]
        lines += self._others()
        for more in self.more:
            lines += more()
        lines += ["# TYPE kubernetes_build_info gauge", f'kubernetes_build_info{{git_version="{self._version}"}} 1']
        return "\n".join([*lines, *_process()]) + "\n"

    def _others(self) -> Iterator[str]:
        told = ""
        for (name, labels), value in sorted(self._counts.items()):
            if name != told:
                yield f"# TYPE {name} {'counter' if name.endswith('_total') or name in ATTEMPTS else 'gauge'}"
            told = name
            yield f"{name}{{{labels}}} {value:.17g}" if labels else f"{name} {value:.17g}"
        for (name, labels), histogram in sorted(self._observed.items()):
            if name != told:
                yield f"# TYPE {name} histogram"
            told = name
            yield from histogram.lines(name, labels)


def _labels(info: RequestInfo) -> Labels:
    verb = _VERBS.get(info.verb, info.verb.upper())
    if not info.is_resource:
        return verb, "", "", "", "", ""
    scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
    return verb, info.group, info.version, info.resource, info.subresource, scope


def _told(labels: Labels) -> str:
    names = ("verb", "group", "version", "resource", "subresource", "scope")
    told = ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, labels, strict=True))
    return f'component="apiserver",{told}'


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _process() -> list[str]:
    """What every Prometheus client tells of its process."""
    import psutil

    process = psutil.Process()
    with process.oneshot():
        times, memory = process.cpu_times(), process.memory_info()
        found = {
            "process_cpu_seconds_total": times.user + times.system,
            "process_resident_memory_bytes": memory.rss,
            "process_virtual_memory_bytes": memory.vms,
            "process_start_time_seconds": process.create_time(),
        }
        if sys.platform == "linux":
            found |= {"process_open_fds": process.num_fds(), "process_max_fds": process.rlimit(psutil.RLIMIT_NOFILE)[0]}
    lines = []
    for name, value in found.items():
        lines += [f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}", f"{name} {value:.17g}"]
    return lines
