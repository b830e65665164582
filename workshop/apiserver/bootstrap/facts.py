"""What every new cluster holds, whatever its flags: RBAC, flow control, priority classes. From the committed table.

`tools/bootstrap_table.py` makes `table.json` from a real server's answers; its header names upstream's files.
"""

from __future__ import annotations

import json
from functools import cache
from pkgutil import get_data

from workshop.api.meta import Obj
from workshop.api.resources import Resource, resource
from workshop.apiserver.authorization.rules import PolicyRule

RBAC = "rbac.authorization.k8s.io"
_GROUPS = {
    "clusterroles": RBAC,
    "clusterrolebindings": RBAC,
    "roles": RBAC,
    "rolebindings": RBAC,
    "prioritylevelconfigurations": "flowcontrol.apiserver.k8s.io",
    "flowschemas": "flowcontrol.apiserver.k8s.io",
    "priorityclasses": "scheduling.k8s.io",
}
#: Kinds that count generations from their creation.
_COUNTED = ("prioritylevelconfigurations", "flowschemas", "priorityclasses")


def _table() -> dict[str, list[Obj]]:
    text = get_data("workshop.apiserver.bootstrap", "table.json") or b"{}"
    return {plural: items for plural, items in json.loads(text).items() if plural in _GROUPS}


def objects(now: str) -> list[tuple[Resource, Obj]]:
    """Every object of the table as it is to be stored. `now` stands in the conditions (RFC 3339)."""
    found: list[tuple[Resource, Obj]] = []
    for plural, items in _table().items():
        kind = resource(f"{plural}.{_GROUPS[plural]}")
        for item in items:
            obj = {"apiVersion": kind.api_version, "kind": kind.kind, **item}
            if plural in _COUNTED:
                obj["metadata"] = {**obj["metadata"], "generation": 1}
            if plural == "prioritylevelconfigurations":
                obj["status"] = {}
            if plural == "flowschemas":
                obj["status"] = {"conditions": [_not_dangling(obj, now)]}
            found.append((kind, obj))
    return found


def _not_dangling(schema: Obj, now: str) -> Obj:
    level = schema["spec"]["priorityLevelConfiguration"]["name"]
    message = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}" and it exists'
    return {
        "type": "Dangling", "status": "False", "lastTransitionTime": now, "reason": "Found", "message": message
    }  # fmt: skip


@cache
def node_rules() -> tuple[PolicyRule, ...]:
    """The rules of ClusterRole `system:node`, by which the Node authorizer judges what it does not divide by node."""
    role = next(role for role in _table()["clusterroles"] if role["metadata"]["name"] == "system:node")
    return tuple(role["rules"])
