"""Which tests of the official suite need nothing but an API server and controllers: no container of theirs has to start.

Read from the suite's code (test/e2e of Kubernetes 1.36.2): a test belongs here that waits for no pod to run, to be
ready or to have an address.
"""

from __future__ import annotations

import re

PATTERNS = (
    # everything of api-machinery but webhooks, the sample API server, conversion, and namespaces whose pods run
    r"\[sig-api-machinery\] (?!AdmissionWebhook|Aggregator|CustomResourceConversionWebhook|CustomResourceFieldSelectors"
    r"|OrderedNamespaceDeletion|Namespaces \[Serial\] should ensure that all pods)",
    r"\[sig-apps\] CronJob",
    r"\[sig-apps\] DisruptionController (Listing|should create a PodDisruptionBudget)",
    r"\[sig-apps\] ReplicationController should surface a failure condition",
    r"\[sig-auth\] (?!ServiceAccounts (should mount|ServiceAccountIssuerDiscovery))",
    r"\[sig-cli\] .*(api-versions|cluster-info|kubectl diff|Kubectl version|Proxy server)",
    r"\[sig-instrumentation\]",
    r"\[sig-network\] API Server",
    r"\[sig-network\] Endpoint.*(should test the lifecycle|matches no pods|API operations|should mirror)",
    r"\[sig-network\] (Ingress|IngressClass|ServiceCIDR and IPAddress) API",
    r"\[sig-network\] Services should (complete a service status|delete a collection|find a service from listing)",
    r"\[sig-node\] (ConfigMap should (fail|run through|update)|Lease|Node Lifecycle|PodTemplates|\[DRA\] CRUD)",
    r"\[sig-node\] RuntimeClass should (reject|support)",
    r"\[sig-node\] Secrets should (fail|patch)",
    r"\[sig-scheduling\] (LimitRange|.*PriorityClass endpoints)",
    r"\[sig-storage\] (CSI|PersistentVolumes|StorageClasses|VolumeAttachment|VolumeAttributesClass)",
    r"\[sig-storage\] .*should be immutable",
)
_ALONE = re.compile("|".join(PATTERNS))


def alone(name: str) -> bool:
    """`name` as PASSING.md has it."""
    return _ALONE.match(name) is not None
