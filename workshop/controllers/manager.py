"""Which controllers there are under upstream's names, and which of them to run.

Upstream: `cmd/kube-controller-manager/names/controller_names.go` and `NewControllerDescriptors`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import (
    certificates,
    clusterroleaggregation,
    cronjob,
    daemonset,
    deployment,
    disruption,
    endpoints,
    endpointslice,
    endpointslicemirroring,
    garbagecollector,
    job,
    namespace,
    nodeipam,
    nodelifecycle,
    podgc,
    replicaset,
    resourceclaim,
    resourcequota,
    serviceaccount,
    serviceaccount_token,
    statefulset,
    tainteviction,
    ttlafterfinished,
    validatingadmissionpolicystatus,
    volumebinder,
    volumeprotection,
)
from .base import Context, Runnable


@dataclass(frozen=True)
class Descriptor:
    """`account` is the service account (in kube-system) that the controller acts as."""

    name: str
    make: Callable[[Context], Runnable]
    account: str
    by_default: bool = True


DESCRIPTORS: tuple[Descriptor, ...] = (
    # In the order in which a new cluster needs them.
    Descriptor("serviceaccount-token-controller", serviceaccount_token.ServiceAccountTokenController, ""),
    Descriptor("serviceaccount-controller", serviceaccount.ServiceAccountController, "service-account-controller"),
    Descriptor(
        "root-ca-certificate-publisher-controller", serviceaccount.RootCACertificatePublisher, "root-ca-cert-publisher"
    ),
    Descriptor(
        "clusterrole-aggregation-controller",
        clusterroleaggregation.ClusterRoleAggregationController,
        "clusterrole-aggregation-controller",
    ),
    Descriptor(
        "validatingadmissionpolicy-status-controller",
        validatingadmissionpolicystatus.ValidatingAdmissionPolicyStatusController,
        "validatingadmissionpolicy-status-controller",
    ),
    Descriptor("node-ipam-controller", nodeipam.NodeIpamController, "node-controller"),
    Descriptor("node-lifecycle-controller", nodelifecycle.NodeLifecycleController, "node-controller"),
    Descriptor("taint-eviction-controller", tainteviction.TaintEvictionController, "node-controller"),
    Descriptor("namespace-controller", namespace.NamespaceController, "namespace-controller"),
    Descriptor("replicaset-controller", replicaset.ReplicaSetController, "replicaset-controller"),
    Descriptor("replicationcontroller-controller", replicaset.replication_controller, "replication-controller"),
    Descriptor("deployment-controller", deployment.DeploymentController, "deployment-controller"),
    Descriptor("endpoints-controller", endpoints.EndpointsController, "endpoint-controller"),
    Descriptor("endpointslice-controller", endpointslice.EndpointSliceController, "endpointslice-controller"),
    Descriptor(
        "endpointslice-mirroring-controller",
        endpointslicemirroring.EndpointSliceMirroringController,
        "endpointslicemirroring-controller",
    ),
    Descriptor("daemonset-controller", daemonset.DaemonSetController, "daemon-set-controller"),
    Descriptor("statefulset-controller", statefulset.StatefulSetController, "statefulset-controller"),
    Descriptor("job-controller", job.JobController, "job-controller"),
    Descriptor("cronjob-controller", cronjob.CronJobController, "cronjob-controller"),
    Descriptor(
        "ttl-after-finished-controller", ttlafterfinished.TTLAfterFinishedController, "ttl-after-finished-controller"
    ),
    Descriptor("disruption-controller", disruption.DisruptionController, "disruption-controller"),
    Descriptor("resourcequota-controller", resourcequota.ResourceQuotaController, "resourcequota-controller"),
    Descriptor(
        "certificatesigningrequest-approving-controller", certificates.ApprovingController, "certificate-controller"
    ),
    Descriptor(
        "certificatesigningrequest-signing-controller", certificates.SigningController, "certificate-controller"
    ),
    Descriptor(
        "certificatesigningrequest-cleaner-controller", certificates.CleaningController, "certificate-controller"
    ),
    Descriptor("persistentvolume-binder-controller", volumebinder.VolumeBinder, "persistent-volume-binder"),
    Descriptor(
        "persistentvolumeclaim-protection-controller", volumeprotection.ClaimProtection, "pvc-protection-controller"
    ),
    Descriptor("persistentvolume-protection-controller", volumeprotection.VolumeProtection, "pv-protection-controller"),
    Descriptor(
        "volumeattributesclass-protection-controller",
        volumeprotection.ClassProtection,
        "volumeattributesclass-protection-controller",
    ),
    Descriptor("resourceclaim-controller", resourceclaim.ResourceClaimController, "resource-claim-controller"),
    Descriptor("pod-garbage-collector-controller", podgc.PodGarbageCollector, "pod-garbage-collector"),
    Descriptor("garbage-collector-controller", garbagecollector.GarbageCollector, "generic-garbage-collector"),
)

NOT_YET = (
    "horizontal-pod-autoscaler-controller",
    "podcertificaterequest-cleaner-controller",
    "ttl-controller",
    "bootstrap-signer-controller",
    "token-cleaner-controller",
    "device-taint-eviction-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-expander-controller",
    "podgroup-protection-controller",
    "kube-apiserver-serving-clustertrustbundle-publisher-controller",
    "ephemeral-volume-controller",
    "storageversion-garbage-collector-controller",
    "resourcepoolstatusrequest-controller",
    "legacy-serviceaccount-token-cleaner-controller",
    "service-cidr-controller",
    "storage-version-migrator-controller",
    "selinux-warning-controller",
)
"""Upstream's names whose controllers are not written here. They may be named in --controllers, and run nothing."""


class UnknownController(ValueError):
    """A name in --controllers that upstream does not know either."""


def chosen(names: Sequence[str]) -> list[Descriptor]:
    """`*` is everything that is on by default; `NAME` adds one, `-NAME` takes one away. Raises UnknownController."""
    known = {d.name for d in DESCRIPTORS} | set(NOT_YET)
    for name in names:
        if name != "*" and name.removeprefix("-") not in known:
            raise UnknownController(f'"{name}" is not in the list of known controllers')
    return [d for d in DESCRIPTORS if _enabled(d, names)]


def _enabled(descriptor: Descriptor, names: Sequence[str]) -> bool:
    if descriptor.name in names:
        return True
    if f"-{descriptor.name}" in names:
        return False
    return "*" in names and descriptor.by_default
