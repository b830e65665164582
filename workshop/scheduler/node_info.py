"""What the scheduler knows of a pod and of a node, worked out once and kept.

Upstream: `pkg/scheduler/framework/types.go`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from workshop.api import meta
from workshop.api.labels import Selector, from_selector
from workshop.api.meta import Key, Obj
from workshop.api.scheduling.host_ports import HostPort, host_ports
from workshop.api.scheduling.node_affinity import NodeAffinity
from workshop.api.scheduling.requests import Amounts, amounts, pod_requests


@dataclass(frozen=True)
class AffinityTerm:
    """Which pods are meant: those in `namespaces`, or in namespaces that match, whose labels match."""

    selector: Selector
    namespaces: frozenset[str]
    namespace_selector: Selector
    topology_key: str
    weight: int = 0

    def matches(self, pod: PodInfo, namespace_labels: Mapping[str, Mapping[str, str]]) -> bool:
        inside = pod.key.namespace in self.namespaces or self.namespace_selector.matches(
            namespace_labels.get(pod.key.namespace, {})
        )
        return inside and self.selector.matches(pod.labels)


class PodInfo:
    """A pod, with what is asked of it again and again. The pod is never changed: a new version is a new PodInfo."""

    def __init__(self, pod: Obj) -> None:
        self.pod = pod
        self.key: Key = meta.key_of(pod)
        self.uid: str = meta.uid(pod)
        self.labels: Mapping[str, str] = meta.labels(pod)
        self.spec: Mapping[str, Any] = pod.get("spec") or {}
        self.priority: int = self.spec.get("priority") or 0
        self.terminating: bool = "deletionTimestamp" in meta.metadata(pod)

    @property
    def node_name(self) -> str:
        return self.spec.get("nodeName") or ""

    @property
    def nominated_node(self) -> str:
        return (self.pod.get("status") or {}).get("nominatedNodeName") or ""

    @cached_property
    def requests(self) -> Amounts:
        return pod_requests(self.pod, reported=True)

    @cached_property
    def nonzero_requests(self) -> Amounts:
        return pod_requests(self.pod, nonzero=True, reported=True)

    @cached_property
    def host_ports(self) -> tuple[HostPort, ...]:
        return host_ports(self.spec)

    @cached_property
    def _affinity(self) -> Mapping[str, Any]:
        return self.spec.get("affinity") or {}

    def _terms(self, kind: str, required: bool) -> tuple[AffinityTerm, ...]:
        rules = self._affinity.get(kind) or {}
        if required:
            return tuple(map(self._term, rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ()))
        preferred = rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        return tuple(self._term(term["podAffinityTerm"], term.get("weight") or 0) for term in preferred)

    def _term(self, term: Mapping[str, Any], weight: int = 0) -> AffinityTerm:
        namespaces, selector = term.get("namespaces") or (), term.get("namespaceSelector")
        if not namespaces and selector is None:
            namespaces = (self.key.namespace,)
        return AffinityTerm(
            from_selector(term.get("labelSelector")),
            frozenset(namespaces),
            from_selector(selector),
            term.get("topologyKey") or "",
            weight,
        )

    @cached_property
    def required_affinity(self) -> tuple[AffinityTerm, ...]:
        return self._terms("podAffinity", True)

    @cached_property
    def required_anti_affinity(self) -> tuple[AffinityTerm, ...]:
        return self._terms("podAntiAffinity", True)

    @cached_property
    def preferred_affinity(self) -> tuple[AffinityTerm, ...]:
        return self._terms("podAffinity", False)

    @cached_property
    def preferred_anti_affinity(self) -> tuple[AffinityTerm, ...]:
        return self._terms("podAntiAffinity", False)

    @property
    def has_affinity(self) -> bool:
        return "podAffinity" in self._affinity or "podAntiAffinity" in self._affinity

    @cached_property
    def node_affinity(self) -> NodeAffinity:
        return NodeAffinity.of(self.spec)


MAX_COUNTS = 64


def _counted(pod: PodInfo, key: tuple[str, Selector]) -> bool:
    namespace, selector = key
    return pod.key.namespace == namespace and not pod.terminating and selector.matches(pod.labels)


@dataclass
class NodeInfo:
    """A node with its pods summed up. The cache changes it; a snapshot holds clones that nobody changes."""

    node: Obj
    allocatable: Amounts = field(default_factory=dict)
    requested: Amounts = field(default_factory=dict)
    nonzero_cpu: int = 0
    nonzero_memory: int = 0
    pods: dict[str, PodInfo] = field(default_factory=dict)
    """By uid."""
    ports: dict[HostPort, int] = field(default_factory=dict)
    images: Mapping[str, int] = field(default_factory=dict)
    """Name → size in bytes."""
    generation: int = 0
    with_affinity: dict[str, PodInfo] = field(default_factory=dict)
    """Of `pods` those with rules about other pods."""
    counts: dict[tuple[str, Selector], int] = field(default_factory=dict)
    """Of `count`: kept in step with `pods`."""

    @property
    def name(self) -> str:
        return meta.name(self.node)

    @property
    def labels(self) -> Mapping[str, str]:
        return meta.labels(self.node)

    @property
    def taints(self) -> list[dict[str, Any]]:
        return (self.node.get("spec") or {}).get("taints") or []

    def set_node(self, node: Obj) -> None:
        status = node.get("status") or {}
        self.node = node
        self.allocatable = amounts(status.get("allocatable"))
        self.images = {
            name: image.get("sizeBytes") or 0
            for image in status.get("images") or ()
            for name in image.get("names") or ()
        }

    def clone(self) -> NodeInfo:
        return NodeInfo(
            self.node,
            self.allocatable,
            dict(self.requested),
            self.nonzero_cpu,
            self.nonzero_memory,
            dict(self.pods),
            dict(self.ports),
            self.images,
            self.generation,
            dict(self.with_affinity),
            dict(self.counts),
        )

    def count(self, namespace: str, selector: Selector) -> int:
        """How many pods of a namespace match, those that are being deleted apart."""
        key = (namespace, selector)
        found = self.counts.get(key)
        if found is None:
            if len(self.counts) >= MAX_COUNTS:
                self.counts.clear()
            found = sum(_counted(pod, key) for pod in self.pods.values())
            self.counts[key] = found
        return found

    def add_pod(self, pod: PodInfo) -> None:
        if pod.uid in self.pods:
            self.remove_pod(self.pods[pod.uid])
        self.pods[pod.uid] = pod
        self._count(pod, 1)

    def remove_pod(self, pod: PodInfo) -> None:
        held = self.pods.pop(pod.uid, None)
        if held is not None:
            self._count(held, -1)

    def _count(self, pod: PodInfo, sign: int) -> None:
        for name, amount in pod.requests.items():
            self.requested[name] = self.requested.get(name, 0) + sign * amount
        self.nonzero_cpu += sign * pod.nonzero_requests.get("cpu", 0)
        self.nonzero_memory += sign * pod.nonzero_requests.get("memory", 0)
        for key in self.counts:
            self.counts[key] += sign * _counted(pod, key)
        if pod.has_affinity:
            if sign > 0:
                self.with_affinity[pod.uid] = pod
            else:
                self.with_affinity.pop(pod.uid, None)
        for port in pod.host_ports:
            self.ports[port] = self.ports.get(port, 0) + sign
            if not self.ports[port]:
                del self.ports[port]


@dataclass(frozen=True)
class Snapshot:
    """The cluster at one moment, as a scheduling cycle sees it."""

    nodes: Mapping[str, NodeInfo]
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Labels of each namespace."""
    nominated: Mapping[str, tuple[PodInfo, ...]] = field(default_factory=dict)
    """Pods that are to come to a node once their victims are gone."""

    def with_node(self, node: NodeInfo) -> Snapshot:
        """The same with one node as it would be."""
        return Snapshot({**self.nodes, node.name: node}, self.namespaces, self.nominated)


def snapshot_of(nodes: Iterable[Obj], pods: Iterable[Obj] = ()) -> Snapshot:
    """A snapshot made by hand, for trying things out: pods with a nodeName are put on their nodes.

    >>> sorted(snapshot_of([{"metadata": {"name": "n1"}}]).nodes)
    ['n1']
    """
    infos: dict[str, NodeInfo] = {}
    for node in nodes:
        info = NodeInfo(node)
        info.set_node(node)
        infos[info.name] = info
    for pod in map(PodInfo, pods):
        if pod.node_name in infos:
            infos[pod.node_name].add_pod(pod)
    return Snapshot(infos)
