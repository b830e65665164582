"""All plugins in upstream's order, and the chain that a write goes through.

First every plugin may change the object, then every plugin judges what came out: the order among the plugins that
change matters (a default must be there before somebody counts it), which is why quota comes last.

The webhooks and the CEL policies of a cluster come late, and quota last. Not built: plugins that are off by default
(AlwaysPullImages, PodNodeSelector, …).

Upstream: `pkg/kubeapiserver/options/plugins.go`, `staging/src/k8s.io/apiserver/pkg/admission/chain.go`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workshop import hooks, trace
from workshop.api.meta import copy
from workshop.apiserver.admission.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
    ClusterTrustBundleAttest,
)
from workshop.apiserver.admission.default_ingress_class import DefaultIngressClass
from workshop.apiserver.admission.default_toleration_seconds import DefaultTolerationSeconds
from workshop.apiserver.admission.learner import Learner
from workshop.apiserver.admission.limit_ranger import LimitRanger
from workshop.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from workshop.apiserver.admission.node_restriction import NodeRestriction
from workshop.apiserver.admission.node_taint import TaintNodesByCondition
from workshop.apiserver.admission.plugin import Plugin
from workshop.apiserver.admission.pod_resize import NodeDeclaredFeatureValidator, PodResizeValidator
from workshop.apiserver.admission.pod_security import PodSecurity
from workshop.apiserver.admission.pod_topology_labels import PodTopologyLabels
from workshop.apiserver.admission.policies import MutatingAdmissionPolicy, ValidatingAdmissionPolicy
from workshop.apiserver.admission.priority import Priority
from workshop.apiserver.admission.resource_quota import ResourceQuota
from workshop.apiserver.admission.runtime_class import RuntimeClass
from workshop.apiserver.admission.service_account import ServiceAccount
from workshop.apiserver.admission.storage import (
    DefaultStorageClass,
    PersistentVolumeClaimResize,
    StorageObjectInUseProtection,
)
from workshop.apiserver.admission.webhooks import MutatingAdmissionWebhook, ValidatingAdmissionWebhook
from workshop.apiserver.glass import changed
from workshop.apiserver.interfaces import AdmissionRequest, Context

ORDER: tuple[type[Plugin], ...] = (
    NamespaceLifecycle,
    LimitRanger,
    ServiceAccount,
    NodeRestriction,
    TaintNodesByCondition,
    PodSecurity,
    Priority,
    DefaultTolerationSeconds,
    DefaultStorageClass,
    StorageObjectInUseProtection,
    PersistentVolumeClaimResize,
    RuntimeClass,
    CertificateApproval,
    CertificateSigning,
    ClusterTrustBundleAttest,
    CertificateSubjectRestriction,
    DefaultIngressClass,
    PodTopologyLabels,
    NodeDeclaredFeatureValidator,
    PodResizeValidator,
    MutatingAdmissionPolicy,
    MutatingAdmissionWebhook,
    ValidatingAdmissionPolicy,
    ValidatingAdmissionWebhook,
    ResourceQuota,
)
#: Upstream leaves it off; whoever has nodes that log in as such turns it on.
OFF_BY_DEFAULT = frozenset({"NodeRestriction"})
#: Plugins of upstream's default list that this server does not have; naming them in a flag is no error.
UNBUILT = frozenset(
    {
        "PodGroupProtection",
        "PodGroupWorkloadExists",
        "JobValidation",
    }
)


class Chain:
    """The enabled plugins, in order."""

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self.plugins = list(plugins)

    async def admit(self, request: AdmissionRequest) -> None:
        """Let every plugin change `request.object`; once more when a webhook or a policy has changed it, so that
        those before see that too. Raises ApiError."""
        await self._admit(request)
        if request.changed:
            request.reinvoked = True
            await self._admit(request)

    async def _admit(self, request: AdmissionRequest) -> None:
        for plugin in self.plugins:
            if plugin.sees(request):
                with trace.step("apiserver.link", link="mutating admission", plugin=plugin.name) as told:
                    before = copy(request.object) if trace.enabled() else None
                    await plugin.admit(request)
                    if before is not None:
                        told["changed"] = changed(before, request.object)

    async def validate(self, request: AdmissionRequest) -> None:
        """Let every plugin judge the request as it is now. Raises ApiError."""
        for plugin in self.plugins:
            if plugin.sees(request):
                with trace.step("apiserver.link", link="validating admission", plugin=plugin.name):
                    await plugin.validate(request)


def chain(context: Context, enable: Iterable[str] = (), disable: Iterable[str] = ()) -> Chain:
    """The chain for `--enable-admission-plugins` and `--disable-admission-plugins`. ValueError for an unknown name."""
    enabled, disabled = set(enable), set(disable)
    known = {plugin.name for plugin in ORDER} | UNBUILT
    unknown = sorted((enabled | disabled) - known)
    if unknown:
        raise ValueError(f'unknown admission plugin "{unknown[0]}"')
    if enabled & disabled:
        both = ", ".join(sorted(enabled & disabled))
        raise ValueError(f"[{both}] in enable-admission-plugins and disable-admission-plugins overlapped")
    chosen = [p for p in ORDER if p.name in enabled or (p.name not in OFF_BY_DEFAULT and p.name not in disabled)]
    if hooks.in_lab("kube-apiserver"):
        chosen.append(Learner)
    return Chain([plugin(context) for plugin in chosen])
