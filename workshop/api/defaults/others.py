"""Defaults of the other groups. Upstream: pkg/apis/{networking,discovery,storage,rbac,…}/v1/defaults.go,
apiextensions-apiserver and kube-aggregator."""

from __future__ import annotations

from typing import Any

from workshop.api.defaults.walk import defaults_of, fill, fill_unset

RBAC = "rbac.authorization.k8s.io"


@defaults_of("networking.v1.NetworkPolicyPort")
def network_policy_port(obj: dict[str, Any]) -> None:
    fill_unset(obj, protocol="TCP")


@defaults_of("networking.v1.NetworkPolicySpec")
def network_policy_spec(obj: dict[str, Any]) -> None:
    fill(obj, policyTypes=["Ingress", "Egress"] if obj.get("egress") else ["Ingress"])


@defaults_of("networking.v1.IngressClassParametersReference")
def ingress_class_parameters(obj: dict[str, Any]) -> None:
    fill_unset(obj, scope="Cluster")


@defaults_of("discovery.v1.EndpointPort")
def endpoint_port(obj: dict[str, Any]) -> None:
    fill_unset(obj, name="", protocol="TCP")


@defaults_of("storage.v1.StorageClass")
def storage_class(obj: dict[str, Any]) -> None:
    fill_unset(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


@defaults_of("storage.v1.CSIDriverSpec")
def csi_driver(obj: dict[str, Any]) -> None:
    fill_unset(obj, attachRequired=True, podInfoOnMount=False, storageCapacity=False, requiresRepublish=False)
    fill_unset(obj, fsGroupPolicy="ReadWriteOnceWithFSType", seLinuxMount=False)
    fill(obj, volumeLifecycleModes=["Persistent"])


@defaults_of("rbac.v1.RoleRef")
def role_ref(obj: dict[str, Any]) -> None:
    fill(obj, apiGroup=RBAC)


@defaults_of("rbac.v1.Subject")
def subject(obj: dict[str, Any]) -> None:
    if obj.get("kind") in ("User", "Group"):
        fill(obj, apiGroup=RBAC)


@defaults_of("admissionregistration.v1.ValidatingWebhook", "admissionregistration.v1.MutatingWebhook")
def webhook(obj: dict[str, Any]) -> None:
    fill_unset(obj, failurePolicy="Fail", timeoutSeconds=10)
    match_resources(obj)


@defaults_of("admissionregistration.v1.MutatingWebhook")
def mutating_webhook(obj: dict[str, Any]) -> None:
    fill_unset(obj, reinvocationPolicy="Never")


@defaults_of("admissionregistration.v1.MatchResources")
def match_resources(obj: dict[str, Any]) -> None:
    fill_unset(obj, matchPolicy="Equivalent", namespaceSelector={}, objectSelector={})


@defaults_of("admissionregistration.v1.Rule")
def rule(obj: dict[str, Any]) -> None:
    fill_unset(obj, scope="*")


@defaults_of(
    "admissionregistration.v1.ServiceReference",
    "apiextensions.v1.ServiceReference",
    "apiregistration.v1.ServiceReference",
)
def service_reference(obj: dict[str, Any]) -> None:
    fill_unset(obj, port=443)


@defaults_of(
    "admissionregistration.v1.ValidatingAdmissionPolicySpec", "admissionregistration.v1.MutatingAdmissionPolicySpec"
)
def admission_policy(obj: dict[str, Any]) -> None:
    fill_unset(obj, failurePolicy="Fail")


@defaults_of("scheduling.v1.PriorityClass")
def priority_class(obj: dict[str, Any]) -> None:
    fill_unset(obj, preemptionPolicy="PreemptLowerPriority")


@defaults_of("flowcontrol.v1.FlowSchemaSpec")
def flow_schema(obj: dict[str, Any]) -> None:
    fill(obj, matchingPrecedence=1000)


@defaults_of("flowcontrol.v1.ExemptPriorityLevelConfiguration")
def exempt_priority_level(obj: dict[str, Any]) -> None:
    fill_unset(obj, nominalConcurrencyShares=0, lendablePercent=0)


@defaults_of("flowcontrol.v1.LimitedPriorityLevelConfiguration")
def limited_priority_level(obj: dict[str, Any]) -> None:
    fill_unset(obj, nominalConcurrencyShares=30, lendablePercent=0)


@defaults_of("flowcontrol.v1.QueuingConfiguration")
def queuing(obj: dict[str, Any]) -> None:
    fill(obj, handSize=8, queues=64, queueLengthLimit=50)


@defaults_of("resource.v1.ExactDeviceRequest", "resource.v1.DeviceSubRequest")
def device_request(obj: dict[str, Any]) -> None:
    fill(obj, allocationMode="ExactCount")
    if obj["allocationMode"] == "ExactCount":
        fill(obj, count=1)


@defaults_of("apiextensions.v1.CustomResourceDefinition")
def custom_resource_definition(obj: dict[str, Any]) -> None:
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    kind = names.get("kind", "")
    fill(names, singular=kind.lower())
    if kind:
        fill(names, listKind=kind + "List")
    fill_unset(spec, conversion={"strategy": "None"})
    stored = [version["name"] for version in spec.get("versions") or [] if version.get("storage")]
    if stored:
        fill(obj.setdefault("status", {}), storedVersions=stored[:1])
