"""ClusterRoles that are the sum of others: `admin`, `edit` and `view` take in what carries their label.

    view: aggregationRule {matchLabels: {rbac.authorization.k8s.io/aggregate-to-view: "true"}}
      = rules of system:aggregate-to-view + of every ClusterRole that somebody labels so (for his custom resources)

Upstream: `pkg/controller/clusterroleaggregation/clusterroleaggregation_controller.go`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workshop.api import labels, meta
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import resource

from .base import Context

CLUSTER_ROLES = resource("clusterroles.rbac.authorization.k8s.io")
FIELD_MANAGER = "clusterrole-aggregation-controller"


def aggregated_rules(role: Obj, roles: Iterable[Obj]) -> list[dict[str, Any]]:
    """The rules of all roles that `role` selects, by the roles' names, each rule once."""
    rules: list[dict[str, Any]] = []
    ordered = sorted(roles, key=meta.name)
    for term in role["aggregationRule"].get("clusterRoleSelectors") or ():
        selector = labels.from_selector(term)
        for other in ordered:
            if meta.name(other) != meta.name(role) and selector.matches(meta.labels(other)):
                rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return rules


class ClusterRoleAggregationController:
    """Writes the sum whenever any ClusterRole changes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = context.queue()
        self._roles = context.informer("clusterroles")
        self._roles.add_handler(self._any, lambda old, new: self._any(new), self._any)

    def _any(self, role: Obj) -> None:
        """Whatever changed may be part of any sum (and a sum part of another: edit is within admin)."""
        for each in self._roles.store.list():
            if each.get("aggregationRule"):
                self._queue.add(key_of(each))

    async def run(self) -> None:
        await self._context.controller(self._queue, self.sync).run()

    async def sync(self, key: Key) -> None:
        role = self._roles.store.get(key)
        if role is None or not role.get("aggregationRule"):
            return
        rules = aggregated_rules(role, self._roles.store.list())
        if rules == (role.get("rules") or []):
            return
        wanted = {
            "apiVersion": CLUSTER_ROLES.api_version,
            "kind": CLUSTER_ROLES.kind,
            "metadata": {"name": key.name},
            "rules": rules,
        }
        apply = "application/apply-patch+yaml"
        await self._client.patch(
            CLUSTER_ROLES, key.name, wanted, type=apply, field_manager=FIELD_MANAGER, force=True
        )  # fmt: skip
