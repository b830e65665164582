"""Which rule holds for which kind. A rule adds what is wrong to an ErrorList; it takes the object, or the new and the
old one. Upstream: the strategy.go of each kind says which of its validation's functions it calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.api.validation import (
    admission_policies,
    admission_webhooks,
    apiservices,
    autoscaling,
    certificates,
    claim_statuses,
    claims,
    configuration,
    device_claims,
    device_slices,
    endpoint_slices,
    events,
    flow_control,
    ingresses,
    ip_addresses,
    job_updates,
    jobs,
    limits,
    metadata,
    network_policies,
    nodes,
    persistent_volumes,
    pod_statuses,
    pod_updates,
    pods,
    rbac,
    services,
    small_kinds,
    storage,
    workloads,
)
from workshop.api.validation.field import ErrorList

Rule = Callable[[ErrorList, Obj], None]
UpdateRule = Callable[[ErrorList, Obj, Obj], None]


def nothing(errors: ErrorList, *objects: Obj) -> None:
    """A kind, or a door of it, without rules of its own."""


ADMISSION = "admissionregistration.k8s.io"
RULES: dict[str, Rule] = {
    "pods": pods.pod,
    "podtemplates": lambda errors, obj: pods.template(errors, "template", obj.get("template") or {}),
    "replicationcontrollers": workloads.replication_controller,
    "services": services.service,
    "endpoints": services.endpoints,
    "configmaps": configuration.config_map,
    "secrets": configuration.secret,
    "namespaces": configuration.namespace,
    "nodes": nodes.node,
    "limitranges": limits.limit_range,
    "resourcequotas": limits.quota,
    "persistentvolumes": persistent_volumes.with_mount_options,
    "persistentvolumeclaims": claims.claim,
    "controllerrevisions.apps": configuration.controller_revision,
    "deployments.apps": workloads.deployment,
    "replicasets.apps": workloads.replica_set,
    "daemonsets.apps": workloads.daemon_set,
    "statefulsets.apps": workloads.stateful_set,
    "jobs.batch": jobs.job,
    "cronjobs.batch": jobs.cron_job,
    "horizontalpodautoscalers.autoscaling": autoscaling.autoscaler,
    "poddisruptionbudgets.policy": autoscaling.disruption_budget,
    "roles.rbac.authorization.k8s.io": rbac.role,
    "clusterroles.rbac.authorization.k8s.io": rbac.cluster_role,
    "rolebindings.rbac.authorization.k8s.io": rbac.role_binding,
    "clusterrolebindings.rbac.authorization.k8s.io": rbac.role_binding,
    "priorityclasses.scheduling.k8s.io": small_kinds.priority_class,
    "leases.coordination.k8s.io": small_kinds.lease,
    "runtimeclasses.node.k8s.io": small_kinds.runtime_class,
    "ingresses.networking.k8s.io": ingresses.ingress,
    "ingressclasses.networking.k8s.io": ingresses.ingress_class,
    "networkpolicies.networking.k8s.io": network_policies.network_policy,
    "ipaddresses.networking.k8s.io": ip_addresses.ip_address,
    "servicecidrs.networking.k8s.io": ip_addresses.service_cidr,
    "endpointslices.discovery.k8s.io": endpoint_slices.endpoint_slice,
    "storageclasses.storage.k8s.io": storage.storage_class,
    "volumeattributesclasses.storage.k8s.io": storage.attributes_class,
    "volumeattachments.storage.k8s.io": storage.attachment,
    "csinodes.storage.k8s.io": storage.csi_node,
    "csidrivers.storage.k8s.io": storage.csi_driver,
    "csistoragecapacities.storage.k8s.io": storage.capacity,
    "certificatesigningrequests.certificates.k8s.io": certificates.signing_request,
    "deviceclasses.resource.k8s.io": device_claims.device_class,
    "resourceclaims.resource.k8s.io": device_claims.claim,
    "resourceclaimtemplates.resource.k8s.io": device_claims.template,
    "resourceslices.resource.k8s.io": device_slices.resource_slice,
    "flowschemas.flowcontrol.apiserver.k8s.io": flow_control.flow_schema,
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": flow_control.priority_level,
    f"validatingwebhookconfigurations.{ADMISSION}": admission_webhooks.webhook_configuration,
    f"mutatingwebhookconfigurations.{ADMISSION}": admission_webhooks.webhook_configuration,
    f"validatingadmissionpolicies.{ADMISSION}": admission_policies.validating_policy,
    f"mutatingadmissionpolicies.{ADMISSION}": admission_policies.mutating_policy,
    f"validatingadmissionpolicybindings.{ADMISSION}": admission_policies.binding,
    f"mutatingadmissionpolicybindings.{ADMISSION}": admission_policies.binding,
    "apiservices.apiregistration.k8s.io": apiservices.api_service,
}

INSTEAD: dict[str, UpdateRule] = {
    "pods": pod_updates.pod_update,
    "services": services.service_update,
    "endpoints": services.endpoints_update,
    "jobs.batch": job_updates.job_update,
    "cronjobs.batch": jobs.cron_job,
    "ingresses.networking.k8s.io": lambda errors, new, old: ingresses.ingress_spec(errors, new),
    "networkpolicies.networking.k8s.io": network_policies.network_policy,
    "endpointslices.discovery.k8s.io": endpoint_slices.endpoint_slice,
    "servicecidrs.networking.k8s.io": ip_addresses.service_cidr_update,
    "volumeattributesclasses.storage.k8s.io": storage.attributes_class_update,
    "priorityclasses.scheduling.k8s.io": small_kinds.priority_class_update,
    "certificatesigningrequests.certificates.k8s.io": certificates.update,
    "deviceclasses.resource.k8s.io": device_claims.device_class,
    "resourceclaims.resource.k8s.io": device_claims.claim_update,
    "resourceslices.resource.k8s.io": device_slices.resource_slice,
}
"""On update these hold instead of the rule for creation."""

ALSO: dict[str, UpdateRule] = {
    "nodes": nodes.node_update,
    "configmaps": configuration.frozen_data,
    "secrets": configuration.secret_update,
    "persistentvolumes": persistent_volumes.persistent_volume_update,
    "persistentvolumeclaims": claims.claim_update,
    "resourcequotas": limits.quota_update,
    "controllerrevisions.apps": lambda errors, new, old: errors.immutable("data", new.get("data"), old.get("data")),
    "deployments.apps": workloads.selector_update,
    "replicasets.apps": workloads.selector_update,
    "daemonsets.apps": workloads.selector_update,
    "ipaddresses.networking.k8s.io": ip_addresses.ip_address_update,
    "resourceclaimtemplates.resource.k8s.io": device_claims.claim_update,
    "storageclasses.storage.k8s.io": storage.storage_class_update,
    "csistoragecapacities.storage.k8s.io": storage.capacity_update,
    "runtimeclasses.node.k8s.io": small_kinds.runtime_class_update,
    "ingressclasses.networking.k8s.io": ingresses.ingress_class_update,
    "volumeattachments.storage.k8s.io": storage.attachment_update,
    "csinodes.storage.k8s.io": storage.csi_node_update,
    "csidrivers.storage.k8s.io": storage.csi_driver_update,
    "rolebindings.rbac.authorization.k8s.io": rbac.role_binding_update,
    "clusterrolebindings.rbac.authorization.k8s.io": rbac.role_binding_update,
}
"""On update these hold besides it."""

STATUS: dict[str, UpdateRule] = {
    "pods": pod_statuses.pod_status,
    "resourceclaims.resource.k8s.io": claim_statuses.claim_status,
    "apiservices.apiregistration.k8s.io": apiservices.status,
    "namespaces": configuration.namespace_status,
    "nodes": nodes.node_update,
    "services": services.load_balancer_status,
    "persistentvolumeclaims": claims.claim_status,
    "resourcequotas": limits.quota_status,
    "jobs.batch": job_updates.job_status,
    "horizontalpodautoscalers.autoscaling": autoscaling.autoscaler_status,
    "poddisruptionbudgets.policy": autoscaling.budget_status,
    "ingresses.networking.k8s.io": ingresses.ingress_status,
    "volumeattachments.storage.k8s.io": storage.attachment_status,
    "certificatesigningrequests.certificates.k8s.io": lambda e, new, old: certificates.update(e, new, old, "status"),
    "flowschemas.flowcontrol.apiserver.k8s.io": flow_control.status,
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": flow_control.status,
    f"validatingadmissionpolicies.{ADMISSION}": admission_policies.policy_status,
    **{kind: workloads.counts(kind) for kind in workloads.COUNTS},
}
OTHER_DOORS: dict[tuple[str, str], UpdateRule] = {
    ("pods", "ephemeralcontainers"): pod_updates.ephemeral_update,
    ("pods", "resize"): pod_updates.resize,
    ("namespaces", "finalize"): configuration.namespace_finalize,
    ("certificatesigningrequests.certificates.k8s.io", "approval"): lambda errors, new, old: certificates.update(
        errors, new, old, "approval"
    ),
}

OWN_METADATA = {"events", "events.events.k8s.io", "poddisruptionbudgets.policy"}
"""Kinds that look at their metadata themselves, or leave it to what is asked of every object."""
AGAIN: dict[str, Rule] = {"persistentvolumes": persistent_volumes.persistent_volume}
"""Kinds of which upstream's update asks everything twice, and says it twice."""
WHOLE_ON_UPDATE = {
    "pods", "nodes", "namespaces", "limitranges", "jobs.batch", "deviceclasses.resource.k8s.io",
    "resourceclaims.resource.k8s.io", "resourceclaimtemplates.resource.k8s.io",
    "persistentvolumes", "persistentvolumeclaims", "serviceaccounts", "secrets", "configmaps", "endpoints",
    "controllerrevisions.apps", "roles.rbac.authorization.k8s.io", "clusterroles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io", "clusterrolebindings.rbac.authorization.k8s.io",
    "endpointslices.discovery.k8s.io", "ingresses.networking.k8s.io", "ingressclasses.networking.k8s.io",
    "storageclasses.storage.k8s.io", "csistoragecapacities.storage.k8s.io", "runtimeclasses.node.k8s.io",
    "ipaddresses.networking.k8s.io", "volumeattachments.storage.k8s.io", "csinodes.storage.k8s.io",
    "volumeattributesclasses.storage.k8s.io",
    "certificatesigningrequests.certificates.k8s.io", "flowschemas.flowcontrol.apiserver.k8s.io",
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io", f"validatingwebhookconfigurations.{ADMISSION}",
    f"mutatingwebhookconfigurations.{ADMISSION}", f"validatingadmissionpolicies.{ADMISSION}",
    f"mutatingadmissionpolicies.{ADMISSION}", f"validatingadmissionpolicybindings.{ADMISSION}",
    f"mutatingadmissionpolicybindings.{ADMISSION}",
}  # fmt: skip
"""Kinds whose names and prefixes are looked at on update too."""
UNCOMPARED = {
    "persistentvolumes", "limitranges", "endpointslices.discovery.k8s.io", "poddisruptionbudgets.policy", "events",
    "events.events.k8s.io", "volumeattachments.storage.k8s.io", "csinodes.storage.k8s.io",
    "flowschemas.flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
    f"validatingwebhookconfigurations.{ADMISSION}", f"mutatingwebhookconfigurations.{ADMISSION}",
    f"validatingadmissionpolicies.{ADMISSION}", f"mutatingadmissionpolicies.{ADMISSION}",
    f"validatingadmissionpolicybindings.{ADMISSION}", f"mutatingadmissionpolicybindings.{ADMISSION}",
}  # fmt: skip
"""Kinds that do not hold new metadata against the old (it is done for every object before)."""


