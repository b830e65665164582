"""The kinds that differ. One small class each; `Strategies` chooses. Upstream: pkg/registry/*/*/strategy.go."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

from workshop.api.meta import Obj
from workshop.api.quantity import parse
from workshop.api.resources import Resource
from workshop.clock import rfc3339

from .options import DeleteOptions
from .strategy import Strategy, Write

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


class Pods(Strategy):
    def __init__(self, resource: Resource) -> None:
        super().__init__(resource)
        self.counts_generation = True

    def prepare_for_create(self, obj: Obj, write: Write) -> None:
        obj["metadata"]["generation"] = 1
        spec = obj.setdefault("spec", {})
        obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj)}
        if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
            spec["terminationGracePeriodSeconds"] = 1
        if spec.get("schedulingGates"):
            obj["status"]["conditions"] = [
                {
                    "type": "PodScheduled", "status": "False", "lastProbeTime": None,
                    "lastTransitionTime": rfc3339(write.now), "reason": "SchedulingGated",
                    "message": "Scheduling is blocked due to non-empty scheduling gates",
                }
            ]  # fmt: skip

    def prepare_for_update(self, new: Obj, old: Obj, write: Write) -> None:
        if write.subresource == "binding":  # the server's own change: node and condition, no new generation
            return
        super().prepare_for_update(new, old, write)
        new.setdefault("status", {}).setdefault("qosClass", old.get("status", {}).get("qosClass") or qos_class(old))
        if write.subresource == "status" and not new["status"].get("phase"):
            new["status"]["phase"] = old.get("status", {}).get("phase", "Pending")

    def prepare_for_status_update(self, new: Obj, old: Obj) -> None:
        super().prepare_for_status_update(new, old)
        if "ownerReferences" in old["metadata"]:
            new["metadata"]["ownerReferences"] = old["metadata"]["ownerReferences"]

    def grace_seconds(self, obj: Obj, options: DeleteOptions) -> int:
        """Nobody has to be asked about a pod that is on no node, or that has ended."""
        spec, phase = obj["spec"], obj.get("status", {}).get("phase")
        if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
            return 0
        grace = options.grace if options.grace is not None else spec.get("terminationGracePeriodSeconds", 30)
        return max(int(grace), 0)

    def returns_deleted_object(self) -> bool:
        return True


def qos_class(pod: Obj) -> str:
    """Guaranteed, Burstable or BestEffort. Upstream: pkg/apis/core/helper/qos/qos.go."""
    spec = pod["spec"]
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    asked, guaranteed = False, True
    for container in [spec, *containers] if spec.get("resources") else containers:
        resources = container.get("resources") or {}
        requests, limits = ({k: parse(v) for k, v in (resources.get(f) or {}).items() if k in ("cpu", "memory")
                             and not parse(v).is_zero()} for f in ("requests", "limits"))  # fmt: skip
        asked = asked or bool(requests or limits)
        guaranteed = guaranteed and len(limits) == 2 and (requests or limits) == limits
        if container is spec:
            break
    if not asked:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


class Namespaces(Strategy):
    def prepare_for_create(self, obj: Obj, write: Write) -> None:
        obj["status"] = {"phase": "Active"}
        finalizers = obj.setdefault("spec", {}).setdefault("finalizers", [])
        if "kubernetes" not in finalizers:
            finalizers.append("kubernetes")
        if name := obj["metadata"].get("name"):
            obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name

    def prepare_for_update(self, new: Obj, old: Obj, write: Write) -> None:
        if write.subresource == "finalize":
            new["status"] = old.get("status", {})
            return
        super().prepare_for_update(new, old, write)
        if write.subresource == "":
            new.setdefault("spec", {})["finalizers"] = old.get("spec", {}).get("finalizers", [])
            new["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = new["metadata"]["name"]
        if new["metadata"].get("deletionTimestamp") and write.subresource == "status":
            new["status"] = {**new.get("status", {}), "phase": "Terminating"}


class Jobs(Strategy):
    """The server writes a selector of its own unless the user insists on his (`manualSelector`)."""

    def prepare_for_create(self, obj: Obj, write: Write) -> None:
        super().prepare_for_create(obj, write)
        obj["status"] = {}
        spec, metadata = obj["spec"], obj["metadata"]
        if spec.get("manualSelector"):
            return
        uid, template = metadata["uid"], spec.setdefault("template", {})
        labels = template.setdefault("metadata", {}).setdefault("labels", {})
        defaulted = metadata.get("labels") in (None, {}, labels)  # to the template's: one map of both, upstream
        for key, value in (("controller-uid", uid), ("job-name", metadata.get("name", ""))):
            labels[key] = value
            labels[f"batch.kubernetes.io/{key}"] = value
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
        if defaulted:
            metadata["labels"] = dict(labels)


class Secrets(Strategy):
    """`stringData` is a way to write `data`; it is never read back."""

    def prepare_for_create(self, obj: Obj, write: Write) -> None:
        super().prepare_for_create(obj, write)
        _encode_strings(obj)

    def prepare_for_update(self, new: Obj, old: Obj, write: Write) -> None:
        super().prepare_for_update(new, old, write)
        _encode_strings(new)
        new.setdefault("type", old.get("type", "Opaque"))


def _encode_strings(secret: Obj) -> None:
    plain = secret.pop("stringData", None)
    if plain:
        data = secret.setdefault("data", {})
        data.update({key: base64.b64encode(value.encode()).decode() for key, value in plain.items()})


class CertificateSigningRequests(Strategy):
    """Who asks is written by the server, from who asks."""

    def prepare_for_create(self, obj: Obj, write: Write) -> None:
        obj["status"] = {}
        user, spec = write.options.user, obj.setdefault("spec", {})
        for field in ("username", "uid", "groups", "extra"):
            spec.pop(field, None)
        spec["username"] = user.name
        if user.uid:
            spec["uid"] = user.uid
        if user.groups:
            spec["groups"] = list(user.groups)
        if user.extra:
            spec["extra"] = {key: list(values) for key, values in user.extra.items()}

    def prepare_for_update(self, new: Obj, old: Obj, write: Write) -> None:
        if write.subresource == "approval":
            certificate = old.get("status", {}).get("certificate")
            self.prepare_for_status_update(new, old)
            if certificate is not None:
                new.setdefault("status", {})["certificate"] = certificate
            return
        if write.subresource == "":
            new["spec"] = old["spec"]
        super().prepare_for_update(new, old, write)


class PersistentVolumes(Strategy):
    """When its phase changed is written by the server."""

    def prepare_for_create(self, obj: Obj, write: Write) -> None:
        super().prepare_for_create(obj, write)
        obj.setdefault("status", {})["lastPhaseTransitionTime"] = rfc3339(write.now)

    def prepare_for_update(self, new: Obj, old: Obj, write: Write) -> None:
        super().prepare_for_update(new, old, write)
        if write.subresource != "status":
            return
        status, before = new.setdefault("status", {}), old.get("status", {})
        if status.get("phase") != before.get("phase"):
            told = status.get("lastPhaseTransitionTime")
            if told is None or told == before.get("lastPhaseTransitionTime"):
                status["lastPhaseTransitionTime"] = rfc3339(write.now)


class PersistentVolumeClaims(Strategy):
    """Two ways to name what a volume is filled from: either is told in both."""

    def prepare_for_create(self, obj: Obj, write: Write) -> None:
        super().prepare_for_create(obj, write)
        same_source(obj.get("spec") or {})

    def prepare_for_update(self, new: Obj, old: Obj, write: Write) -> None:
        super().prepare_for_update(new, old, write)
        if not write.subresource:
            same_source(new.get("spec") or {})


SNAPSHOTS = ("snapshot.storage.k8s.io", "VolumeSnapshot")


def same_source(spec: Obj) -> None:
    """Upstream: pkg/api/persistentvolumeclaim (EnforceDataSourceBackwardsCompatibility, NormalizeDataSources)."""
    source, ref = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None:
        if not _known(source):
            del spec["dataSource"]
        elif ref is None:
            spec["dataSourceRef"] = dict(source)
    elif ref is not None and not ref.get("namespace") and _known(ref):
        spec["dataSource"] = dict(ref)


def _known(source: Obj) -> bool:
    return (source.get("apiGroup") or "", source.get("kind")) in (("", "PersistentVolumeClaim"), SNAPSHOTS)


class LimitRanges(Strategy):
    def prepare_for_create(self, obj: Obj, write: Write) -> None:
        super().prepare_for_create(obj, write)
        if not obj["metadata"].get("name"):
            obj["metadata"]["name"] = obj["metadata"]["uid"]


class Leases(Strategy):
    allows_create_on_update = True


class Events(Strategy):
    allows_create_on_update = True


class Endpoints(Strategy):
    allows_create_on_update = True


class EndpointSlices(Strategy):
    def __init__(self, resource: Resource) -> None:
        super().__init__(resource)
        self.counts_generation = True

    def spec_of(self, obj: Obj) -> object:
        labels = obj["metadata"].get("labels") or {}
        return {**{k: v for k, v in obj.items() if k not in ("metadata", "kind", "apiVersion")}, "labels": labels}


class GenerationOnly(Strategy):
    """Kinds without a status subresource that count generations all the same."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource)
        self.counts_generation = True

    def spec_of(self, obj: Obj) -> object:
        return {k: v for k, v in obj.items() if k not in ("metadata", "status", "kind", "apiVersion")}


