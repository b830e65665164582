"""What each kind is warned of besides the pods in it. Upstream: the strategy.go of each kind, v1.36.2."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from workshop.api import quantity
from workshop.api.meta import Obj

from . import addresses, key_pairs, node_labels
from .pods import GONE, SHOWN, storage

Warnings = Iterator[str]
CLASS = "volume.beta.kubernetes.io/storage-class"
MOUNTS = "volume.beta.kubernetes.io/mount-options"
HINTS, TOPOLOGY = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
INGRESS_CLASS = "kubernetes.io/ingress.class"
MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"
MANAGED_BY, ENDPOINTS_MANAGED_BY = "endpointslice.kubernetes.io/managed-by", "endpoints.kubernetes.io/managed-by"
STATIC = ".static.k8s.io"
TOKENS = (
    "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible "
    "logging of tokens in volume attributes"
)
MANY_INDEXES = (
    "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes "
    "might not be able to track completedIndexes when a big number of indexes fail"
)
ONLY_IN_PODS = ("gitRepo", "flocker", "quobyte")


def of(kind: str, new: Obj, old: Obj | None) -> Warnings:
    rule = RULES.get(kind)
    return rule(new, old) if rule is not None else iter(())


def status(kind: str, new: Obj) -> Warnings:
    """What is written through the status door."""
    told = new.get("status") or {}
    if kind == "pods":
        for field in ("podIPs", "hostIPs"):
            for i, each in enumerate(told.get(field) or []):
                yield from addresses.ip(f"status.{field}[{i}].ip", each.get("ip", ""))
    elif kind in ("services", "ingresses.networking.k8s.io"):
        for i, each in enumerate((told.get("loadBalancer") or {}).get("ingress") or []):
            yield from addresses.ip(f"status.loadBalancer.ingress[{i}]", each.get("ip", ""))


def _annotations(obj: Obj) -> Obj:
    return obj["metadata"].get("annotations") or {}


def _labels(obj: Obj) -> Obj:
    return obj["metadata"].get("labels") or {}


def _spec(obj: Obj) -> Obj:
    return obj.get("spec") or {}


def service(new: Obj, old: Obj | None) -> Warnings:
    spec = _spec(new)
    kind, headless = spec.get("type", "ClusterIP"), spec.get("clusterIP") == "None"
    if HINTS in _annotations(new):
        yield f"annotation {HINTS} is deprecated, please use {TOPOLOGY} instead"
    for i, value in enumerate([] if headless else spec.get("clusterIPs") or []):
        yield from addresses.ip(f"spec.clusterIPs[{i}]", value)
    if headless and kind == "ClusterIP":
        for field in ("loadBalancerIP", "externalIPs"):
            if spec.get(field):
                yield f"spec.{field} is ignored for headless services"
        if spec.get("sessionAffinity", "None") != "None":
            yield "spec.SessionAffinity is ignored for headless services"
    for i, value in enumerate(spec.get("externalIPs") or []):
        yield from addresses.ip(f"spec.externalIPs[{i}]", value)
    if spec.get("externalIPs"):
        if kind == "ExternalName":
            yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
        elif not headless:
            yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    yield from addresses.ip("spec.loadBalancerIP", spec.get("loadBalancerIP") or "")
    for i, value in enumerate(spec.get("loadBalancerSourceRanges") or []):
        yield from addresses.cidr(f"spec.loadBalancerSourceRanges[{i}]", value)
    if kind != "ExternalName" and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def volume(new: Obj, old: Obj | None) -> Warnings:
    spec, at = _spec(new), "metadata.annotations"
    if CLASS in _annotations(new):
        yield f'{at}[{CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead'
    if MOUNTS in _annotations(new):
        yield f'{at}[{MOUNTS}]: deprecated since v1.31; use "mountOptions" attribute instead'
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        said = "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic"
        yield f"spec.persistentVolumeReclaimPolicy: {said} provisioning."
    required = (spec.get("nodeAffinity") or {}).get("required") or {}
    for i, term in enumerate(required.get("nodeSelectorTerms") or []):
        yield from node_labels.term(f"spec.nodeAffinity.required.nodeSelectorTerms[{i}]", term)
    for source, text in GONE.items():
        if spec.get(source) is not None and source not in ONLY_IN_PODS:
            yield f"spec.{SHOWN.get(source, source)}: {text}"


def claim(new: Obj, old: Obj | None) -> Warnings:
    if CLASS in _annotations(new):
        yield f'metadata.annotations[{CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead'
    yield from storage("spec", _spec(new))


def secret(new: Obj, old: Obj | None) -> Warnings:
    if new.get("type") == "kubernetes.io/tls":
        data = new.get("data") or {}
        if said := key_pairs.complaint(data.get("tls.crt") or "", data.get("tls.key") or ""):
            yield said


def stateful_set(new: Obj, old: Obj | None) -> Warnings:
    spec = _spec(new)
    for i, each in enumerate(spec.get("volumeClaimTemplates") or []):
        inside = "" if old is None else ".Spec"  # as upstream says it on update
        yield from storage(f"spec.volumeClaimTemplates[{i}]{inside}", _spec(each))
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        said = "a negative value retains all historical revisions; a value >= 0 is recommended"
        yield f"spec.revisionHistoryLimit: {said}"


def _many_indexes(at: str, spec: Obj) -> Warnings:
    many = (spec.get("completions") or 0) > 100_000 and (spec.get("parallelism") or 0) > 10_000
    if many and spec.get("completionMode") == "Indexed":
        yield f"{at}: {MANY_INDEXES}"


def job(new: Obj, old: Obj | None) -> Warnings:
    if old is None or new["metadata"].get("generation") != old["metadata"].get("generation"):
        yield from _many_indexes("spec", _spec(new))


def cron_job(new: Obj, old: Obj | None) -> Warnings:
    if old is None or new["metadata"].get("generation") != old["metadata"].get("generation"):
        yield from _many_indexes("spec.jobTemplate.spec", _spec(_spec(new).get("jobTemplate") or {}))
    if old is not None and "TZ" in _spec(new).get("schedule", ""):
        where = "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/"
        yield f"cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see {where} for more details"


def node(new: Obj, old: Obj | None) -> Warnings:
    spec = _spec(new)
    if spec.get("configSource") is not None:
        yield "spec.configSource: the feature is removed"
    if spec.get("externalID"):
        yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"
    for i, value in enumerate(spec.get("podCIDRs") or []):
        yield from addresses.cidr(f"spec.podCIDRs[{i}]", value)


def quota(new: Obj, old: Obj | None) -> Warnings:
    hard = _spec(new).get("hard") or {}
    for name in ("cpu", "memory", "storage", "ephemeral-storage") if old is None else ():
        asked = f"requests.{name}"
        if asked not in hard and name in ("cpu", "memory"):
            asked = name
        limit = f"limits.{name}"
        if asked in hard and limit in hard:
            least, most = quantity.parse(hard[asked]), quantity.parse(hard[limit])
            if least > most:
                yield f"ResourceQuota {asked} ({least}) should be less than {limit} ({most})"


def ingress(new: Obj, old: Obj | None) -> Warnings:
    if old is None and INGRESS_CLASS in _annotations(new) and _spec(new).get("ingressClassName") is None:
        yield f"annotation \"{INGRESS_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"


def network_policy(new: Obj, old: Obj | None) -> Warnings:
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for i, rule in enumerate(_spec(new).get(direction) or []):
            for j, peer in enumerate(rule.get(peers) or []):
                block, at = peer.get("ipBlock") or {}, f"spec.{direction}[{i}].{peers}[{j}].ipBlock"
                yield from addresses.cidr(f"{at}.cidr", block.get("cidr", ""))
                for k, value in enumerate(block.get("except") or []):
                    yield from addresses.cidr(f"{at}.except[{k}]", value)


def endpoints(new: Obj, old: Obj | None) -> Warnings:
    if _labels(new).get(ENDPOINTS_MANAGED_BY) == "endpoint-controller":
        return
    for i, subset in enumerate(new.get("subsets") or []):
        for field in ("addresses", "notReadyAddresses"):
            for j, each in enumerate(subset.get(field) or []):
                yield from addresses.ip(f"subsets[{i}].{field}[{j}].ip", each.get("ip", ""))


def endpoint_slice(new: Obj, old: Obj | None) -> Warnings:
    if old is None and new.get("addressType") == "FQDN":
        yield "spec.addressType: FQDN endpoints are deprecated"
    own = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")
    if _labels(new).get(MANAGED_BY) not in own:
        for i, each in enumerate(new.get("endpoints") or []):
            for j, value in enumerate(each.get("addresses") or []):
                yield from addresses.ip(f"endpoints[{i}].addresses[{j}]", value)


def account(new: Obj, old: Obj | None) -> Warnings:
    if MOUNTABLE in _annotations(new) and (old is None or MOUNTABLE not in _annotations(old)):
        said = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        yield f"metadata.annotations[{MOUNTABLE}]: {said}"


def runtime_class(new: Obj, old: Obj | None) -> Warnings:
    selector = (new.get("scheduling") or {}).get("nodeSelector")
    yield from node_labels.in_map("scheduling.nodeSelector", selector, keyed=False)


def storage_class(new: Obj, old: Obj | None) -> Warnings:
    for i, topology in enumerate(new.get("allowedTopologies") or []):
        for j, each in enumerate(topology.get("matchLabelExpressions") or []):
            if (said := node_labels.OLD.get(each.get("key", ""))) is not None:
                yield f"allowedTopologies[{i}].matchLabelExpressions[{j}].key: {said}"


def storage_capacity(new: Obj, old: Obj | None) -> Warnings:
    yield from node_labels.selector("nodeTopology", new.get("nodeTopology"))


def driver(new: Obj, old: Obj | None) -> Warnings:
    spec = _spec(new)
    before, asked = _spec(old or {}).get("tokenRequests") or [], spec.get("tokenRequests") or []
    if asked and spec.get("serviceAccountTokenInSecrets") is None and (old is None or asked != before):
        yield TOKENS


def device_slice(new: Obj, old: Obj | None) -> Warnings:
    name = _spec(new).get("driver", "")
    if name != name.lower():
        yield f'spec.driver: driver names should be lowercase; "{name}" contains uppercase characters'


def reserved_name(new: Obj, old: Obj | None) -> Warnings:
    if new["metadata"].get("name", "").endswith(STATIC):
        said = "are reserved for static manifest-based configurations and cannot be managed via the API"
        yield f'metadata.name: names ending with "{STATIC}" {said}'


ADMISSION = "admissionregistration.k8s.io"
RULES: dict[str, Callable[[Obj, Obj | None], Warnings]] = {
    "services": service,
    "persistentvolumes": volume,
    "persistentvolumeclaims": claim,
    "secrets": secret,
    "serviceaccounts": account,
    "nodes": node,
    "resourcequotas": quota,
    "endpoints": endpoints,
    "statefulsets.apps": stateful_set,
    "jobs.batch": job,
    "cronjobs.batch": cron_job,
    "ingresses.networking.k8s.io": ingress,
    "networkpolicies.networking.k8s.io": network_policy,
    "endpointslices.discovery.k8s.io": endpoint_slice,
    "runtimeclasses.node.k8s.io": runtime_class,
    "storageclasses.storage.k8s.io": storage_class,
    "csistoragecapacities.storage.k8s.io": storage_capacity,
    "csidrivers.storage.k8s.io": driver,
    "resourceslices.resource.k8s.io": device_slice,
    f"validatingwebhookconfigurations.{ADMISSION}": reserved_name,
    f"mutatingwebhookconfigurations.{ADMISSION}": reserved_name,
    f"validatingadmissionpolicies.{ADMISSION}": reserved_name,
    f"mutatingadmissionpolicies.{ADMISSION}": reserved_name,
    f"validatingadmissionpolicybindings.{ADMISSION}": reserved_name,
    f"mutatingadmissionpolicybindings.{ADMISSION}": reserved_name,
}
