"""Labels of nodes that have another name today, where something chooses nodes by them.

Upstream: pkg/api/node/util.go, v1.36.2."""

from __future__ import annotations

from collections.abc import Iterator

from workshop.api import names
from workshop.api.meta import Obj

OLD = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}


def in_map(at: str, labels: Obj | None, keyed: bool = True) -> Iterator[str]:
    """A map of labels. Some kinds show the key (`spec.nodeSelector[beta…/os]`), some only the map."""
    for key in labels or {}:
        if key in OLD:
            yield f"{at}{f'[{key}]' if keyed else ''}: {OLD[key]}"


def topology_key(at: str, key: str) -> Iterator[str]:
    if key in OLD:
        yield f"{at}: {key} is {OLD[key]}"


def term(at: str, found: Obj, values: bool = False) -> Iterator[str]:
    """A term of a node selector. `values`: of a preference, whose values nobody refuses."""
    for i, each in enumerate(found.get("matchExpressions") or []):
        yield from topology_key(f"{at}.matchExpressions[{i}].key", each.get("key", ""))
        for k, value in enumerate(each.get("values") or [] if values else []):
            for wrong in names.label_value(value):
                yield f"{at}.matchExpressions[{i}].values[{k}]: {value} is invalid, {wrong}"


def selector(at: str, found: Obj | None) -> Iterator[str]:
    """A label selector that is meant for nodes."""
    yield from term(at, found or {})
    for key in (found or {}).get("matchLabels") or {}:
        if key in OLD:
            yield f"{at}.matchLabels.{key}: {OLD[key]}"