class Deployments(Strategy):
    """Its annotations go to its ReplicaSets: a change of them is one of the wish."""

    def spec_of(self, obj: Obj) -> object:
        return obj.get("spec"), obj["metadata"].get("annotations") or {}

    def prepare_for_status_update(self, new: Obj, old: Obj) -> None:
        super().prepare_for_status_update(new, old)
        new["metadata"].pop("labels", None)
        if "labels" in old["metadata"]:
            new["metadata"]["labels"] = old["metadata"]["labels"]


class CSIDrivers(GenerationOnly):
    """Counts its changes, but not its creation."""

    def prepare_for_create(self, obj: Obj, write: Write) -> None:
        super().prepare_for_create(obj, write)
        obj["metadata"].pop("generation", None)


class DaemonSets(Strategy):
    """Templates are counted too, in what was once a field and is an annotation since apps/v1."""

    def prepare_for_create(self, obj: Obj, write: Write) -> None:
        super().prepare_for_create(obj, write)
        obj["metadata"].setdefault("annotations", {})[TEMPLATE_GENERATION] = "1"

    def prepare_for_update(self, new: Obj, old: Obj, write: Write) -> None:
        super().prepare_for_update(new, old, write)
        count = int((old["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, "0"))
        if not write.subresource and new["spec"].get("template") != old["spec"].get("template"):
            count += 1
        if count:
            new["metadata"]["annotations"] = {
                **(new["metadata"].get("annotations") or {}), TEMPLATE_GENERATION: str(count),
            }  # fmt: skip


class PriorityClasses(GenerationOnly):
    """What counts of it cannot be changed."""

    def spec_of(self, obj: Obj) -> object:
        return None


_BY_NAME: dict[str, Callable[[Resource], Strategy]] = {
    "pods": Pods,
    "persistentvolumes": PersistentVolumes,
    "persistentvolumeclaims": PersistentVolumeClaims,
    "limitranges": LimitRanges,
    "namespaces": Namespaces,
    "jobs.batch": Jobs,
    "secrets": Secrets,
    "certificatesigningrequests.certificates.k8s.io": CertificateSigningRequests,
    "leases.coordination.k8s.io": Leases,
    "events": Events,
    "events.events.k8s.io": Events,
    "endpoints": Endpoints,
    "endpointslices.discovery.k8s.io": EndpointSlices,
    "deployments.apps": Deployments,
    "daemonsets.apps": DaemonSets,
    "podtemplates": GenerationOnly,
    "csidrivers.storage.k8s.io": CSIDrivers,
    "priorityclasses.scheduling.k8s.io": PriorityClasses,
    "ingressclasses.networking.k8s.io": GenerationOnly,
    "networkpolicies.networking.k8s.io": GenerationOnly,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": GenerationOnly,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": GenerationOnly,
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": GenerationOnly,
    "mutatingadmissionpolicies.admissionregistration.k8s.io": GenerationOnly,
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": GenerationOnly,
    "deviceclasses.resource.k8s.io": GenerationOnly,
    "resourceslices.resource.k8s.io": GenerationOnly,
}


CUSTOM = "custom"
"""Under this name `special` has the strategy of custom resources."""


class Strategies:
    """The strategy of each kind; `special` adds those that need more than the kind (Services, their allocator)."""

    def __init__(self, special: Mapping[str, Callable[[Resource], Strategy]] | None = None) -> None:
        self._classes = {**_BY_NAME, **(special or {})}
        self._made: dict[tuple[str, str], Strategy] = {}

    def of(self, resource: Resource) -> Strategy:
        key = (resource.group_resource, resource.version)
        if resource.definition is not None:  # as the definition says now
            return self._classes[CUSTOM](resource)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = self._classes.get(resource.group_resource, Strategy)(resource)
        return found
