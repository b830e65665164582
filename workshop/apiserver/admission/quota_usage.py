"""What an object uses of a quota. Pure.

Two families of names: counts of objects of any kind (`count/deployments.apps`, and `pods`, `services`, … as short
forms), and amounts (`requests.cpu`, `limits.memory`, `requests.storage`, `services.nodeports`, …).

Upstream: `pkg/quota/v1/evaluator/core`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workshop.api import labels
from workshop.api.meta import Obj, deletion_timestamp
from workshop.api.quantity import of, parse
from workshop.api.resources import Resource
from workshop.api.scheduling.pod_resources import Amounts, of_pod

#: Kinds whose plural alone also names their count.
PLAIN_COUNTS = (
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
)
#: Whoever limits one of these demands that every container names it.
MUST_BE_NAMED = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
_STORAGE_CLASS = ".storageclass.storage.k8s.io/"


def count_name(kind: Resource) -> str:
    """`count/pods`, `count/deployments.apps`."""
    return f"count/{kind.group_resource}"


def usage(kind: Resource, obj: Obj, now: float) -> Amounts:
    """All that `obj` uses, by quota name."""
    one = of(1)
    found: Amounts = {count_name(kind): one}
    if kind.group:
        return found
    if kind.plural == "pods":
        return found | (_pod(obj) if _counts(obj, now) else {})
    if kind.plural in PLAIN_COUNTS:
        found[kind.plural] = one
    if kind.plural == "services":
        found |= _service(obj.get("spec") or {})
    elif kind.plural == "persistentvolumeclaims":
        found |= _claim(obj)
    return found


def _counts(pod: Obj, now: float) -> bool:
    """A pod that has ended uses nothing any more, nor one that should long be gone."""
    if (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return False
    deleted, grace = deletion_timestamp(pod), (pod.get("metadata") or {}).get("deletionGracePeriodSeconds")
    return deleted is None or grace is None or now <= deleted + grace


def _pod(pod: Obj) -> Amounts:
    requests, limits = of_pod(pod, "requests"), of_pod(pod, "limits")
    return {"pods": of(1), **_named(requests, limits)}


def _named(requests: Amounts, limits: Amounts) -> Amounts:
    found: Amounts = {}
    for key, value in requests.items():
        if key in ("cpu", "memory", "ephemeral-storage") or key.startswith("hugepages-"):
            found[key] = found[f"requests.{key}"] = value
        elif "/" in key:  # an extended resource
            found[f"requests.{key}"] = value
    for key in ("cpu", "memory", "ephemeral-storage"):
        if key in limits:
            found[f"limits.{key}"] = limits[key]
    return found


def _service(spec: Obj) -> Amounts:
    ports = spec.get("ports") or []
    balanced = spec.get("type") == "LoadBalancer"
    if balanced and spec.get("allocateLoadBalancerNodePorts") is False:
        node_ports = sum(bool(p.get("nodePort")) for p in ports)
    else:
        node_ports = len(ports) if spec.get("type") in ("NodePort", "LoadBalancer") else 0
    return {"services.nodeports": of(node_ports), "services.loadbalancers": of(int(balanced))}


def _claim(claim: Obj) -> Amounts:
    spec = claim.get("spec") or {}
    found: Amounts = {}
    asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if asked is not None:
        found["requests.storage"] = of(parse(asked).value(), parse(asked).format)
    kind = spec.get("storageClassName")
    if kind:
        found[f"{kind}{_STORAGE_CLASS}persistentvolumeclaims"] = of(1)
        if asked is not None:
            found[f"{kind}{_STORAGE_CLASS}requests.storage"] = found["requests.storage"]
    return found


def unnamed(pod: Obj, limited: set[str]) -> str:
    """`must specify limits.cpu for: a,b; …` of a pod whose containers leave out what is limited; "" if none does."""
    spec = pod.get("spec") or {}
    if spec.get("resources"):
        return ""  # set for the pod as a whole
    missing: dict[str, set[str]] = {}
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        resources: dict[str, Any] = container.get("resources") or {}
        sides = {side: {k: parse(v) for k, v in (resources.get(side) or {}).items()} for side in ("requests", "limits")}
        named = _named(sides["requests"], sides["limits"])
        for key in limited.intersection(MUST_BE_NAMED) - named.keys():
            missing.setdefault(key, set()).add(container["name"])
    if not missing:
        return ""
    return "must specify " + "; ".join(f"{key} for: {','.join(sorted(missing[key]))}" for key in sorted(missing))


def in_scope(quota: Obj, kind: Resource, obj: Obj) -> bool:
    """Whether the object is of those that the quota's scopes select. Only pods are in any scope."""
    spec = quota.get("spec") or {}
    terms = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    terms += (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    if not terms:
        return True
    return kind.group_resource == "pods" and all(_matches(term, obj) for term in terms)


def _matches(term: Obj, pod: Obj) -> bool:
    scope, spec = term["scopeName"], pod.get("spec") or {}
    if scope in ("Terminating", "NotTerminating"):
        return bool((spec.get("activeDeadlineSeconds") is not None) == (scope == "Terminating"))
    if scope in ("BestEffort", "NotBestEffort"):
        amounts = [of_pod(pod, "requests"), of_pod(pod, "limits")]
        best = not any(amount.get(key) for amount in amounts for key in ("cpu", "memory"))
        return bool(best == (scope == "BestEffort"))
    if scope == "PriorityClass":
        wanted = spec.get("priorityClassName")
        if term["operator"] == "Exists":
            return bool(wanted)
        expression = {"key": scope, "operator": term["operator"], "values": term.get("values") or []}
        return labels.from_selector({"matchExpressions": [expression]}).matches({scope: wanted} if wanted else {})
    return scope == "CrossNamespacePodAffinity" and _crosses_namespaces(spec.get("affinity") or {})


def _crosses_namespaces(affinity: Obj) -> bool:
    for field in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(field) or {}
        terms = list(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        terms += [p["podAffinityTerm"] for p in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False


def kinds_of(names: set[str], known: Iterable[Resource]) -> list[Resource]:
    """The kinds whose objects count towards any of these quota names."""

    def concerned(kind: Resource) -> bool:
        if count_name(kind) in names:
            return True
        if kind.group:
            return False
        if kind.plural == "pods":
            return bool(names & {"pods", "cpu", "memory", "ephemeral-storage"}) or any(
                name.startswith(("requests.", "limits.", "hugepages-")) and name != "requests.storage" for name in names
            )
        if kind.plural == "services":
            return bool(names & {"services", "services.nodeports", "services.loadbalancers"})
        if kind.plural == "persistentvolumeclaims":
            return bool(names & {kind.plural, "requests.storage"}) or any(_STORAGE_CLASS in name for name in names)
        return kind.plural in names and kind.plural in PLAIN_COUNTS

    return [kind for kind in known if kind.namespaced and kind.persisted and concerned(kind)]
