"""Each small plugin: what it changes, what it refuses, in which words."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from workshop.api.errors import ApiError
from workshop.api.scheduling.pod_resources import of_pod
from workshop.apiserver.admission import plugins
from workshop.apiserver.admission.certificates import CertificateApproval, CertificateSubjectRestriction
from workshop.apiserver.admission.default_ingress_class import DefaultIngressClass
from workshop.apiserver.admission.default_toleration_seconds import DefaultTolerationSeconds
from workshop.apiserver.admission.limit_ranger import LimitRanger
from workshop.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from workshop.apiserver.admission.node_restriction import NodeRestriction
from workshop.apiserver.admission.node_taint import TaintNodesByCondition
from workshop.apiserver.admission.pod_topology_labels import PodTopologyLabels
from workshop.apiserver.admission.priority import Priority
from workshop.apiserver.admission.runtime_class import RuntimeClass
from workshop.apiserver.admission.service_account import MOUNT_PATH, ServiceAccount
from workshop.apiserver.admission.storage import (
    DefaultStorageClass,
    PersistentVolumeClaimResize,
    StorageObjectInUseProtection,
)
from workshop.apiserver.interfaces import UserInfo

NODE = UserInfo("system:node:n1", groups=("system:nodes",))


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "c"}], **spec}}


async def refused(plugin: Any, request: Any, method: str = "admit") -> str:
    assert plugin.sees(request)
    with pytest.raises(ApiError) as e:
        await getattr(plugin, method)(request)
    return e.value.message


async def test_namespace_must_exist_and_live(context: Any, request_for: Any) -> None:
    plugin = NamespaceLifecycle(context)
    assert await refused(plugin, request_for("pods", pod())) == 'namespaces "default" not found'
    context.add("namespaces", "default", status={"phase": "Active"})
    await plugin.admit(request_for("pods", pod()))
    context.add("namespaces", "default", status={"phase": "Terminating"})
    assert await refused(plugin, request_for("pods", pod())) == (
        'pods "web" is forbidden: unable to create new content in namespace default because it is being terminated'
    )
    await plugin.admit(request_for("pods", pod(), "UPDATE"))
    await plugin.admit(request_for("localsubjectaccessreviews", {}, namespace="nowhere"))


async def test_terminating_namespace_names_its_cause(context: Any, request_for: Any) -> None:
    context.add("namespaces", "default", status={"phase": "Terminating"})
    with pytest.raises(ApiError) as e:
        await NamespaceLifecycle(context).admit(request_for("configmaps", {"metadata": {"generateName": "x-"}}))
    assert e.value.message.startswith('configmaps "x-" is forbidden')
    assert e.value.causes[0]["reason"] == "NamespaceTerminating"


async def test_immortal_namespaces(context: Any, request_for: Any) -> None:
    request = request_for("namespaces", {}, "DELETE", name="kube-system")
    assert await refused(NamespaceLifecycle(context), request) == (
        'namespaces "kube-system" is forbidden: this namespace may not be deleted'
    )


async def test_default_account_and_token_volume(context: Any, request_for: Any) -> None:
    context.add("serviceaccounts", "default", "default", imagePullSecrets=[{"name": "pull"}])
    obj = pod(initContainers=[{"name": "i", "volumeMounts": [{"name": "own", "mountPath": MOUNT_PATH}]}])
    request = request_for("pods", obj)
    await ServiceAccount(context).admit(request)
    spec = obj["spec"]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    (volume,) = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-") and len(volume["name"]) == len("kube-api-access-xxxxx")
    assert volume["projected"]["sources"][0]["serviceAccountToken"] == {"expirationSeconds": 3607, "path": "token"}
    mount = {"name": volume["name"], "readOnly": True, "mountPath": MOUNT_PATH}
    assert spec["containers"][0]["volumeMounts"] == [mount]
    assert [m["name"] for m in spec["initContainers"][0]["volumeMounts"]] == ["own"]
    await ServiceAccount(context).validate(request)


@pytest.mark.parametrize(
    ("pods_word", "accounts_word", "mounted"), [(None, False, False), (True, False, True), (False, None, False)]
)
async def test_automount(context: Any, request_for: Any, pods_word: Any, accounts_word: Any, mounted: bool) -> None:
    context.add("serviceaccounts", "default", "default", automountServiceAccountToken=accounts_word)
    obj = pod() if pods_word is None else pod(automountServiceAccountToken=pods_word)
    await ServiceAccount(context).admit(request_for("pods", obj))
    assert ("volumes" in obj["spec"]) == mounted


async def test_pod_without_its_account(context: Any, request_for: Any) -> None:
    request = request_for("pods", pod(serviceAccountName="bot"))
    assert await refused(ServiceAccount(context), request) == (
        'pods "web" is forbidden: error looking up service account default/bot: serviceaccount "bot" not found'
    )


async def test_default_account_is_waited_for(context: Any, request_for: Any) -> None:
    context.clock.on_sleep = lambda: context.add("serviceaccounts", "default", "default")
    await ServiceAccount(context).admit(request_for("pods", pod()))
    assert context.clock.time > 1_800_000_000.0


async def test_mirror_pod_may_not_name_an_account(context: Any, request_for: Any) -> None:
    obj = pod(serviceAccountName="default")
    obj["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    message = await refused(ServiceAccount(context), request_for("pods", obj), "validate")
    assert message.endswith("a mirror pod may not reference service accounts")


async def test_mountable_secrets_when_enforced(context: Any, request_for: Any) -> None:
    enforced = {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}
    context.add("serviceaccounts", "bot", "default", metadata=enforced, secrets=[{"name": "mine"}])
    volumes = [{"name": "v", "secret": {"secretName": "other"}}]
    request = request_for("pods", pod(serviceAccountName="bot", volumes=volumes))
    assert 'volume with secret.secretName="other" is not allowed' in await refused(
        ServiceAccount(context), request, "validate"
    )


async def test_new_node_is_not_ready(context: Any, request_for: Any) -> None:
    node: dict[str, Any] = {"metadata": {"name": "n1"}}
    for _ in range(2):
        await TaintNodesByCondition(context).admit(request_for("nodes", node))
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


async def test_default_tolerations(context: Any, request_for: Any) -> None:
    obj = pod(tolerations=[{"key": "node.kubernetes.io/unreachable", "operator": "Exists"}])
    await DefaultTolerationSeconds(context).admit(request_for("pods", obj))
    assert [t["key"] for t in obj["spec"]["tolerations"]] == [
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/not-ready",
    ]
    assert obj["spec"]["tolerations"][1]["tolerationSeconds"] == 300
    everything = pod(tolerations=[{"operator": "Exists"}])
    await DefaultTolerationSeconds(context).admit(request_for("pods", everything))
    assert len(everything["spec"]["tolerations"]) == 1


async def test_priority(context: Any, request_for: Any) -> None:
    plugin = Priority(context)
    plain = pod()
    await plugin.admit(request_for("pods", plain))
    assert (plain["spec"]["priority"], plain["spec"]["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    assert "priorityClassName" not in plain["spec"]
    context.add("priorityclasses", "high", value=100, preemptionPolicy="Never", globalDefault=True)
    default = pod()
    await plugin.admit(request_for("pods", default))
    assert {k: default["spec"][k] for k in ("priority", "preemptionPolicy", "priorityClassName")} == {
        "priority": 100, "preemptionPolicy": "Never", "priorityClassName": "high",
    }  # fmt: skip
    assert (await refused(plugin, request_for("pods", pod(priorityClassName="x")))).endswith(
        "no PriorityClass with name x was found"
    )
    assert "the integer value of priority (7) must not be provided" in await refused(
        plugin, request_for("pods", pod(priority=7))
    )
    second = {"metadata": {"name": "low"}, "value": 1, "globalDefault": True}
    assert (await refused(plugin, request_for("priorityclasses", second), "validate")).endswith(
        "PriorityClass high is already marked as default. Only one default can exist"
    )


async def test_default_storage_class_is_the_newest(context: Any, request_for: Any) -> None:
    mark = {"storageclass.kubernetes.io/is-default-class": "true"}
    for name, created in (("old", "2026-01-01T00:00:00Z"), ("new", "2026-02-01T00:00:00Z")):
        context.add("storageclasses", name, metadata={"annotations": mark, "creationTimestamp": created})
    claim: dict[str, Any] = {"metadata": {"name": "c"}, "spec": {}}
    await DefaultStorageClass(context).admit(request_for("persistentvolumeclaims", claim))
    assert claim["spec"]["storageClassName"] == "new"
    none: dict[str, Any] = {"metadata": {"name": "c"}, "spec": {"storageClassName": ""}}
    await DefaultStorageClass(context).admit(request_for("persistentvolumeclaims", none))
    assert none["spec"]["storageClassName"] == ""


async def test_protection_finalizers(context: Any, request_for: Any) -> None:
    claim: dict[str, Any] = {"metadata": {"name": "c"}}
    for _ in range(2):
        await StorageObjectInUseProtection(context).admit(request_for("persistentvolumeclaims", claim))
    assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]


async def test_claims_grow_only_where_the_class_says_so(context: Any, request_for: Any) -> None:
    def claim(size: str) -> dict[str, Any]:
        spec = {"storageClassName": "fast", "resources": {"requests": {"storage": size}}}
        return {"metadata": {"name": "c"}, "spec": spec, "status": {"phase": "Bound"}}

    plugin = PersistentVolumeClaimResize(context)
    grow = request_for("persistentvolumeclaims", claim("2Gi"), "UPDATE", old=claim("1Gi"))
    assert "must support resize" in await refused(plugin, grow, "validate")
    context.add("storageclasses", "fast", allowVolumeExpansion=True)
    await plugin.validate(grow)
    unbound = {**claim("1Gi"), "status": {}}
    pending = request_for("persistentvolumeclaims", claim("2Gi"), "UPDATE", old=unbound)
    assert "Only bound persistent volume claims can be expanded" in await refused(plugin, pending, "validate")


async def test_default_ingress_class(context: Any, request_for: Any) -> None:
    mark = {"annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}
    context.add("ingressclasses", "nginx", metadata=mark)
    ingress: dict[str, Any] = {"metadata": {"name": "i"}}
    await DefaultIngressClass(context).admit(request_for("ingresses", ingress))
    assert ingress["spec"]["ingressClassName"] == "nginx"


async def test_runtime_class(context: Any, request_for: Any) -> None:
    plugin = RuntimeClass(context)
    assert await refused(plugin, request_for("pods", pod(runtimeClassName="vm"))) == (
        'pods "web" is forbidden: pod rejected: RuntimeClass "vm" not found'
    )
    context.add(
        "runtimeclasses", "vm", overhead={"podFixed": {"cpu": "100m"}},
        scheduling={"nodeSelector": {"kind": "vm"}, "tolerations": [{"key": "vm"}]},
    )  # fmt: skip
    obj = pod(runtimeClassName="vm", nodeSelector={"zone": "a"})
    request = request_for("pods", obj)
    await plugin.admit(request)
    await plugin.validate(request)
    assert obj["spec"]["overhead"] == {"cpu": "100m"}
    assert obj["spec"]["nodeSelector"] == {"zone": "a", "kind": "vm"}
    assert obj["spec"]["tolerations"] == [{"key": "vm"}]
    alone = request_for("pods", pod(overhead={"cpu": "1"}))
    assert "Pod Overhead set without corresponding RuntimeClass" in await refused(plugin, alone, "validate")


async def test_topology_labels(context: Any, request_for: Any) -> None:
    context.add("nodes", "n1", metadata={"labels": {"topology.kubernetes.io/zone": "a", "x": "y"}})
    binding: dict[str, Any] = {"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "n1"}}
    await PodTopologyLabels(context).admit(request_for("pods", binding, subresource="binding"))
    assert binding["metadata"]["labels"] == {"topology.kubernetes.io/zone": "a"}


def signing_request(name: str, *groups: str) -> str:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, g) for g in groups]
    subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    signed = request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()


async def test_approval_needs_the_signers_leave(context: Any, request_for: Any) -> None:
    stored = {"metadata": {"name": "r"}, "spec": {"signerName": "example.com/app"}}
    request = request_for("certificatesigningrequests", dict(stored), "UPDATE", old=stored, subresource="approval")
    plugin = CertificateApproval(context)
    assert (await refused(plugin, request, "validate")).endswith(
        'user not permitted to approve requests with signerName "example.com/app"'
    )
    context.authorizer.allowed = {"approve signers example.com/*"}
    await plugin.validate(request)


async def test_nobody_becomes_a_master_by_certificate(context: Any, request_for: Any) -> None:
    def asking(*groups: str) -> Any:
        spec = {"signerName": "kubernetes.io/kube-apiserver-client", "request": signing_request("jane", *groups)}
        return request_for("certificatesigningrequests", {"metadata": {"name": "r"}, "spec": spec})

    plugin = CertificateSubjectRestriction(context)
    await plugin.validate(asking("developers"))
    assert (await refused(plugin, asking("system:masters"), "validate")).endswith(
        "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
    )


async def test_limit_defaults_and_bounds(context: Any, request_for: Any) -> None:
    limits = [
        {
            "type": "Container",
            "default": {"cpu": "500m"},
            "defaultRequest": {"cpu": "100m"},
            "max": {"cpu": "1"},
            "min": {"cpu": "50m"},
        }
    ]
    context.add("limitranges", "lr", "default", spec={"limits": limits})
    plugin = LimitRanger(context)
    obj = pod()
    request = request_for("pods", obj)
    await plugin.admit(request)
    await plugin.validate(request)
    assert obj["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "100m"}, "limits": {"cpu": "500m"}}
    assert obj["metadata"]["annotations"] == {
        "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    }
    big = pod(containers=[{"name": "c", "resources": {"requests": {"cpu": "10m"}, "limits": {"cpu": "2"}}}])
    assert await refused(plugin, request_for("pods", big), "validate") == (
        'pods "web" is forbidden: [minimum cpu usage per Container is 50m, but request is 10m, '
        "maximum cpu usage per Container is 1, but limit is 2]"
    )
    assert not plugin.sees(request_for("pods", pod(), "UPDATE"))


def test_resources_of_a_whole_pod() -> None:
    def container(cpu: str, **more: Any) -> dict[str, Any]:
        return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}

    whole = pod(
        containers=[container("100m"), container("200m")],
        initContainers=[container("50m", restartPolicy="Always"), container("400m")],
        overhead={"cpu": "10m"},
    )
    # while the second init container runs: 50m + 400m; later: 100m + 200m + 50m
    assert str(of_pod(whole, "requests")["cpu"]) == "460m"


def status_of(node: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"nodeName": node}, "status": status}


async def test_node_writes_status_of_its_own_pods(context: Any, request_for: Any) -> None:
    plugin = NodeRestriction(context)

    def update(node: str) -> Any:
        return request_for(
            "pods", status_of(node, phase="Running"), "UPDATE", old=status_of(node), subresource="status", user=NODE
        )

    await plugin.admit(update("n1"))
    assert (await refused(plugin, update("n2"))).endswith(
        'node "n1" can only update pod status for pods with spec.nodeName set to itself'
    )
    await plugin.admit(request_for("pods", status_of("n2"), "UPDATE", old=status_of("n2"), subresource="status"))


async def test_node_deletes_its_own_pods_and_makes_only_mirrors(context: Any, request_for: Any) -> None:
    plugin = NodeRestriction(context)
    context.add("pods", "mine", "default", spec={"nodeName": "n1"})
    context.add("pods", "theirs", "default", spec={"nodeName": "n2"})
    await plugin.admit(request_for("pods", {}, "DELETE", name="mine", user=NODE))
    assert "can only delete pods" in await refused(plugin, request_for("pods", {}, "DELETE", name="theirs", user=NODE))
    assert (await refused(plugin, request_for("pods", pod(nodeName="n1"), user=NODE))).endswith(
        'pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods'
    )
    context.add("nodes", "n1", metadata={"uid": "u1"})
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u1", "controller": True}
    mirror = pod(nodeName="n1")
    mirror["metadata"] |= {"annotations": {"kubernetes.io/config.mirror": "x"}, "ownerReferences": [owner]}
    await plugin.admit(request_for("pods", mirror, user=NODE))
    owner["uid"] = "other"
    assert "UID mismatch" in await refused(plugin, request_for("pods", mirror, user=NODE))


async def test_node_and_its_labels_and_taints(context: Any, request_for: Any) -> None:
    plugin = NodeRestriction(context)

    def node(**metadata: Any) -> dict[str, Any]:
        return {"metadata": {"name": "n1", **metadata}}

    await plugin.admit(request_for("nodes", node(labels={"kubernetes.io/hostname": "n1", "team": "a"}), user=NODE))
    assert (
        await refused(plugin, request_for("nodes", node(labels={"node-restriction.kubernetes.io/x": "y"}), user=NODE))
    ).endswith('node "n1" is not allowed to set the following labels: node-restriction.kubernetes.io/x')
    other = request_for("nodes", {"metadata": {"name": "n2"}}, user=NODE)
    assert 'node "n1" is not allowed to modify node "n2"' in await refused(plugin, other)
    tainted = {**node(), "spec": {"taints": [{"key": "x"}]}}
    assert "is not allowed to modify taints" in await refused(
        plugin, request_for("nodes", tainted, "UPDATE", old=node(), user=NODE)
    )


async def test_nodes_tokens_are_bound_to_its_pods(context: Any, request_for: Any) -> None:
    plugin = NodeRestriction(context)
    volumes = [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]
    context.add("pods", "web", "default", metadata={"uid": "u"}, spec={"nodeName": "n1", "volumes": volumes})

    def token(**spec: Any) -> Any:
        return request_for("serviceaccounts", {"spec": spec}, subresource="token", user=NODE, name="bot")

    bound = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u"}
    await plugin.admit(token(boundObjectRef=bound))
    assert "not bound to a pod" in await refused(plugin, token())
    assert "without a uid" in await refused(plugin, token(boundObjectRef={**bound, "uid": ""}))
    assert 'audience "vault" not found in pod spec volume' in await refused(
        plugin, token(boundObjectRef=bound, audiences=["vault"])
    )
    context.objects["pods", "default", "web"]["spec"]["nodeName"] = "n2"
    assert "scheduled on a different node" in await refused(plugin, token(boundObjectRef=bound))


async def test_nodes_lease_and_certificate(context: Any, request_for: Any) -> None:
    plugin = NodeRestriction(context)
    lease = {"metadata": {"name": "n2"}}
    assert "same name as the requesting node" in await refused(
        plugin, request_for("leases", lease, namespace="kube-node-lease", user=NODE)
    )

    def asking(name: str) -> Any:
        spec = {"signerName": "kubernetes.io/kubelet-serving", "request": signing_request(name)}
        return request_for("certificatesigningrequests", {"metadata": {"name": "r"}, "spec": spec}, user=NODE)

    await plugin.admit(asking("system:node:n1"))
    assert (await refused(plugin, asking("system:node:n2"))).endswith(
        "can only create a node CSR with CN=system:node:n1"
    )


def test_the_chain_by_flags(context: Any) -> None:
    default = [p.name for p in plugins.chain(context).plugins]
    assert default[:3] == ["NamespaceLifecycle", "LimitRanger", "ServiceAccount"] and "NodeRestriction" not in default
    chosen = [p.name for p in plugins.chain(context, ["NodeRestriction"], ["LimitRanger"]).plugins]
    assert "NodeRestriction" in chosen and "LimitRanger" not in chosen
    with pytest.raises(ValueError, match="unknown admission plugin"):
        plugins.chain(context, ["Nonsense"])
