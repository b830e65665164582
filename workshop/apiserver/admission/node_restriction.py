"""NodeRestriction: a kubelet writes its own Node, its own pods' status and its own lease, nothing else.

The Node authorizer has let the request through by its address; this plugin sees the object.

Upstream: `plugin/pkg/admission/noderestriction/admission.go`.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from cryptography import x509

from workshop.api import errors, meta
from workshop.api.meta import Obj, labels, owner_references, uid
from workshop.api.resources import resource
from workshop.apiserver.admission.plugin import MIRROR_ANNOTATION, Plugin, forbidden, is_mirror
from workshop.apiserver.authentication.x509 import common_name
from workshop.apiserver.authorization.graph import pod_references
from workshop.apiserver.authorization.node import LEASE_NAMESPACE, NODE_USER_PREFIX, NODES_GROUP, node_name
from workshop.apiserver.interfaces import AdmissionRequest, Attributes, Decision

KUBELET_SIGNERS = ("kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving")
RESTRICTED = "node-restriction.kubernetes.io"
KUBELET_LABELS = frozenset(
    (
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
    )
)
KUBELET_LABEL_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")


class NodeRestriction(Plugin):
    name = "NodeRestriction"
    operations = ("CREATE", "UPDATE", "DELETE")
    subresources = ("*",)

    async def admit(self, request: AdmissionRequest) -> None:
        user = request.user
        if NODES_GROUP not in user.groups or not user.name.startswith(NODE_USER_PREFIX):
            return
        node = node_name(user)
        if node is None:
            raise forbidden(request, f"could not determine node from user {errors.quote(user.name)}")
        check = {
            "pods": self._pod,
            "nodes": self._node,
            "persistentvolumeclaims": self._claim,
            "serviceaccounts": self._token,
            "leases.coordination.k8s.io": self._lease,
            "csinodes.storage.k8s.io": self._csi_node,
            "resourceslices.resource.k8s.io": self._slice,
            "certificatesigningrequests.certificates.k8s.io": self._signing_request,
        }.get(request.resource.group_resource)
        if check is not None:
            await check(node, request)

    async def _pod(self, node: str, request: AdmissionRequest) -> None:
        kind, quoted = request.subresource, errors.quote(node)
        if kind == "" and request.operation == "CREATE":
            await self._mirror_pod(node, request)
        elif kind == "" and request.operation == "DELETE":
            if await self._node_of_pod(request, request.name) != node:
                raise forbidden(request, f"node {quoted} can only delete pods with spec.nodeName set to itself")
        elif kind == "":
            what = f'unexpected operation "{request.operation}"'
            raise forbidden(request, f"{what}, node {quoted} can only create and delete mirror pods")
        elif kind == "status" and request.operation == "UPDATE":
            refusal = status_refusal(node, request.object, request.old_object or {})
            if refusal:
                raise forbidden(request, refusal)
        elif kind == "eviction" and request.operation == "CREATE":
            if await self._node_of_pod(request, request.name) != node:
                raise forbidden(request, f"node {node} can only evict pods with spec.nodeName set to itself")
        elif kind in ("status", "eviction"):
            raise forbidden(request, f'unexpected operation "{request.operation}"')
        else:
            why = f"unexpected pod subresource {errors.quote(kind)}, only 'status' and 'eviction' are allowed"
            raise forbidden(request, why)

    async def _node_of_pod(self, request: AdmissionRequest, name: str) -> str:
        pod = await self.context.get(resource("pods"), name, request.namespace)
        if pod is None:
            raise errors.not_found("pods", name)
        return str((pod.get("spec") or {}).get("nodeName", ""))

    async def _mirror_pod(self, node: str, request: AdmissionRequest) -> None:
        refusal = mirror_refusal(node, request.object)
        if refusal:
            raise forbidden(request, refusal)
        stored = await self.context.get(resource("nodes"), node)
        if stored is None:
            raise errors.not_found("nodes", node)
        claimed = owner_references(request.object)[0].get("uid")
        if claimed != uid(stored):
            raise forbidden(request, f"node {node} UID mismatch: expected {claimed} got {uid(stored)}")

    async def _node(self, node: str, request: AdmissionRequest) -> None:
        if request.name != node:
            quoted = errors.quote(request.name)
            raise forbidden(request, f"node {errors.quote(node)} is not allowed to modify node {quoted}")
        if request.operation != "DELETE":
            refusal = node_refusal(node, request.object, request.old_object)
            if refusal:
                raise forbidden(request, refusal)

    async def _claim(self, node: str, request: AdmissionRequest) -> None:
        if request.subresource != "status":
            raise forbidden(request, "may only update PVC status")
        if request.operation != "UPDATE":
            raise forbidden(request, f'unexpected operation "{request.operation}"')
        if _claim_rest(request.object) != _claim_rest(request.old_object or {}):
            allowed = "status.quantity and status.conditions"
            raise forbidden(request, f"node {errors.quote(node)} is not allowed to update fields other than {allowed}")

    async def _token(self, node: str, request: AdmissionRequest) -> None:
        if request.operation != "CREATE" or request.subresource != "token":
            return
        spec = request.object.get("spec") or {}
        bound = spec.get("boundObjectRef") or {}
        if bound.get("apiVersion") != "v1" or bound.get("kind") != "Pod" or not bound.get("name"):
            raise forbidden(request, "node requested token not bound to a pod")
        if not bound.get("uid"):
            raise forbidden(request, "node requested token with a pod binding without a uid")
        pod = await self.context.get(resource("pods"), bound["name"], request.namespace)
        if pod is None:
            raise errors.not_found("pods", bound["name"])
        if bound["uid"] != uid(pod):
            why = "does not match the UID in record. The object might have been deleted and then recreated"
            raise forbidden(request, f"the UID in the bound object reference ({bound['uid']}) {why}")
        if (pod.get("spec") or {}).get("nodeName") != node:
            raise forbidden(request, "node requested token bound to a pod scheduled on a different node")
        await self._audience(request, spec.get("audiences") or [], pod)

    async def _audience(self, request: AdmissionRequest, audiences: list[str], pod: Obj) -> None:
        if len(audiences) > 1:
            raise forbidden(request, "node may only request 0 or 1 audiences")
        audience = audiences[0] if audiences else ""
        if audience in await self._pod_audiences(pod):
            return
        asked = Attributes(
            request.user, "request-serviceaccounts-token-audience", "", "v1", audience,
            namespace=request.namespace, name=request.name,
        )  # fmt: skip
        decision, _ = await self.context.authorizer.authorize(asked)
        if decision is not Decision.ALLOW:
            who = f"{request.user.name} is not authorized to request tokens for this audience"
            raise forbidden(request, f"audience {errors.quote(audience)} not found in pod spec volume, {who}")

    async def _pod_audiences(self, pod: Obj) -> set[str]:
        """Of projected tokens, and of the CSI drivers of inline volumes."""
        found: set[str] = set()
        for volume in (pod.get("spec") or {}).get("volumes") or ():
            for source in (volume.get("projected") or {}).get("sources") or ():
                if "serviceAccountToken" in source:
                    found.add(source["serviceAccountToken"].get("audience", ""))
            driver = (volume.get("csi") or {}).get("driver")
            if driver:
                kind = await self.context.get(resource("csidrivers.storage.k8s.io"), driver)
                requests = ((kind or {}).get("spec") or {}).get("tokenRequests") or ()
                found |= {r.get("audience", "") for r in requests}
        return found

    async def _lease(self, node: str, request: AdmissionRequest) -> None:
        if request.namespace != LEASE_NAMESPACE:
            raise forbidden(request, f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
        if _name(request) != node:
            raise forbidden(request, "can only access node lease with the same name as the requesting node")

    async def _csi_node(self, node: str, request: AdmissionRequest) -> None:
        if _name(request) != node:
            raise forbidden(request, "can only access CSINode with the same name as the requesting node")

    async def _slice(self, node: str, request: AdmissionRequest) -> None:
        if request.operation == "UPDATE":
            return
        obj = request.object if request.operation == "CREATE" else request.old_object or {}
        if (obj.get("spec") or {}).get("nodeName") != node:
            verb = request.operation.lower()
            raise forbidden(request, f"can only {verb} ResourceSlice with the same NodeName as the requesting node")

    async def _signing_request(self, node: str, request: AdmissionRequest) -> None:
        spec = request.object.get("spec") or {}
        if request.subresource or request.operation != "CREATE" or spec.get("signerName") not in KUBELET_SIGNERS:
            return
        try:
            asked = load_request(spec.get("request", ""))
        except ValueError as e:
            raise forbidden(request, f"unable to parse csr: {e}") from None
        if common_name(asked) != NODE_USER_PREFIX + node:
            raise forbidden(request, f"can only create a node CSR with CN={NODE_USER_PREFIX}{node}")


def load_request(encoded: str) -> x509.CertificateSigningRequest:
    """The request in a CertificateSigningRequest's `spec.request` (base64 of PEM). Raises ValueError."""
    return x509.load_pem_x509_csr(b64decode(encoded))


