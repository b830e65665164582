"""Which rule holds for which kind. A rule adds what is wrong to an ErrorList; it takes the object, or the new and the
old one. Upstream: the strategy.go of each kind says which of its validation's functions it calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.api.validation import (
    admission,
    autoscaling,
    claims,
    configuration,
    events,
    job_updates,
    jobs,
    limits,
    metadata,
    nodes,
    others,
    persistent_volumes,
    pod_updates,
    pods,
    rbac,
    services,
    workloads,
)
from workshop.api.validation.field import ErrorList

Rule = Callable[[ErrorList, Obj], None]
UpdateRule = Callable[[ErrorList, Obj, Obj], None]


def nothing(errors: ErrorList, *objects: Obj) -> None:
    """A kind, or a door of it, without rules of its own."""


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
    "persistentvolumes": persistent_volumes.persistent_volume,
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
    "storageclasses.storage.k8s.io": others.storage_class,
    "priorityclasses.scheduling.k8s.io": others.priority_class,
    "leases.coordination.k8s.io": others.lease,
    "ingresses.networking.k8s.io": others.ingress,
    "networkpolicies.networking.k8s.io": others.network_policy,
    "endpointslices.discovery.k8s.io": others.endpoint_slice,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": admission.configuration,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": admission.configuration,
    "mutatingadmissionpolicies.admissionregistration.k8s.io": admission.mutating_policy,
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": admission.binding,
    "validatingadmissionpolicies.admissionregistration.k8s.io": admission.policy,
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": admission.binding,
}

INSTEAD: dict[str, UpdateRule] = {
    "pods": pod_updates.pod_update,
    "services": services.service_update,
    "endpoints": services.endpoints_update,
    "nodes": nodes.node_update,
    "jobs.batch": job_updates.job_update,
    "cronjobs.batch": jobs.cron_job,
    "namespaces": nothing,
}
"""On update these hold instead of the rule for creation."""

ALSO: dict[str, UpdateRule] = {
    "configmaps": configuration.frozen_data,
    "secrets": configuration.secret_update,
    "persistentvolumes": persistent_volumes.persistent_volume_update,
    "persistentvolumeclaims": claims.claim_update,
    "resourcequotas": limits.quota_update,
    "controllerrevisions.apps": lambda errors, new, old: errors.immutable("data", new.get("data"), old.get("data")),
    "deployments.apps": workloads.selector_update,
    "replicasets.apps": workloads.selector_update,
    "daemonsets.apps": workloads.selector_update,
    "rolebindings.rbac.authorization.k8s.io": rbac.role_binding_update,
    "clusterrolebindings.rbac.authorization.k8s.io": rbac.role_binding_update,
}
"""On update these hold besides it."""

STATUS: dict[str, UpdateRule] = {
    "pods": pod_updates.pod_status,
    "namespaces": configuration.namespace_status,
    "nodes": nodes.node_update,
    "services": services.load_balancer_status,
    "persistentvolumeclaims": claims.claim_status,
    "resourcequotas": limits.quota_status,
    "jobs.batch": job_updates.job_status,
    "horizontalpodautoscalers.autoscaling": autoscaling.autoscaler_status,
    "poddisruptionbudgets.policy": autoscaling.budget_status,
    **{kind: workloads.counts(kind) for kind in workloads.COUNTS},
}
OTHER_DOORS: dict[tuple[str, str], UpdateRule] = {
    ("pods", "ephemeralcontainers"): pod_updates.ephemeral_update,
    ("pods", "resize"): pod_updates.resize,
    ("namespaces", "finalize"): configuration.namespace_finalize,
}

OWN_METADATA = {"events", "events.events.k8s.io", "poddisruptionbudgets.policy"}
"""Kinds that look at their metadata themselves, or leave it to what is asked of every object."""
WHOLE_ON_UPDATE = {
    "pods", "persistentvolumes", "persistentvolumeclaims", "serviceaccounts", "secrets", "configmaps", "endpoints",
    "controllerrevisions.apps", "roles.rbac.authorization.k8s.io", "clusterroles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io", "clusterrolebindings.rbac.authorization.k8s.io",
    "endpointslices.discovery.k8s.io",
}  # fmt: skip
"""Kinds whose names and prefixes are looked at on update too."""
UNCOMPARED = {
    "persistentvolumes", "endpointslices.discovery.k8s.io", "poddisruptionbudgets.policy", "events",
    "events.events.k8s.io",
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
    if kind not in UNCOMPARED:
        metadata.metadata_update(errors, new, old)
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
    if subresource == "status":
        STATUS.get(kind, nothing)(errors, new, old)
    elif (rule := OTHER_DOORS.get((kind, subresource))) is not None:
        if subresource in ("ephemeralcontainers", "resize"):
            metadata.metadata(errors, resource, new)
        rule(errors, new, old)
