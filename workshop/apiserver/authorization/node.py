"""The Node authorizer: a kubelet reads its own node, its own pods and what these refer to, nothing else.

A kubelet is a user `system:node:NAME` in group `system:nodes`. What it may write is then narrowed further by the
admission plugin NodeRestriction, which sees the objects.

Upstream: `plugin/pkg/auth/authorizer/node/node_authorizer.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from workshop.apiserver.authorization.graph import ReferenceGraph
from workshop.apiserver.authorization.rules import PolicyRule, compile_rule, quoted
from workshop.apiserver.interfaces import Attributes, Decision, UserInfo

Answer = tuple[Decision, str]

NODES_GROUP = "system:nodes"
NODE_USER_PREFIX = "system:node:"
LEASE_NAMESPACE = "kube-node-lease"

_ALLOW: Answer = (Decision.ALLOW, "")
#: What a kubelet does to pods beside reading them; NodeRestriction looks whether they are its own.
_POD_SUBRESOURCES = (("status", "update"), ("status", "patch"), ("eviction", "create"))
_OWN_VERBS = ("get", "create", "update", "patch", "delete")


def node_name(user: UserInfo) -> str | None:
    """The node that `user` is the kubelet of; None if he is none."""
    if NODES_GROUP in user.groups and user.name.startswith(NODE_USER_PREFIX):
        return user.name.removeprefix(NODE_USER_PREFIX) or None
    return None


def _no(reason: str = "") -> Answer:
    return Decision.NO_OPINION, reason


class NodeAuthorizer:
    """`node_rules` are those of ClusterRole `system:node`, for what is not divided by node."""

    def __init__(self, graph: ReferenceGraph, node_rules: Iterable[PolicyRule]) -> None:
        self._graph = graph
        self._rules = [compile_rule(rule) for rule in node_rules]
        self._special: dict[tuple[str, str], Callable[[str, Attributes], Answer]] = {
            ("", "secrets"): lambda node, a: self._read_namespaced(node, "secret", a),
            ("", "configmaps"): lambda node, a: self._read_namespaced(node, "configmap", a),
            ("", "persistentvolumeclaims"): self._claim,
            ("", "persistentvolumes"): lambda node, a: self._get(node, "persistentvolume", a),
            ("resource.k8s.io", "resourceclaims"): lambda node, a: self._get(node, "resourceclaim", a),
            ("storage.k8s.io", "volumeattachments"): lambda node, a: self._get(node, "volumeattachment", a),
            ("", "serviceaccounts"): self._service_account,
            ("coordination.k8s.io", "leases"): _lease,
            ("storage.k8s.io", "csinodes"): _csi_node,
            ("resource.k8s.io", "resourceslices"): self._slice,
            ("", "nodes"): _node,
            ("", "pods"): self._pod,
        }

    async def authorize(self, a: Attributes) -> Answer:
        """ALLOW, or NO_OPINION with the reason that the client reads."""
        return self.decide(a)

    def decide(self, a: Attributes) -> Answer:
        """`authorize` without the wait: everything is in memory."""
        if NODES_GROUP not in a.user.groups or not a.user.name.startswith(NODE_USER_PREFIX):
            return _no()
        node = node_name(a.user)
        if node is None:
            return _no(f"unknown node for user {quoted(a.user.name)}")
        special = self._special.get((a.api_group, a.resource)) if a.resource_request else None
        if special:
            return special(node, a)
        return _ALLOW if any(rule.allows(a) for rule in self._rules) else _no()

    def _related(self, node: str, kind: str, a: Attributes) -> Answer:
        if not a.name:
            return _no("No Object name found")
        if self._graph.reaches(node, kind, a.namespace, a.name):
            return _ALLOW
        return _no(f"no relationship found between node '{node}' and this object")

    def _get(self, node: str, kind: str, a: Attributes) -> Answer:
        if a.verb != "get":
            return _no("can only get individual resources of this type")
        if a.subresource:
            return _no("cannot get subresource")
        return self._related(node, kind, a)

    def _read_namespaced(self, node: str, kind: str, a: Attributes) -> Answer:
        if a.verb not in ("get", "list", "watch"):
            return _no("can only read resources of this type")
        if a.subresource:
            return _no("cannot read subresource")
        if not a.namespace:
            return _no("can only read namespaced object of this type")
        return self._related(node, kind, a)

    def _claim(self, node: str, a: Attributes) -> Answer:
        if a.subresource != "status":
            return self._get(node, "persistentvolumeclaim", a)
        if a.verb not in ("update", "patch"):
            return _no("can only get/update/patch this type")
        return self._related(node, "persistentvolumeclaim", a)

    def _service_account(self, node: str, a: Attributes) -> Answer:
        if a.verb == "get" and not a.subresource:
            return self._read_namespaced(node, "serviceaccount", a)
        if a.verb != "create" or not a.name:
            return _no("can only create tokens for individual service accounts")
        if a.subresource != "token":
            return _no("can only create token subresource of serviceaccount")
        return self._related(node, "serviceaccount", a)

    def _slice(self, node: str, a: Attributes) -> Answer:
        if a.subresource:
            return _no("cannot authorize ResourceSlice subresources")
        if a.verb == "create":
            return _ALLOW  # NodeRestriction looks at the object
        if a.verb in ("get", "update", "patch", "delete"):
            return self._related(node, "resourceslice", a)
        if a.verb in ("watch", "list", "deletecollection"):
            if selects(a.field_selector, "spec.nodeName", node):
                return _ALLOW
            return _no("can only list/watch/deletecollection resourceslices with nodeName field selector")
        return _no(
            "only the following verbs are allowed for a ResourceSlice: "
            "get, watch, list, create, update, patch, delete, deletecollection"
        )

    def _pod(self, node: str, a: Attributes) -> Answer:
        if a.subresource == "":
            if a.verb == "get":
                return self._get(node, "pod", a)
            if a.verb in ("list", "watch"):
                if selects(a.field_selector, "spec.nodeName", node):
                    return _ALLOW
                if a.name:
                    return self._related(node, "pod", a)
                return _no("can only list/watch pods with spec.nodeName field selector")
            if a.verb in ("create", "delete"):
                return _ALLOW  # of mirror pods: NodeRestriction looks at the object
        return _ALLOW if (a.subresource, a.verb) in _POD_SUBRESOURCES else _no()


def _lease(node: str, a: Attributes) -> Answer:
    if a.verb not in _OWN_VERBS:
        return _no("can only get, create, update, patch, or delete a node lease")
    if a.namespace != LEASE_NAMESPACE:
        return _no(f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
    if a.verb != "create" and a.name != node:
        return _no("can only access node lease with the same name as the requesting node")
    return _ALLOW


def _csi_node(node: str, a: Attributes) -> Answer:
    if a.verb not in _OWN_VERBS:
        return _no("can only get, create, update, patch, or delete a CSINode")
    if a.subresource:
        return _no("cannot authorize CSINode subresources")
    if a.verb != "create" and a.name != node:
        return _no("can only access CSINode with the same name as the requesting node")
    return _ALLOW


def _node(node: str, a: Attributes) -> Answer:
    if a.subresource == "":
        if a.verb in ("create", "update", "patch"):
            return _ALLOW  # NodeRestriction looks at the object
        if a.verb in ("get", "list", "watch"):
            if a.name == node:
                return _ALLOW
            if not a.name:
                return _no(f"node '{node}' cannot read all nodes, only its own Node object")
            return _no(f"node '{node}' cannot read '{a.name}', only its own Node object")
    elif a.subresource == "status" and a.verb in ("update", "patch"):
        return _ALLOW
    return _no()


def selects(field_selector: str, field: str, value: str) -> bool:
    """Whether the selector demands `field=value` (or `==`)."""
    terms = (term.strip() for term in field_selector.split(","))
    return any(term in (f"{field}={value}", f"{field}=={value}") for term in terms)
