"""PodSecurity: a namespace's labels say how much its pods may ask for.

    pod-security.kubernetes.io/enforce: restricted     a pod that asks for more is refused
    pod-security.kubernetes.io/warn: baseline          the client is warned, also about a workload's pod template

Every version of the standards is judged by the newest one's checks; `-version` labels only show in the text.

Upstream: `staging/src/k8s.io/pod-security-admission/admission/admission.go`.
"""

from __future__ import annotations

import re

from workshop.api import errors
from workshop.api.meta import Obj, labels, name
from workshop.api.resources import resource
from workshop.apiserver.admission.configuration import PodSecuritySettings
from workshop.apiserver.admission.plugin import Plugin, forbidden
from workshop.apiserver.admission.pod_security_checks import violations
from workshop.apiserver.interfaces import AdmissionRequest

PREFIX = "pod-security.kubernetes.io/"
LEVELS = ("privileged", "baseline", "restricted")
_VERSION = re.compile(r"latest|v1\.(0|[1-9][0-9]*)")
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
    resources = ("namespaces", "pods", *TEMPLATES)
    subresources = ("", "ephemeralcontainers")
    settings = PodSecuritySettings()

    def _said(self, said: dict[str, str]) -> dict[str, str]:
        """A namespace's labels, and where it has none the cluster's defaults."""
        return {PREFIX + key: value for key, value in self.settings.defaults.items()} | said

    def _is_exempt(self, request: AdmissionRequest, pod: Obj) -> bool:
        """Audited as upstream does: who is exempt by his name, his namespace or the pod's runtime class."""
        settings, runtime = self.settings, (pod.get("spec") or {}).get("runtimeClassName")
        why = {
            "user": request.user.name in settings.usernames,
            "namespace": request.namespace in settings.namespaces,
            "runtimeClass": runtime in settings.runtime_classes,
        }
        exempt = next((word for word, holds in why.items() if holds), "")
        if exempt:
            request.annotations[PREFIX + "exempt"] = exempt
        return bool(exempt)

    async def validate(self, request: AdmissionRequest) -> None:
        if request.resource.group_resource == "namespaces":
            await self._namespace(request)
            return
        namespace = await self.context.get(resource("namespaces"), request.namespace)
        said = self._said(labels(namespace) if namespace else {})
        is_pod = request.resource.plural == "pods"
        if is_pod:
            request.annotations[PREFIX + "enforce-policy"] = f"{_level(said)}:{_version(said)}"
        if not any(key.startswith(PREFIX) for key in said):
            return
        if is_pod and request.old_object is not None and images(request.object) == images(request.old_object):
            return  # nothing else that can be changed of a living pod matters here
        pod = request.object if is_pod else template_of(request.resource.group_resource, request.object)
        if pod is None or self._is_exempt(request, pod):
            return
        if is_pod:
            broken = judge(said, "enforce", pod)
            if broken:
                raise forbidden(request, f"violates PodSecurity {broken}")
        audited = judge(said, "audit", pod)
        if audited:
            request.annotations[PREFIX + "audit-violations"] = f"would violate PodSecurity {audited}"
        warned = judge(said, "warn", pod)
        if warned:
            request.warnings.append(f"would violate PodSecurity {warned}")

    async def _namespace(self, request: AdmissionRequest) -> None:
        """Labels must be words that are known; when they become stricter, tell which pods would be refused now."""
        new, old = labels(request.object), labels(request.old_object or {})
        problems = label_problems(new)
        if problems and problems != label_problems(old):
            raise errors.invalid("Namespace", request.name, problems)
        new, old = self._said(new), self._said(old)
        stricter = LEVELS.index(_level(new)) > LEVELS.index(_level(old))
        moved = _version(new) != _version(old) and _level(new) != "privileged"
        exempt = request.name in self.settings.namespaces
        if request.operation == "UPDATE" and (stricter or moved) and not exempt:
            pods = await self.context.list(resource("pods"), request.name)
            request.warnings += existing_pods(request.name, _level(new), _version(new), pods)


def images(pod: Obj) -> list[tuple[str, str]]:
    """Names and images of all containers."""
    fields = ("initContainers", "containers", "ephemeralContainers")
    return [(c["name"], c.get("image", "")) for f in fields for c in (pod.get("spec") or {}).get(f) or ()]


def label_problems(said: dict[str, str]) -> list[dict[str, str]]:
    """What is wrong with a namespace's labels, as causes of a 422."""
    problems: list[dict[str, str]] = []
    for mode in ("enforce", "audit", "warn"):
        level, version = said.get(PREFIX + mode), said.get(f"{PREFIX}{mode}-version")
        if level is not None and level not in LEVELS:
            problems.append(_invalid(PREFIX + mode, level, "must be one of privileged, baseline, restricted"))
        if version is not None and not _VERSION.fullmatch(version):
            problems.append(_invalid(f"{PREFIX}{mode}-version", version, 'must be "latest" or "v1.x"'))
    return problems


def _invalid(label: str, value: str, why: str) -> dict[str, str]:
    text = f"Invalid value: {errors.quote(value)}: {why}"
    return errors.cause("FieldValueInvalid", text, f"metadata.labels[{label}]")


def _level(said: dict[str, str]) -> str:
    level = said.get(PREFIX + "enforce", "privileged")
    return level if level in LEVELS else "restricted"  # an unknown word must not open the door


def _version(said: dict[str, str]) -> str:
    return said.get(PREFIX + "enforce-version", "latest")


def existing_pods(namespace: str, level: str, version: str, pods: list[Obj]) -> list[str]:
    """Which pods a stricter level would refuse, grouped by what they break."""
    broken: dict[str, list[str]] = {}
    for pod in pods:
        found = violations(level, pod)
        if found:
            broken.setdefault(", ".join(reason for reason, _ in found), []).append(name(pod))
    if not broken:
        return []
    lines: list[str] = []
    for reasons, names in broken.items():
        others = len(names) - 1
        more = "" if not others else f" (and {others} other pod{'s' if others > 1 else ''})"
        lines.append(f"{min(names)}{more}: {reasons}")
    head = f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{level}:{version}"'
    return [head, *sorted(lines)]


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
    if level not in LEVELS:
        level = "restricted"  # an unknown word must not open the door
    broken = violations(level, pod)
    if not broken:
        return ""
    texts = [f"{reason} ({detail})" if detail else reason for reason, detail in broken]
    return f'"{level}:{version}": {", ".join(texts)}'
