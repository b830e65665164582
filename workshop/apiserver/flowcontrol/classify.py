"""Which FlowSchema fits a request: of those that do the one with the lowest matchingPrecedence, then by name.

Upstream: `util/flowcontrol/{rule,formatting}.go`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from workshop.api.meta import Obj
from workshop.apiserver.interfaces import UserInfo
from workshop.apiserver.server.info import RequestInfo

ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True)
class FlowSchema:
    name: str
    uid: str
    level: str
    precedence: int
    distinguisher: str
    """What makes two flows of one schema: `ByUser`, `ByNamespace`, or "" for one flow only."""
    rules: Sequence[dict[str, Any]]

    def fits(self, user: UserInfo, info: RequestInfo) -> bool:
        return any(_rule_fits(rule, user, info) for rule in self.rules)

    def flow(self, user: UserInfo, info: RequestInfo) -> str:
        return {"ByUser": user.name, "ByNamespace": info.namespace}.get(self.distinguisher, "")


def read(obj: Obj) -> FlowSchema:
    """What a FlowSchema says."""
    spec, metadata = obj["spec"], obj["metadata"]
    return FlowSchema(
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        level=spec["priorityLevelConfiguration"]["name"],
        precedence=spec.get("matchingPrecedence", 1000),
        distinguisher=(spec.get("distinguisherMethod") or {}).get("type", ""),
        rules=spec.get("rules") or (),
    )


def in_order(schemas: Iterable[FlowSchema]) -> list[FlowSchema]:
    """As they are asked: the lowest precedence first; of two the one whose name is first."""
    return sorted(schemas, key=lambda schema: (schema.precedence, schema.name))


def _rule_fits(rule: dict[str, Any], user: UserInfo, info: RequestInfo) -> bool:
    if not any(_subject_fits(subject, user) for subject in rule.get("subjects") or ()):
        return False
    if info.is_resource:
        return any(_resource_fits(wanted, info) for wanted in rule.get("resourceRules") or ())
    return any(
        _listed(info.verb, wanted.get("verbs")) and any(_path_fits(p, info.path) for p in wanted["nonResourceURLs"])
        for wanted in rule.get("nonResourceRules") or ()
    )


def _subject_fits(subject: dict[str, Any], user: UserInfo) -> bool:
    match subject.get("kind"):
        case "User":
            return (subject.get("user") or {}).get("name") in ("*", user.name)
        case "Group":
            name = (subject.get("group") or {}).get("name")
            return name == "*" or name in user.groups
        case "ServiceAccount":
            account = subject.get("serviceAccount") or {}
            prefix = f"{ACCOUNT}{account.get('namespace', '')}:"
            return user.name.startswith(prefix) and account.get("name") in ("*", user.name[len(prefix) :])
    return False


def _resource_fits(wanted: dict[str, Any], info: RequestInfo) -> bool:
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    if not (
        _listed(info.verb, wanted.get("verbs"))
        and _listed(resource, wanted.get("resources"))
        and _listed(info.group, wanted.get("apiGroups"))
    ):
        return False
    if not info.namespace:
        return bool(wanted.get("clusterScope"))
    return _listed(info.namespace, wanted.get("namespaces"))


def _path_fits(pattern: str, path: str) -> bool:
    prefix = pattern.removesuffix("*")
    return pattern in ("*", path) or path.startswith(prefix if prefix.endswith("/") else prefix + "/")


def _listed(value: str, wanted: Sequence[str] | None) -> bool:
    """A wildcard counts only when it stands alone, as validation demands."""
    return value in (wanted or ()) or list(wanted or ()) == ["*"]
