"""Role-based access control: who holds which rules, kept ready by subject.

The authorizer never scans all bindings. `RbacIndex` is fed each stored or changed role and binding once (first
list, then watch events) and files every subject of a binding under its key:

    ("Group", "system:masters")                         -> {"": [grant of cluster-admin]}
    ("User", "system:serviceaccount:kube-system:dns")   -> {"": [...], "default": [...]}

The inner key is the namespace that the grant holds in, "" for everywhere. A request then visits the grants of its
user name and of each of its groups, nothing else.

Upstream: `plugin/pkg/auth/authorizer/rbac/rbac.go`, `pkg/registry/rbac/validation/rule.go`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from workshop.api.meta import Obj
from workshop.apiserver.authorization.rules import CompiledRule, PolicyRule, compile_rule, quoted
from workshop.apiserver.interfaces import Attributes, Decision, UserInfo

Subject = tuple[str, str]

#: The resources that feed the index, as `resource.group`.
SOURCES = ("clusterroles", "clusterrolebindings", "roles", "rolebindings")
_GROUP = "rbac.authorization.k8s.io"


@dataclass(frozen=True, slots=True)
class Grant:
    """One subject of one binding. `namespace` is the binding's, "" for a ClusterRoleBinding."""

    namespace: str
    binding: str
    role_kind: str
    role: str
    subject: str

    def __str__(self) -> str:
        if self.namespace:
            return f'RoleBinding "{self.binding}/{self.namespace}" of {self.role_kind} "{self.role}" to {self.subject}'
        return f'ClusterRoleBinding "{self.binding}" of {self.role_kind} "{self.role}" to {self.subject}'


class RbacIndex:
    """All roles by name and all grants by subject; answers as an Authorizer."""

    def __init__(self) -> None:
        self._roles: dict[tuple[str, str], list[CompiledRule]] = {}
        self._bindings: dict[tuple[str, str], list[tuple[Subject, Grant]]] = {}
        self._grants: dict[Subject, dict[str, list[Grant]]] = {}

    def put(self, plural: str, obj: Obj) -> None:
        """A role or binding was created or changed. `plural` is one of SOURCES."""
        key = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        if plural in ("clusterroles", "roles"):
            self._roles[key] = [compile_rule(rule) for rule in obj.get("rules") or ()]
            return
        self._unfile(key)
        filed = list(_grants_of(obj, *key))
        self._bindings[key] = filed
        for subject, grant in filed:
            self._grants.setdefault(subject, {}).setdefault(key[0], []).append(grant)

    def remove(self, plural: str, obj: Obj) -> None:
        """A role or binding was deleted."""
        key = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        if plural in ("clusterroles", "roles"):
            self._roles.pop(key, None)
        else:
            self._unfile(key)

    def _unfile(self, key: tuple[str, str]) -> None:
        for subject, grant in self._bindings.pop(key, ()):
            scopes = self._grants[subject]
            scopes[key[0]].remove(grant)
            if not scopes[key[0]]:
                del scopes[key[0]]
            if not scopes:
                del self._grants[subject]

    def grants(self, user: UserInfo, namespace: str) -> Iterator[Grant]:
        """The grants that apply to `user` in `namespace` ("": only those that hold everywhere)."""
        for subject in (("User", user.name), *(("Group", group) for group in user.groups)):
            scopes = self._grants.get(subject)
            if scopes:
                yield from scopes.get("", ())
                if namespace:
                    yield from scopes.get(namespace, ())

    def role_rules(self, kind: str, namespace: str, name: str) -> list[CompiledRule] | None:
        """The rules that a roleRef names; None if there is no such role."""
        return self._roles.get((namespace if kind == "Role" else "", name))

    def rules_for(self, user: UserInfo, namespace: str) -> tuple[list[PolicyRule], list[str]]:
        """Every rule that applies, and a sentence for each grant whose role is missing."""
        rules: list[PolicyRule] = []
        missing: list[str] = []
        for grant in self.grants(user, namespace):
            found = self.role_rules(grant.role_kind, grant.namespace, grant.role)
            if found is None:
                missing.append(_missing(grant))
            else:
                rules += [rule.source for rule in found]
        return rules, missing

    async def authorize(self, a: Attributes) -> tuple[Decision, str]:
        """ALLOW with the binding that allows it, else NO_OPINION; RBAC never denies."""
        return self.decide(a)

    def decide(self, a: Attributes) -> tuple[Decision, str]:
        """`authorize` without the wait: everything is in memory."""
        missing: list[str] = []
        for grant in self.grants(a.user, a.namespace):
            rules = self.role_rules(grant.role_kind, grant.namespace, grant.role)
            if rules is None:
                missing.append(_missing(grant))
            elif any(rule.allows(a) for rule in rules):
                return Decision.ALLOW, f"RBAC: allowed by {grant}"
        return Decision.NO_OPINION, f"RBAC: {aggregate(missing)}" if missing else ""


def aggregate(errors: list[str]) -> str:
    """One error as it is, several in brackets, each once: Go's `errors.NewAggregate`."""
    unique = list(dict.fromkeys(errors))
    return unique[0] if len(unique) == 1 else "[" + ", ".join(unique) + "]"


def _missing(grant: Grant) -> str:
    return f"{grant.role_kind.lower()}.{_GROUP} {quoted(grant.role)} not found"


def _grants_of(binding: Obj, namespace: str, name: str) -> Iterator[tuple[Subject, Grant]]:
    ref = binding["roleRef"]
    seen: set[Subject] = set()
    for subject in binding.get("subjects") or ():
        kind, subject_name = subject["kind"], subject["name"]
        key: Subject
        if kind == "ServiceAccount":
            home = subject.get("namespace") or namespace
            if not home:
                continue
            key, label = ("User", f"system:serviceaccount:{home}:{subject_name}"), f"{subject_name}/{home}"
        else:
            key, label = (kind, subject_name), subject_name
        if key not in seen:
            seen.add(key)
            yield key, Grant(namespace, name, ref["kind"], ref["name"], f"{kind} {quoted(label)}")
