"""The kinds that differ. One small class each; `Strategies` chooses. Upstream: pkg/registry/*/*/strategy.go."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from uuid import UUID, uuid5

from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.clock import rfc3339

from .devices import ResourceSlices
from .pods import Pods
from .strategy import Strategy, Write

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


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
        for key, value in (("controller-uid", uid), ("job-name", metadata.get("name", ""))):
            labels.setdefault(key, value)
            labels.setdefault(f"batch.kubernetes.io/{key}", value)
        selector = spec["selector"] = spec.get("selector") or {}
        selector.setdefault("matchLabels", {}).setdefault("batch.kubernetes.io/controller-uid", uid)

    def settle(self, obj: Obj) -> None:
        """Without labels of its own it has its pods'."""
        if not obj["metadata"].get("labels"):
            labels = (obj["spec"].get("template", {}).get("metadata") or {}).get("labels")
            if labels:
                obj["metadata"]["labels"] = dict(labels)


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
            new.setdefault("status", {}).pop("certificate", None)
            if certificate is not None:
                new["status"]["certificate"] = certificate
            _stamp(new, old, write)
            return
        if write.subresource == "":
            new["spec"] = old["spec"]
        super().prepare_for_update(new, old, write)
        if write.subresource == "status":
            _stamp(new, old, write)


def _stamp(new: Obj, old: Obj, write: Write) -> None:
    """When a condition was told and when it came to be so, where its writer does not say. Upstream:
    populateConditionTimestamps."""
    now = rfc3339(write.now)
    before = {
        (each.get("type"), each.get("status")): each for each in (old.get("status") or {}).get("conditions") or []
    }
    for each in (new.get("status") or {}).get("conditions") or []:
        if not each.get("lastUpdateTime"):
            each["lastUpdateTime"] = now
        if not each.get("lastTransitionTime"):
            same = before.get((each.get("type"), each.get("status"))) or {}
            each["lastTransitionTime"] = same.get("lastTransitionTime") or now


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
        told, had = status.get("lastPhaseTransitionTime"), before.get("lastPhaseTransitionTime")
        if status.get("phase") != before.get("phase"):
            if told is None or told == had:
                status["lastPhaseTransitionTime"] = rfc3339(write.now)
        elif told is None and had is not None:
            status["lastPhaseTransitionTime"] = had


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
            obj["metadata"]["name"] = str(uuid5(UUID(obj["metadata"]["uid"]), "name"))


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


class ServiceAccounts(Strategy):
    """Of the Secrets that it names only the names are kept."""

    def prepare_for_create(self, obj: Obj, write: Write) -> None:
        super().prepare_for_create(obj, write)
        _only_names(obj)

    def prepare_for_update(self, new: Obj, old: Obj, write: Write) -> None:
        super().prepare_for_update(new, old, write)
        _only_names(new)


def _only_names(account: Obj) -> None:
    if account.get("secrets"):
        account["secrets"] = [{"name": each["name"]} if each.get("name") else {} for each in account["secrets"]]


_BY_NAME: dict[str, Callable[[Resource], Strategy]] = {
    "serviceaccounts": ServiceAccounts,
    "pods": Pods,
    "persistentvolumes": PersistentVolumes,
    "persistentvolumeclaims": PersistentVolumeClaims,
    "limitranges": LimitRanges,
    "namespaces": Namespaces,
    "jobs.batch": Jobs,
    "secrets": Secrets,
    "certificatesigningrequests.certificates.k8s.io": CertificateSigningRequests,
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
    "resourceslices.resource.k8s.io": ResourceSlices,
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
