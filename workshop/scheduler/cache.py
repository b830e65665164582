"""The cluster as the scheduler believes it to be: what informers told it, and its own decisions on top.

A pod that was given a node counts there at once (it is assumed), long before the informer says so; if its binding
fails it is forgotten again. Upstream: `pkg/scheduler/backend/cache/cache.go`.
"""

from __future__ import annotations

from collections.abc import Mapping

from workshop.api import meta
from workshop.api.meta import Key, Obj
from workshop.scheduler.node_info import NodeInfo, PodInfo, Snapshot


class Cache:
    """Not changed while a cycle runs: a cycle does not wait for anything."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeInfo] = {}
        self._placed: dict[Key, PodInfo] = {}
        """Pods on nodes, assumed ones included."""
        self._assumed: dict[Key, str] = {}
        self._nominated: dict[Key, tuple[PodInfo, str]] = {}
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self._clones: dict[str, NodeInfo] = {}
        self._generation = 0

    # --- nodes

    def set_node(self, node: Obj) -> None:
        name = meta.name(node)
        info = self._nodes.get(name)
        if info is None:
            info = self._nodes[name] = NodeInfo(node)
            for pod in self._placed.values():  # pods may be known before their node is
                if self._where(pod) == name:
                    info.add_pod(pod)
        info.set_node(node)
        self._changed(info)

    def remove_node(self, name: str) -> None:
        self._nodes.pop(name, None)

    def node(self, name: str) -> NodeInfo | None:
        return self._nodes.get(name)

    def _learn(self, info: NodeInfo) -> None:
        """Take over what cycles have counted on the clone, while it still is like the original."""
        clone = self._clones.get(info.name)
        if clone is not None and clone.generation == info.generation:
            info.counts.update(clone.counts)

    def _changed(self, info: NodeInfo) -> None:
        self._generation += 1
        info.generation = self._generation

    # --- pods

    def _where(self, pod: PodInfo) -> str:
        return pod.node_name or self._assumed.get(pod.key, "")

    def assume(self, pod: PodInfo, node: str) -> None:
        self._assumed[pod.key] = node
        self._place(pod, node)
        self._nominated.pop(pod.key, None)

    def forget(self, key: Key) -> None:
        """Take back an assumption."""
        if key in self._assumed:
            self.remove_pod(key)

    def is_assumed(self, key: Key) -> bool:
        return key in self._assumed

    def set_pod(self, pod: PodInfo) -> None:
        """A pod with a node, as the server has it."""
        self.remove_pod(pod.key)
        self._place(pod, pod.node_name)
        self._nominated.pop(pod.key, None)

    def _place(self, pod: PodInfo, node: str) -> None:
        self._placed[pod.key] = pod
        info = self._nodes.get(node)
        if info is not None:
            self._learn(info)
            info.add_pod(pod)
            self._changed(info)

    def remove_pod(self, key: Key) -> PodInfo | None:
        pod = self._placed.pop(key, None)
        if pod is not None:
            info = self._nodes.get(self._where(pod))
            if info is not None:
                self._learn(info)
                info.remove_pod(pod)
                self._changed(info)
        self._assumed.pop(key, None)
        return pod

    def pod(self, key: Key) -> PodInfo | None:
        return self._placed.get(key)

    def nominate(self, pod: PodInfo, node: str) -> None:
        """The pod is to come to that node once its victims are gone; "" takes it back."""
        self._nominated.pop(pod.key, None)
        if node:
            self._nominated[pod.key] = (pod, node)

    def unnominate(self, key: Key) -> None:
        self._nominated.pop(key, None)

    def sizes(self) -> dict[str, int]:
        return {"nodes": len(self._nodes), "pods": len(self._placed), "assumed_pods": len(self._assumed)}

    # --- for a cycle

    def snapshot(self) -> Snapshot:
        """Only nodes that changed since the last one are copied."""
        for name, info in self._nodes.items():
            clone = self._clones.get(name)
            if clone is None or clone.generation != info.generation:
                self._clones[name] = info.clone()
        for name in [name for name in self._clones if name not in self._nodes]:
            del self._clones[name]
        nominated: dict[str, tuple[PodInfo, ...]] = {}
        for pod, node in self._nominated.values():
            nominated[node] = (*nominated.get(node, ()), pod)
        return Snapshot({name: self._clones[name] for name in self._nodes}, self.namespaces, nominated)
