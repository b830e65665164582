"""The sum of ClusterRoles, over a new cluster's own roles too."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from workshop.controllers.clusterroleaggregation import aggregated_rules

VIEW = {"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}


def role(name: str, *rules: str, view: bool = False) -> dict[str, Any]:
    marked = {"labels": VIEW["matchLabels"]} if view else {}
    verbs = [{"apiGroups": [""], "resources": [resource], "verbs": ["get"]} for resource in rules]
    return {"metadata": {"name": name, **marked}, "rules": verbs}


def resources(rules: list[dict[str, Any]]) -> list[str]:
    return [rule["resources"][0] for rule in rules]


def test_selected_roles_by_name_each_rule_once_and_never_itself() -> None:
    view = {**role("view", "old", view=True), "aggregationRule": {"clusterRoleSelectors": [VIEW, VIEW]}}
    roles = [role("z", "pods", "foos", view=True), role("a", "pods", view=True), role("m", "secrets"), view]
    assert resources(aggregated_rules(view, roles)) == ["pods", "foos"]


def test_edit_of_a_new_cluster_holds_more_than_view_and_less_than_admin() -> None:
    table = json.loads((files("workshop.apiserver.bootstrap") / "table.json").read_text())["clusterroles"]
    by_name = {each["metadata"]["name"]: each for each in table}
    for name in ("view", "edit", "admin"):  # each sum is part of the next
        by_name[name] = {**by_name[name], "rules": aggregated_rules(by_name[name], by_name.values())}

    def may(name: str, resource: str, verb: str) -> bool:
        return any(resource in r.get("resources", ()) and verb in r["verbs"] for r in by_name[name]["rules"])

    assert may("view", "pods", "get") and not may("view", "secrets", "get") and not may("view", "pods", "delete")
    assert may("edit", "secrets", "get") and may("edit", "pods", "delete") and not may("edit", "rolebindings", "create")
    assert may("admin", "rolebindings", "create") and may("admin", "pods", "get")
