"""`/metrics`: what this server measures of itself, under upstream's names, in Prometheus' text form.

Upstream: `apiserver/pkg/endpoints/metrics/metrics.go`, `storage/etcd3/metrics`, component-base/metrics.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from workshop.apiserver.server.info import RequestInfo
from workshop.apiserver.server.timeout import LONG_RUNNING

BUCKETS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
)  # fmt: skip
"""Seconds; upstream's for request_duration_seconds."""
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
            yield f'{name}_bucket{{{labels},le="{bound}"}} {seen}'
        yield f"{name}_sum{{{labels}}} {self.total:.6f}"
        yield f"{name}_count{{{labels}}} {seen}"


class Metrics:
    """`objects` counts what the watch cache holds, by resource; `more` are lines of other parts."""

    def __init__(self, objects: Callable[[], Iterable[tuple[str, int]]], version: str) -> None:
        self._objects, self._version = objects, version
        self.more: list[Callable[[], list[str]]] = []
        self._requests: dict[tuple[Labels, int], int] = {}
        self._durations: dict[Labels, Histogram] = {}
        self._in_flight = {"mutating": 0, "readOnly": 0}
        self._long: dict[Labels, int] = {}

    def begin(self, info: RequestInfo) -> None:
        if is_long(info):
            labels = _labels(info)
            self._long[labels] = self._long.get(labels, 0) + 1
        else:
            self._in_flight["readOnly" if info.verb in READING else "mutating"] += 1

    def end(self, info: RequestInfo, code: int, seconds: float) -> None:
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
        lines.append("# TYPE apiserver_current_inflight_requests gauge")
        lines += [f'apiserver_current_inflight_requests{{request_kind="{k}"}} {n}' for k, n in self._in_flight.items()]
        lines.append("# TYPE apiserver_longrunning_requests gauge")
        lines += [f"apiserver_longrunning_requests{{{_told(k)}}} {n}" for k, n in sorted(self._long.items())]
        lines.append("# TYPE apiserver_storage_objects gauge")
        lines += [f'apiserver_storage_objects{{resource="{name}"}} {n}' for name, n in sorted(self._objects())]
        for more in self.more:
            lines += more()
        lines += ["# TYPE kubernetes_build_info gauge", f'kubernetes_build_info{{git_version="{self._version}"}} 1']
        return "\n".join([*lines, *_process()]) + "\n"


def is_long(info: RequestInfo) -> bool:
    return info.verb in ("watch", "proxy") or info.subresource in LONG_RUNNING


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
    times = os.times()
    lines = ["# TYPE process_cpu_seconds_total counter", f"process_cpu_seconds_total {times.user + times.system:.2f}"]
    try:
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        files = len(os.listdir("/proc/self/fd"))
    except OSError:  # no Linux
        return lines
    size = pages * os.sysconf("SC_PAGE_SIZE")
    return [
        *lines, "# TYPE process_resident_memory_bytes gauge", f"process_resident_memory_bytes {size}",
        "# TYPE process_open_fds gauge", f"process_open_fds {files}",
    ]  # fmt: skip