def _name(request: AdmissionRequest) -> str:
    """On creation the object's, else the address's."""
    if request.operation == "CREATE":
        return str((request.object.get("metadata") or {}).get("name", ""))
    return request.name


def mirror_refusal(node: str, pod: Obj) -> str:
    """Why a kubelet may not create this pod, "" if it may (its uid apart)."""
    quoted = errors.quote(node)
    if not is_mirror(pod):
        return f'pod does not have "{MIRROR_ANNOTATION}" annotation, node {quoted} can only create mirror pods'
    if (pod.get("spec") or {}).get("nodeName") != node:
        return f"node {quoted} can only create pods with spec.nodeName set to itself"
    owners = owner_references(pod)
    if len(owners) > 1:
        return f"node {quoted} can only create pods with a single owner reference set to itself"
    if [(o.get("apiVersion"), o.get("kind"), o.get("name")) for o in owners] != [("v1", "Node", node)]:
        return f"node {quoted} can only create pods with an owner reference set to itself"
    if not owners[0].get("controller"):
        return f"node {quoted} can only create pods with a controller owner reference set to itself"
    if owners[0].get("blockOwnerDeletion"):
        return f"node {quoted} must not set blockOwnerDeletion on an owner reference"
    referenced = next((f"{kind}s" for kind, _ in pod_references(pod)), "")
    return f"node {quoted} can not create pods that reference {referenced}" if referenced else ""


