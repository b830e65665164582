"""Validation: what the API server refuses with 422, with field paths and upstream's words.

field.py      ErrorList: errors with their paths
metadata.py   names, labels, annotations, owners, finalizers, selectors
pods.py       pods and templates
workloads.py  deployments to autoscalers
webhooks.py   where a webhook is
others.py     services, configuration, storage, RBAC, networking

Objects are expected to be decoded and defaulted. The tests compare messages with a real server. Left out: the rules
of rare volume types, device claims and admission policies.
"""

from __future__ import annotations

from collections.abc import Callable

from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.api.validation import metadata, others, pods, workloads
from workshop.api.validation.field import ErrorList, FieldError

__all__ = ["ErrorList", "FieldError", "validate", "validate_update"]

CRDS = "customresourcedefinitions.apiextensions.k8s.io"
Rule = Callable[[ErrorList, Obj], None]
UpdateRule = Callable[[ErrorList, Obj, Obj], None]


def _pod(errors: ErrorList, obj: Obj) -> None:
    pods.pod_spec(errors, "spec", obj["spec"])


RULES: dict[str, Rule] = {
    "pods": _pod,
    "deployments.apps": workloads.deployment,
    "replicasets.apps": workloads.replica_set,
    "daemonsets.apps": workloads.daemon_set,
    "statefulsets.apps": workloads.stateful_set,
    "replicationcontrollers": workloads.replication_controller,
    "jobs.batch": workloads.job,
    "cronjobs.batch": workloads.cron_job,
    "horizontalpodautoscalers.autoscaling": workloads.autoscaler,
    "poddisruptionbudgets.policy": workloads.disruption_budget,
    "services": others.service,
    "configmaps": others.config_map,
    "secrets": others.secret,
    "persistentvolumes": others.persistent_volume,
    "persistentvolumeclaims": others.persistent_volume_claim,
    "roles.rbac.authorization.k8s.io": others.role,
    "clusterroles.rbac.authorization.k8s.io": others.role,
    "rolebindings.rbac.authorization.k8s.io": others.role_binding,
    "clusterrolebindings.rbac.authorization.k8s.io": others.role_binding,
    "storageclasses.storage.k8s.io": others.storage_class,
    "priorityclasses.scheduling.k8s.io": others.priority_class,
    "leases.coordination.k8s.io": others.lease,
    "ingresses.networking.k8s.io": others.ingress,
    "networkpolicies.networking.k8s.io": others.network_policy,
}
LOOPBACK_RULES = {"endpoints": others.endpoints, "endpointslices.discovery.k8s.io": others.endpoint_slice}
UPDATE_RULES: dict[str, UpdateRule] = {
    "pods": pods.pod_update,
    "deployments.apps": workloads.selector_update,
    "replicasets.apps": workloads.selector_update,
    "daemonsets.apps": workloads.selector_update,
    "statefulsets.apps": workloads.stateful_set_update,
    "jobs.batch": workloads.job_update,
    "services": others.service_update,
    "configmaps": others.frozen_data,
    "secrets": others.secret_update,
    "rolebindings.rbac.authorization.k8s.io": others.role_binding_update,
    "clusterrolebindings.rbac.authorization.k8s.io": others.role_binding_update,
}


def _definition(errors: ErrorList, new: Obj, old: Obj | None, subresource: str) -> None:
    from workshop.api.custom import checks  # it stands on this package's fields and names

    if subresource:
        checks.status(errors, new)
        return
    if old is None:
        checks.new_name(errors, new)
    checks.definition(errors, new, old)


def validate(resource: Resource, obj: Obj, allow_loopback: bool = False) -> ErrorList:
    """Everything that is wrong with a new object. `allow_loopback` relaxes the one rule that mode plain breaks."""
    errors = ErrorList()
    metadata.metadata(errors, resource, obj)
    if resource.definition is not None:
        return ErrorList(errors + resource.definition.validate(obj))
    if resource.group_resource == CRDS:
        _definition(errors, obj, None, "")
        return errors
    obj = obj if obj.get("spec") is not None else {**obj, "spec": {}}
    if (rule := RULES.get(resource.group_resource)) is not None:
        rule(errors, obj)
    elif (relaxed := LOOPBACK_RULES.get(resource.group_resource)) is not None:
        relaxed(errors, obj, allow_loopback)
    return errors


def validate_update(
    resource: Resource, new: Obj, old: Obj, subresource: str = "", allow_loopback: bool = False
) -> ErrorList:
    """Everything that is wrong with `new` in the place of `old`. A subresource writes a part that has its own rules:
    there only the metadata is looked at."""
    if resource.definition is not None:
        errors = ErrorList()
        metadata.metadata_update(errors, new, old)
        return ErrorList(errors + resource.definition.validate_update(new, old, subresource))
    if resource.group_resource == CRDS:
        errors = ErrorList()
        metadata.metadata_update(errors, new, old)
        _definition(errors, new, old, subresource)
        return errors
    if subresource:
        errors = ErrorList()
        metadata.metadata_update(errors, new, old)
        return errors
    errors = validate(resource, new, allow_loopback)
    metadata.metadata_update(errors, new, old)
    if (rule := UPDATE_RULES.get(resource.group_resource)) is not None:
        rule(errors, new, old)
    return errors
