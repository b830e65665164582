"""`nodeSelector` and node affinity: which nodes a pod wants, by their labels and names.

Upstream: `component-helpers/scheduling/corev1/nodeaffinity`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from workshop.api import meta
from workshop.api.labels import Requirement, Selector, from_set
from workshop.api.meta import Obj

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}


@dataclass(frozen=True)
class NodeSelectorTerm:
    expressions: Selector
    fields: Selector

    def matches(self, node: Obj) -> bool:
        """An empty term matches no node."""
        if self.expressions.empty and self.fields.empty:
            return False
        return self.expressions.matches(meta.labels(node)) and self.fields.matches({"metadata.name": meta.name(node)})


def _selector(expressions: Iterable[Mapping[str, Any]]) -> Selector:
    return Selector(
        tuple(Requirement(e["key"], _OPERATORS[e["operator"]], tuple(e.get("values") or ())) for e in expressions)
    )


def node_selector_term(term: Mapping[str, Any]) -> NodeSelectorTerm:
    return NodeSelectorTerm(_selector(term.get("matchExpressions") or ()), _selector(term.get("matchFields") or ()))


@dataclass(frozen=True)
class NodeAffinity:
    """`node_selector` and one of `terms` must match; None for no terms at all. `preferred` are (weight, term)."""

    node_selector: Selector
    terms: tuple[NodeSelectorTerm, ...] | None
    preferred: tuple[tuple[int, NodeSelectorTerm], ...]

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> NodeAffinity:
        rules = (spec.get("affinity") or {}).get("nodeAffinity") or {}
        required = rules.get("requiredDuringSchedulingIgnoredDuringExecution")
        return cls(
            from_set(spec.get("nodeSelector")),
            None if required is None else tuple(map(node_selector_term, required.get("nodeSelectorTerms") or ())),
            tuple(
                (term.get("weight") or 0, node_selector_term(term["preference"]))
                for term in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
            ),
        )

    def matches(self, node: Obj) -> bool:
        if not self.node_selector.matches(meta.labels(node)):
            return False
        return self.terms is None or any(term.matches(node) for term in self.terms)

    def node_names(self) -> set[str] | None:
        """The nodes that the terms name, where each names some (a DaemonSet's pods do); None when any node will do."""
        if not self.terms:
            return None
        names: set[str] = set()
        for term in self.terms:
            named = [r for r in term.fields.requirements if r.key == "metadata.name" and r.operator == "in"]
            if not named:
                return None
            names |= set.intersection(*(set(r.values) for r in named))
        return names
