"""Which pod is next. Upstream: `pkg/scheduler/backend/queue/scheduling_queue.go`.

A pending pod stands in one of three places:

- `active`: to be tried, the most important first, among equals the one that has waited longest;
- `backoff`: was tried and failed, may be tried again soon: 1 s after the first attempt, doubling up to 10 s;
- `unschedulable`: no node would do; it waits for something in the cluster to change that its refusal was about
  (after five minutes it is tried anyway).

Worked example: a pod was refused with `Insufficient cpu`. A pod elsewhere ends (`Pod/Delete`): NodeResourcesFit is
interested in that, so the pod goes to `backoff`, and from there to `active`. A node gets a new label: it stays.

Pure: times (`now`, monotonic seconds) come from outside, waiting is the caller's.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from workshop.api.meta import Key
from workshop.scheduler.framework import Event
from workshop.scheduler.node_info import PodInfo

INITIAL_BACKOFF, MAX_BACKOFF = 1.0, 10.0
MAX_IN_UNSCHEDULABLE = 300.0

Interested = Callable[[PodInfo, frozenset[str], Event], bool]
"""Is that event worth another try of a pod that those plugins refused?"""


@dataclass(slots=True)
class QueuedPod:
    pod: PodInfo
    added: float
    """When it came into the queue it stands in."""
    attempts: int = 0
    refused_by: frozenset[str] = field(default_factory=frozenset)
    gated: bool = False

    def backoff_until(self) -> float:
        if not self.attempts:
            return self.added
        doubled: float = INITIAL_BACKOFF * 2 ** min(10, max(0, self.attempts - 1))
        return self.added + min(doubled, MAX_BACKOFF)


class SchedulingQueue:
    """At most one place a pod. Old entries of the heaps are skipped when they come up."""

    def __init__(self, interested: Interested) -> None:
        self._interested = interested
        self._active: list[tuple[int, float, int, Key]] = []
        self._backoff: list[tuple[float, int, Key]] = []
        self._place: dict[Key, tuple[str, QueuedPod, int]] = {}
        self._number = 0

    def counts(self) -> dict[str, int]:
        """How many pods stand where, as the metric `scheduler_pending_pods` tells it."""
        found = {"active": 0, "backoff": 0, "unschedulable": 0, "gated": 0}
        for place, queued, _ in self._place.values():
            found["gated" if queued.gated else place] += 1
        return found

    def __contains__(self, key: Key) -> bool:
        return key in self._place

    def pods(self) -> Iterable[QueuedPod]:
        return [queued for _, queued, _ in self._place.values()]

    # --- in

    def add(self, pod: PodInfo, now: float, gated_by: str = "") -> None:
        """A pod that is new, or was let go of. `gated_by` names the plugin that keeps it from being tried."""
        queued = QueuedPod(pod, now, gated=bool(gated_by))
        if gated_by:
            queued.refused_by = frozenset({gated_by})
            self._put("unschedulable", queued)
        else:
            self._put("active", queued)

    def update(self, pod: PodInfo, now: float, events: Iterable[Event]) -> None:
        """The pod itself has changed; `events` say how (`Pod/Tolerations` …)."""
        found = self._place.get(pod.key)
        if found is None:
            return
        place, queued, _ = found
        queued.pod = pod
        if place == "unschedulable" and not queued.gated:
            if any(self._interested(pod, queued.refused_by, event) for event in events):
                self._wake(queued, now)
        elif place == "active":
            self._put("active", queued)

    def ungate(self, pod: PodInfo, now: float) -> None:
        found = self._place.get(pod.key)
        if found is not None and found[1].gated:
            queued = found[1]
            queued.pod, queued.gated, queued.refused_by, queued.added = pod, False, frozenset(), now
            self._put("active", queued)

    def remove(self, key: Key) -> None:
        self._place.pop(key, None)

    def _put(self, place: str, queued: QueuedPod) -> None:
        self._number += 1
        key = queued.pod.key
        self._place[key] = (place, queued, self._number)
        if place == "active":
            heapq.heappush(self._active, (-queued.pod.priority, queued.added, self._number, key))
        elif place == "backoff":
            heapq.heappush(self._backoff, (queued.backoff_until(), self._number, key))

    # --- out

    def pop(self, now: float) -> QueuedPod | None:
        """The next pod to be tried, which is out of the queue then; None when there is none.

        Upstream notes what happens while a pod is tried. Here nothing can: a try does not wait for anything.
        """
        self.flush(now)
        while self._active:
            _, _, number, key = heapq.heappop(self._active)
            found = self._place.get(key)
            if found is not None and found[2] == number:
                del self._place[key]
                found[1].attempts += 1
                return found[1]
        return None

    def flush(self, now: float) -> None:
        """Move those whose time has come."""
        while self._backoff and self._backoff[0][0] <= now:
            _, number, key = heapq.heappop(self._backoff)
            found = self._place.get(key)
            if found is not None and found[2] == number:
                found[1].added = now
                self._put("active", found[1])
        for place, queued, _ in list(self._place.values()):
            if place == "unschedulable" and not queued.gated and now - queued.added >= MAX_IN_UNSCHEDULABLE:
                self._wake(queued, now)

    def next_time(self) -> float | None:
        """When `flush` has something to do next; None: not before something else happens."""
        while self._backoff and self._place.get(self._backoff[0][2], ("", None, 0))[2] != self._backoff[0][1]:
            heapq.heappop(self._backoff)
        times = [self._backoff[0][0]] if self._backoff else []
        times += [
            queued.added + MAX_IN_UNSCHEDULABLE
            for place, queued, _ in self._place.values()
            if place == "unschedulable" and not queued.gated
        ]
        return min(times, default=None)

    # --- after a try

    def failed(self, queued: QueuedPod, now: float, refused_by: frozenset[str]) -> None:
        """No node would do, say these plugins: wait for an event. No plugin: something went wrong, try again soon."""
        queued.refused_by, queued.added = refused_by, now
        self._put("unschedulable" if refused_by else "backoff", queued)

    def event(self, event: Event, now: float) -> None:
        """Something in the cluster has changed: wake those that it concerns."""
        for place, queued, _ in list(self._place.values()):
            waits = place == "unschedulable" and not queued.gated
            if waits and self._interested(queued.pod, queued.refused_by, event):
                self._wake(queued, now)

    def _wake(self, queued: QueuedPod, now: float) -> None:
        """To `backoff`, or straight to `active` where it has waited long enough already."""
        if queued.backoff_until() <= now:
            queued.added = now
            self._put("active", queued)
        else:
            self._put("backoff", queued)