def rules(errors: ErrorList, resource: Resource, obj: Obj) -> None:
    kind = resource.group_resource
    if kind in ("events", "events.events.k8s.io"):
        events.event(errors, resource, obj)
    else:
        RULES.get(kind, nothing)(errors, obj)


def on_update(errors: ErrorList, resource: Resource, new: Obj, old: Obj) -> None:
    kind = resource.group_resource
    if kind in ("events", "events.events.k8s.io"):
        events.event_update(errors, resource, new, old)
        return
    if kind in WHOLE_ON_UPDATE:
        metadata.metadata(errors, resource, new)
    if kind in AGAIN:
        metadata.metadata(errors, resource, new)
        AGAIN[kind](errors, new)
    if kind not in UNCOMPARED:
        metadata.metadata_update(errors, new, old)
        metadata.kinds_finalizers(errors, resource, new)
    instead: Any = INSTEAD.get(kind)
    if instead is not None:
        instead(errors, new, old)
    elif kind == "statefulsets.apps":
        workloads.stateful_set(errors, new, old)
        workloads.stateful_set_update(errors, new, old)
    else:
        RULES.get(kind, nothing)(errors, new)
    ALSO.get(kind, nothing)(errors, new, old)


def at_subresource(errors: ErrorList, resource: Resource, new: Obj, old: Obj, subresource: str) -> None:
    kind = resource.group_resource
    metadata.metadata_update(errors, new, old)
    metadata.kinds_finalizers(errors, resource, new)
    if subresource == "status":
        STATUS.get(kind, nothing)(errors, new, old)
    elif (rule := OTHER_DOORS.get((kind, subresource))) is not None:
        if subresource in ("ephemeralcontainers", "resize"):
            metadata.metadata(errors, resource, new)
        rule(errors, new, old)
