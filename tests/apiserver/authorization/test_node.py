"""The Node authorizer: what a kubelet sees follows from the pods bound to its node."""

from __future__ import annotations

from typing import Any

import pytest

from workshop.apiserver.authorization.graph import ReferenceGraph
from workshop.apiserver.authorization.node import NodeAuthorizer, selects
from workshop.apiserver.interfaces import Attributes, Decision, UserInfo

NODE = UserInfo("system:node:n1", groups=("system:nodes",))
OTHER = UserInfo("system:node:n2", groups=("system:nodes",))
RULES = [{"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]}]


def pod(name: str = "web", node: str = "n1", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "default", "name": name, **metadata},
        "spec": {
            "nodeName": node,
            "serviceAccountName": "bot",
            "imagePullSecrets": [{"name": "pull"}],
            "containers": [
                {
                    "name": "c",
                    "envFrom": [{"configMapRef": {"name": "env"}}],
                    "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}],
                }
            ],
            "volumes": [
                {"name": "s", "secret": {"secretName": "tls"}},
                {"name": "p", "projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]}},
                {"name": "d", "persistentVolumeClaim": {"claimName": "data"}},
            ],
        },
    }


def authorizer(*pods: dict[str, Any]) -> tuple[NodeAuthorizer, ReferenceGraph]:
    graph = ReferenceGraph()
    for each in pods:
        graph.put("pods", each)
    return NodeAuthorizer(graph, RULES), graph


def get(who: UserInfo, resource: str, name: str, **more: str) -> Attributes:
    fields: dict[str, Any] = {"verb": "get", "namespace": "default", **more}
    return Attributes(who, resource=resource, name=name, **fields)


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        ("secrets", "pull"),
        ("secrets", "key"),
        ("secrets", "tls"),
        ("configmaps", "env"),
        ("configmaps", "kube-root-ca.crt"),
        ("persistentvolumeclaims", "data"),
        ("serviceaccounts", "bot"),
        ("pods", "web"),
    ],
)
def test_node_reads_what_its_pod_refers_to_and_no_other_node_does(resource: str, name: str) -> None:
    node, graph = authorizer(pod())
    assert node.decide(get(NODE, resource, name))[0] is Decision.ALLOW
    refusal = (Decision.NO_OPINION, "no relationship found between node 'n2' and this object")
    assert node.decide(get(OTHER, resource, name)) == refusal
    assert node.decide(get(NODE, resource, name, namespace="kube-system"))[0] is Decision.NO_OPINION
    graph.remove("pods", pod())
    assert node.decide(get(NODE, resource, name))[0] is Decision.NO_OPINION


def test_shared_secret_stays_readable_while_one_pod_refers_to_it() -> None:
    node, graph = authorizer(pod("a"), pod("b"))
    graph.remove("pods", pod("a"))
    assert node.decide(get(NODE, "secrets", "tls"))[0] is Decision.ALLOW


def test_a_mirror_pod_gives_its_node_nothing() -> None:
    node, _ = authorizer(pod(annotations={"kubernetes.io/config.mirror": "x"}))
    assert node.decide(get(NODE, "secrets", "tls"))[0] is Decision.NO_OPINION
    assert node.decide(get(NODE, "pods", "web"))[0] is Decision.ALLOW


def test_volume_and_its_secret_through_the_claim() -> None:
    node, graph = authorizer(pod())
    volume = {
        "metadata": {"name": "pv-7"},
        "spec": {
            "claimRef": {"namespace": "default", "name": "data"},
            "csi": {"nodePublishSecretRef": {"namespace": "csi", "name": "creds"}},
        },
    }
    graph.put("persistentvolumes", volume)
    assert node.decide(get(NODE, "persistentvolumes", "pv-7", namespace=""))[0] is Decision.ALLOW
    assert node.decide(get(NODE, "secrets", "creds", namespace="csi"))[0] is Decision.ALLOW
    assert node.decide(get(OTHER, "secrets", "creds", namespace="csi"))[0] is Decision.NO_OPINION


def test_tokens_only_for_accounts_of_its_pods() -> None:
    node, _ = authorizer(pod())
    assert node.decide(get(NODE, "serviceaccounts", "bot", verb="create", subresource="token"))[0] is Decision.ALLOW
    assert (
        node.decide(get(NODE, "serviceaccounts", "boss", verb="create", subresource="token"))[0] is not Decision.ALLOW
    )


def test_own_node_and_lease() -> None:
    node, _ = authorizer()
    assert node.decide(get(NODE, "nodes", "n1", namespace=""))[0] is Decision.ALLOW
    assert node.decide(get(NODE, "nodes", "n2", namespace="")) == (
        Decision.NO_OPINION,
        "node 'n1' cannot read 'n2', only its own Node object",
    )
    lease = {"api_group": "coordination.k8s.io", "namespace": "kube-node-lease", "verb": "update"}
    assert node.decide(get(NODE, "leases", "n1", **lease))[0] is Decision.ALLOW
    assert node.decide(get(NODE, "leases", "n2", **lease))[0] is Decision.NO_OPINION
    assert node.decide(get(NODE, "leases", "n1", **{**lease, "namespace": "default"}))[1] == (
        'can only access leases in the "kube-node-lease" system namespace'
    )


def test_pods_by_its_own_field_selector() -> None:
    node, _ = authorizer()
    listing = Attributes(NODE, "list", resource="pods", field_selector="spec.nodeName=n1")
    assert node.decide(listing)[0] is Decision.ALLOW
    assert (
        node.decide(Attributes(NODE, "list", resource="pods", field_selector="spec.nodeName=n2"))[0]
        is not Decision.ALLOW
    )
    assert node.decide(Attributes(NODE, "list", resource="pods"))[1] == (
        "can only list/watch pods with spec.nodeName field selector"
    )


def test_other_resources_by_the_static_rules_and_others_users_not_at_all() -> None:
    node, _ = authorizer()
    assert node.decide(Attributes(NODE, "list", resource="services"))[0] is Decision.ALLOW
    assert node.decide(Attributes(NODE, "create", resource="services"))[0] is Decision.NO_OPINION
    assert node.decide(Attributes(UserInfo("jane"), "list", resource="services"))[0] is Decision.NO_OPINION
    nameless = UserInfo("system:node:", groups=("system:nodes",))
    assert node.decide(Attributes(nameless, "list", resource="services"))[1] == 'unknown node for user "system:node:"'


def test_selects() -> None:
    assert selects("a=b, spec.nodeName==n1", "spec.nodeName", "n1")
    assert not selects("spec.nodeName!=n1", "spec.nodeName", "n1")