def status_refusal(node: str, new: Obj, old: Obj) -> str:
    """Why a kubelet may not write this status, "" if it may."""
    quoted = errors.quote(node)
    if (old.get("spec") or {}).get("nodeName") != node:
        return f"node {quoted} can only update pod status for pods with spec.nodeName set to itself"
    if labels(new) != labels(old):
        return f"node {quoted} cannot update labels through pod status"

    def status(pod: Obj, field: str) -> Any:
        return (pod.get("status") or {}).get(field) or None

    if status(new, "resourceClaimStatuses") != status(old, "resourceClaimStatuses"):
        return f"node {quoted} cannot update resource claim statues"
    if status(new, "extendedResourceClaimStatus") != status(old, "extendedResourceClaimStatus"):
        return f"node {quoted} cannot update extended resource claim status"
    return ""


def node_refusal(node: str, new: Obj, old: Obj | None) -> str:
    """Why a kubelet may not write its Node so, "" if it may."""
    quoted = errors.quote(node)
    spec, old_spec = new.get("spec") or {}, (old or {}).get("spec") or {}
    if old is None:
        if spec.get("configSource"):
            return f"node {quoted} is not allowed to create pods with a non-nil configSource"
        wrong = forbidden_labels(labels(new), {})
        return f"node {quoted} is not allowed to set the following labels: {', '.join(wrong)}" if wrong else ""
    if spec.get("configSource") and spec["configSource"] != old_spec.get("configSource"):
        return f"node {quoted} is not allowed to update configSource to a new non-nil configSource"
    if (spec.get("taints") or []) != (old_spec.get("taints") or []):
        return f"node {quoted} is not allowed to modify taints"
    if owner_references(new) != owner_references(old):
        return f"node {quoted} is not allowed to modify ownerReferences"
    wrong = forbidden_labels(labels(new), labels(old))
    return f"is not allowed to modify labels: {', '.join(wrong)}" if wrong else ""


def forbidden_labels(new: dict[str, str], old: dict[str, str]) -> list[str]:
    """The changed labels by which a node could draw workloads to itself."""
    changed = {key for key in {*new, *old} if new.get(key) != old.get(key)}
    return sorted(key for key in changed if _forbidden_label(key))


def _forbidden_label(key: str) -> bool:
    domain = key.split("/", 1)[0] if "/" in key else ""

    def within(parent: str) -> bool:
        return domain == parent or domain.endswith("." + parent)

    if within(RESTRICTED):
        return True
    kubelets = key in KUBELET_LABELS or any(within(d) for d in KUBELET_LABEL_DOMAINS)
    return (within("kubernetes.io") or within("k8s.io")) and not kubelets


def _claim_rest(claim: Obj) -> Obj:
    """A claim without what a kubelet may write."""
    own = ("capacity", "conditions", "allocatedResourceStatuses", "allocatedResources")
    metadata = {k: v for k, v in claim.get("metadata", {}).items() if k not in ("resourceVersion", "managedFields")}
    metadata["annotations"] = meta.annotations(claim)
    return {
        **claim,
        "metadata": metadata,
        "status": {k: v for k, v in (claim.get("status") or {}).items() if k not in own},
    }
