"""PURE: what belongs to what, as a networkx graph over keys such as `Pod/default/web-0`.

Edges, from → to, by relation:

    owns     Deployment → ReplicaSet → Pod       (ownerReferences)
    runs     Node → Pod                          (spec.nodeName)
    hosts    Node → Process                      (a kubelet, a kube-proxy)
    serves   Service → Pod                       (EndpointSlices)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import networkx as nx

from workshop.api.meta import Obj


def key_of(obj: Obj) -> str:
    """`Kind/namespace/name`; the namespace is empty for what has none."""
    metadata = obj["metadata"]
    return f"{obj['kind']}/{metadata.get('namespace', '')}/{metadata['name']}"


class Graph:
    """Keys may be named by an edge before (or after) their object is known."""

    def __init__(self) -> None:
        self.nx: Any = nx.MultiDiGraph()

    def link(self, relation: str, sources: Iterable[str], target: str) -> set[str]:
        """`target`'s edges of `relation` come from `sources` and nobody else. → the sources that changed"""
        wanted, have = set(sources), set(self.sources(relation, target))
        for source in wanted - have:
            self.nx.add_edge(source, target, relation)
        for source in have - wanted:
            self.nx.remove_edge(source, target, relation)
        return wanted ^ have

    def link_all(self, relation: str, source: str, targets: Iterable[str]) -> set[str]:
        """`source`'s edges of `relation` lead to `targets` and nowhere else. → the targets that changed"""
        wanted, have = set(targets), set(self.targets(relation, source))
        for target in wanted - have:
            self.nx.add_edge(source, target, relation)
        for target in have - wanted:
            self.nx.remove_edge(source, target, relation)
        return wanted ^ have

    def sources(self, relation: str, key: str) -> Iterator[str]:
        if key in self.nx:
            for source, edges in self.nx.pred[key].items():
                if relation in edges:
                    yield source

    def targets(self, relation: str, key: str) -> Iterator[str]:
        if key in self.nx:
            for target, edges in self.nx.succ[key].items():
                if relation in edges:
                    yield target

    def owners(self, key: str) -> list[str]:
        """The owner chain, nearest first: a Pod's is its ReplicaSet, then its Deployment. A circle ends it."""
        chain: list[str] = []
        while (owner := next(self.sources("owns", key), None)) is not None and owner not in chain:
            chain.append(owner)
            key = owner
        return chain

    def below(self, key: str, kind: str) -> list[str]:
        """All of `kind` that `key` owns, at any depth."""
        found, waiting, seen = [], [key], {key}
        while waiting:
            for child in self.targets("owns", waiting.pop()):
                if child not in seen:
                    seen.add(child)
                    waiting.append(child)
                    if child.startswith(f"{kind}/"):
                        found.append(child)
        return found

    def drop(self, key: str) -> None:
        """Forget the edges that `key` itself says; what others say of it stays."""
        for relation in ("owns", "runs"):
            self.link(relation, (), key)
        self.link_all("serves", key, ())
        if key in self.nx and self.nx.degree(key) == 0:
            self.nx.remove_node(key)
