"""The scheduling framework: extension points, and the cycle that runs them.

`schedule` is pure: pod and snapshot in, a `Decision` out, with the reason of every node that was refused and the
score of every node that was not. Upstream: `pkg/scheduler/schedule_one.go`, `pkg/scheduler/framework`, KEP-624.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from workshop.scheduler.node_info import NodeInfo, PodInfo, Snapshot

MAX_SCORE = 100
NO_NODES = "no nodes available to schedule pods"


@dataclass(frozen=True, slots=True)
class Status:
    """Why not. `resolvable`: evicting other pods might help. `wait`: not now, by no fault of any node."""

    reasons: tuple[str, ...]
    plugin: str = ""
    resolvable: bool = True


def unschedulable(*reasons: str) -> Status:
    return Status(reasons)


def unresolvable(*reasons: str) -> Status:
    """No eviction of other pods would change it."""
    return Status(reasons, resolvable=False)


@dataclass(slots=True)
class CycleState:
    """Notes of one cycle: what a plugin works out in PreFilter or PreScore for its Filter or Score."""

    notes: dict[str, Any] = field(default_factory=dict)
    skip_filter: set[str] = field(default_factory=set)
    skip_score: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Event:
    """Something in the cluster changed. `what` is such as `Pod/Delete`, `Node/Add`, `Node/Label`, `Node/Taint`,
    `Node/Allocatable`, `Pod/Label`; `old` and `new` are the objects."""

    what: str
    old: Mapping[str, Any] | None = None
    new: Mapping[str, Any] | None = None


class Plugin:
    """A plugin overrides the points it takes part in; the others are not called.

    `events`: what may make a pod that this plugin refused schedulable. A Status says no, None says yes.
    """

    name = ""
    events: frozenset[str] = frozenset()

    def hint(self, pod: PodInfo, event: Event) -> bool:
        """Is that event (one of `events`) worth another try for this pod?"""
        return True

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        """May the pod be tried at all?"""

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | set[str] | None:
        """Once a cycle. A Status refuses all nodes; a set of names leaves only those."""

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        """Does the pod fit on that node?"""

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], snapshot: Snapshot) -> None:
        """Once a cycle, with the nodes that are left. Adding its name to `state.skip_score` leaves scoring out."""

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        """The higher the better; 0 to 100 after `normalize`."""
        raise NotImplementedError

    def normalize(self, state: CycleState, scores: dict[str, int]) -> dict[str, int]:
        return scores


@dataclass(frozen=True, slots=True)
class Decision:
    """`node` is "" when no node will do. `scores` is node → plugin → weighted score."""

    node: str
    diagnosis: Mapping[str, Status] = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    all_nodes: int = 0
    pre_filter: str = ""
    plugins: frozenset[str] = frozenset()
    """Those that refused the pod; an event that concerns one of them is a reason to try again."""

    def message(self, preemption: str = "") -> str:
        """As the FailedScheduling event tells it: `0/2 nodes are available: 2 Insufficient cpu. …`"""
        if not self.all_nodes:
            return NO_NODES
        return fit_error(self.all_nodes, self.diagnosis.values(), self.pre_filter, preemption)


def fit_error(all_nodes: int, refusals: Iterable[Status], pre_filter: str = "", preemption: str = "") -> str:
    text = f"0/{all_nodes} nodes are available:"
    if pre_filter:
        text += f" {pre_filter}."
    else:
        reasons = Counter(reason for status in refusals for reason in status.reasons)
        told = sorted(f"{count} {reason}" for reason, count in reasons.items())
        text += f" {', '.join(told)}." if told else ""
    return f"{text} {preemption}" if preemption else text


class Framework:
    """A profile: the plugins that run, in order, with the weights of their scores."""

    def __init__(self, plugins: Sequence[tuple[Plugin, int]], name: str = "default-scheduler") -> None:
        self.name = name
        self.plugins = [plugin for plugin, _ in plugins]
        self.weights = {plugin.name: weight for plugin, weight in plugins}
        self.pre_enqueues = self._that("pre_enqueue")
        self.pre_filters = self._that("pre_filter")
        self.filters = self._that("filter")
        self.pre_scores = self._that("pre_score")
        self.scorers = [plugin for plugin in self._that("score") if self.weights[plugin.name]]
        self.by_name = {plugin.name: plugin for plugin in self.plugins}

    def _that(self, point: str) -> list[Plugin]:
        base: Callable[..., Any] = getattr(Plugin, point)
        return [plugin for plugin in self.plugins if getattr(type(plugin), point) is not base]

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        for plugin in self.pre_enqueues:
            if (status := plugin.pre_enqueue(pod)) is not None:
                return _by(status, plugin)
        return None

    def pre_filter(
        self, state: CycleState, pod: PodInfo, snapshot: Snapshot
    ) -> tuple[Status | None, set[str] | None, set[str]]:
        """(refusal of all nodes, the nodes left if not all, which plugins left some out)."""
        allowed: set[str] | None = None
        narrowed: set[str] = set()
        for plugin in self.pre_filters:
            answer = plugin.pre_filter(state, pod, snapshot)
            if isinstance(answer, Status):
                return _by(answer, plugin), None, set()
            if answer is not None:
                allowed = answer if allowed is None else allowed & answer
                narrowed.add(plugin.name)
        return None, allowed, narrowed

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        for plugin in self.filters:
            if plugin.name not in state.skip_filter and (status := plugin.filter(state, pod, node)) is not None:
                return _by(status, plugin)
        return None

    def fits(self, pod: PodInfo, node: NodeInfo, snapshot: Snapshot) -> Status | None:
        """Would the pod fit if that one node looked like `node`? Slow: it starts the cycle anew."""
        state = CycleState()
        changed = snapshot.with_node(node)
        refused, allowed, _ = self.pre_filter(state, pod, changed)
        if refused is not None:
            return refused
        if allowed is not None and node.name not in allowed:
            return unresolvable("node(s) didn't satisfy plugin(s)")
        return self.filter(state, pod, node)

    def interested(self, pod: PodInfo, refused_by: frozenset[str], event: Event) -> bool:
        """Is the event worth another try of a pod that those plugins refused?"""
        if not refused_by:
            return True
        plugins = (self.by_name[name] for name in refused_by if name in self.by_name)
        return any(event.what in plugin.events and plugin.hint(pod, event) for plugin in plugins)


def _by(status: Status, plugin: Plugin) -> Status:
    return Status(status.reasons, plugin.name, status.resolvable)


# --- the cycle -------------------------------------------------------------------------------------------------------


def schedule(framework: Framework, pod: PodInfo, snapshot: Snapshot, random: Random, start: int = 0) -> Decision:
    """Find the pod a node. `start` is where to begin when not all nodes of a large cluster are looked at."""
    count = len(snapshot.nodes)
    if not count:
        return Decision("")
    state = CycleState()
    refused, allowed, narrowed = framework.pre_filter(state, pod, snapshot)
    if refused is not None:
        every = dict.fromkeys(snapshot.nodes, refused)
        return Decision("", every, {}, count, ", ".join(refused.reasons), frozenset({refused.plugin}))
    diagnosis: dict[str, Status] = {}
    nodes = list(snapshot.nodes.values())
    if allowed is not None:
        nodes = [node for node in nodes if node.name in allowed]
        left_out = unresolvable(f"node(s) didn't satisfy plugin(s) [{' '.join(sorted(narrowed))}]")
        diagnosis = {name: left_out for name in snapshot.nodes if name not in allowed}
    feasible = _feasible(framework, state, pod, nodes, snapshot, diagnosis, start)
    if not feasible:
        plugins = frozenset(status.plugin for status in diagnosis.values() if status.plugin) | narrowed
        return Decision("", diagnosis, {}, count, "", plugins)
    if len(feasible) == 1:
        return Decision(feasible[0].name, diagnosis, {}, count)
    scores = _score(framework, state, pod, feasible, snapshot)
    totals = {name: sum(by_plugin.values()) for name, by_plugin in scores.items()}
    best = max(totals.values())
    winners = [name for name, total in totals.items() if total == best]
    return Decision(winners[0] if len(winners) == 1 else random.choice(winners), diagnosis, scores, count)


def _feasible(
    framework: Framework,
    state: CycleState,
    pod: PodInfo,
    nodes: list[NodeInfo],
    snapshot: Snapshot,
    diagnosis: dict[str, Status],
    start: int,
) -> list[NodeInfo]:
    """The nodes that pass all filters, up to as many as are worth scoring; why the others did not is noted."""
    wanted = nodes_to_find(len(nodes))
    found: list[NodeInfo] = []
    for i in range(len(nodes)):
        node = nodes[(start + i) % len(nodes)]
        status = framework.filter(state, pod, node)
        if status is None and (guests := _nominated(pod, node, snapshot)):
            crowded = node.clone()
            for guest in guests:
                crowded.add_pod(guest)
            status = framework.fits(pod, crowded, snapshot)
        if status is None:
            found.append(node)
            if len(found) >= wanted:
                break
        else:
            diagnosis[node.name] = status
    return found


def _nominated(pod: PodInfo, node: NodeInfo, snapshot: Snapshot) -> list[PodInfo]:
    """Pods at least as important that were promised this node: the room is theirs."""
    promised = snapshot.nominated.get(node.name)
    if not promised:
        return []
    return [p for p in promised if p.uid != pod.uid and p.uid not in node.pods and p.priority >= pod.priority]


def nodes_to_find(nodes: int) -> int:
    """Of up to 100 nodes all; of more, a share that falls from 50 % to 5 %."""
    if nodes < 100:
        return nodes
    return max(100, nodes * max(5, 50 - nodes // 125) // 100)


def _score(
    framework: Framework, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], snapshot: Snapshot
) -> dict[str, dict[str, int]]:
    for plugin in framework.pre_scores:
        plugin.pre_score(state, pod, nodes, snapshot)
    result: dict[str, dict[str, int]] = {node.name: {} for node in nodes}
    for plugin in framework.scorers:
        if plugin.name in state.skip_score:
            continue
        scores = plugin.normalize(state, {node.name: plugin.score(state, pod, node) for node in nodes})
        weight = framework.weights[plugin.name]
        for name, score in scores.items():
            result[name][plugin.name] = score * weight
    return result


def normalize_to_max(scores: dict[str, int], reverse: bool = False) -> dict[str, int]:
    """The largest becomes 100 (or, reversed, 0), the others in proportion."""
    largest = max(scores.values(), default=0)
    if not largest:
        return dict.fromkeys(scores, MAX_SCORE if reverse else 0)
    scaled = {name: score * MAX_SCORE // largest for name, score in scores.items()}
    return {name: MAX_SCORE - score for name, score in scaled.items()} if reverse else scaled
