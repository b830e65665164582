"""PodSecurity: a namespace's labels say how much its pods may ask for.

    pod-security.kubernetes.io/enforce: restricted     a pod that asks for more is refused
    pod-security.kubernetes.io/warn: baseline          the client is warned, also about a workload's pod template

Every version of the standards is judged by the newest one's checks; `-version` labels only show in the text.

Upstream: `staging/src/k8s.io/pod-security-admission/admission/admission.go`.
"""

from __future__ import annotations

from workshop.api.meta import Obj, labels
from workshop.api.resources import resource
from workshop.apiserver.admission.plugin import Plugin, forbidden
from workshop.apiserver.admission.pod_security_checks import CHECKS, violations
from workshop.apiserver.interfaces import AdmissionRequest

PREFIX = "pod-security.kubernetes.io/"
#: Workloads, and where each keeps its pod template.
TEMPLATES = {
    "podtemplates": ("template",),
    "replicationcontrollers": ("spec", "template"),
    "replicasets.apps": ("spec", "template"),
    "deployments.apps": ("spec", "template"),
    "statefulsets.apps": ("spec", "template"),
    "daemonsets.apps": ("spec", "template"),
    "jobs.batch": ("spec", "template"),
    "cronjobs.batch": ("spec", "jobTemplate", "spec", "template"),
}


class PodSecurity(Plugin):
    name = "PodSecurity"
    resources = ("pods", *TEMPLATES)
    subresources = ("", "ephemeralcontainers")

    def sees(self, request: AdmissionRequest) -> bool:
        # what of a living pod can be changed does not matter here, new ephemeral containers apart
        pod_update = request.resource.plural == "pods" and request.operation == "UPDATE" and not request.subresource
        return super().sees(request) and not pod_update

    async def validate(self, request: AdmissionRequest) -> None:
        namespace = await self.context.get(resource("namespaces"), request.namespace)
        said = labels(namespace) if namespace else {}
        if not any(key.startswith(PREFIX) for key in said):
            return
        is_pod = request.resource.plural == "pods"
        pod = request.object if is_pod else template_of(request.resource.group_resource, request.object)
        if pod is None:
            return
        if is_pod:
            broken = judge(said, "enforce", pod)
            if broken:
                raise forbidden(request, f"violates PodSecurity {broken}")
        warned = judge(said, "warn", pod)
        if warned:
            request.warnings.append(f"would violate PodSecurity {warned}")


def template_of(group_resource: str, workload: Obj) -> Obj | None:
    """The pod template of a workload."""
    found: Obj | None = workload
    for field in TEMPLATES[group_resource]:
        found = (found or {}).get(field)
    return found


def judge(namespace_labels: dict[str, str], mode: str, pod: Obj) -> str:
    """`"restricted:latest": reason (detail), …` of what `pod` breaks, "" if nothing."""
    level = namespace_labels.get(PREFIX + mode, "privileged")
    version = namespace_labels.get(f"{PREFIX}{mode}-version", "latest")
    if level not in CHECKS:
        level = "restricted"  # an unknown word must not open the door
    broken = violations(level, pod)
    if not broken:
        return ""
    texts = [f"{reason} ({detail})" if detail else reason for reason, detail in broken]
    return f'"{level}:{version}": {", ".join(texts)}'
