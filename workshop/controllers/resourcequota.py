"""ResourceQuota: what a namespace uses. Upstream: `pkg/controller/resourcequota`, `pkg/quota/v1`.

Admission refuses what would go beyond; this controller counts again what is there, after each deletion above all. Of
kinds that only quotas name (`count/deployments.apps`, a custom one's too) it begins to follow each when one names it.
`usage` is pure.
"""

from __future__ import annotations

from typing import Any

from workshop.api import meta, quantity
from workshop.api.meta import Key, Obj, key_of
from workshop.api.quantity import Quantity
from workshop.api.resources import Resource, resource
from workshop.api.scheduling.pod_resources import of_pod
from workshop.client.informer import Informer

from . import pods
from .base import Context, update_status
from .discovery import Discovery, DiscoveryFailed

QUOTAS = resource("resourcequotas")
COUNTED = {
    "pods": "pods",
    "services": "services",
    "replicationcontrollers": "replicationcontrollers",
    "secrets": "secrets",
    "configmaps": "configmaps",
    "persistentvolumeclaims": "persistentvolumeclaims",
    "resourcequotas": "resourcequotas",
}
ZERO = quantity.of(0)
RESYNC = 300.0


def pod_usage(pod: Obj) -> dict[str, Quantity]:
    """`cpu`, `requests.cpu`, `limits.memory`, … of one pod, as admission charges it."""
    requests, limits = of_pod(pod, "requests"), of_pod(pod, "limits")
    named = {f"requests.{name}": amount for name, amount in requests.items()}
    return {**requests, **named, **{f"limits.{name}": amount for name, amount in limits.items()}}


def in_scopes(quota: Obj, pod: Obj) -> bool:
    """Whether the quota counts that pod: all of its scopes must say so."""
    spec = quota["spec"]
    scopes = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()]
    scopes += (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    return all(_in_scope(scope, pod) for scope in scopes)


def _in_scope(scope: dict[str, Any], pod: Obj) -> bool:
    name, spec = scope["scopeName"], pod["spec"]
    if name in ("Terminating", "NotTerminating"):
        return bool((spec.get("activeDeadlineSeconds") is not None) == (name == "Terminating"))
    if name in ("BestEffort", "NotBestEffort"):
        best = not any((c.get("resources") or {}).get(k) for c in spec["containers"] for k in ("requests", "limits"))
        return bool(best == (name == "BestEffort"))
    if name == "PriorityClass":
        value, wanted = spec.get("priorityClassName"), scope.get("values") or ()
        answers = {
            "In": value in wanted,
            "NotIn": value not in wanted,
            "Exists": bool(value),
            "DoesNotExist": not value,
        }
        return answers[scope["operator"]]
    return bool(name != "CrossNamespacePodAffinity")


def usage(quota: Obj, objects: dict[str, list[Obj]]) -> dict[str, str]:
    """What of `spec.hard` is used. `objects`: plural → those of the namespace."""
    live = [pod for pod in objects.get("pods", ()) if not pods.is_finished(pod) and in_scopes(quota, pod)]
    totals: dict[str, Quantity] = {}
    for pod in live:
        for name, amount in pod_usage(pod).items():
            totals[name] = totals.get(name, ZERO) + amount
    services = objects.get("services", [])
    kinds = [service["spec"].get("type") for service in services]
    totals["services.loadbalancers"] = quantity.of(kinds.count("LoadBalancer"))
    node_ports = sum(bool(port.get("nodePort")) for service in services for port in service["spec"].get("ports") or ())
    totals["services.nodeports"] = quantity.of(node_ports)
    totals["pods"] = quantity.of(len(live))
    claims = objects.get("persistentvolumeclaims", [])
    for claim in claims:
        text = ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage")
        if text:
            totals["requests.storage"] = totals.get("requests.storage", ZERO) + quantity.parse(text)
    used: dict[str, str] = {}
    for name in quota["spec"].get("hard") or {}:
        plural = name.removeprefix("count/").split(".")[0]
        if name == "count/pods":
            used[name] = str(len(objects.get("pods", ())))
        elif name.startswith("count/") or (name in COUNTED and name != "pods"):
            used[name] = str(len(objects.get(plural, ())))
        else:
            used[name] = str(totals.get(name, ZERO))
    return used


class ResourceQuotaController:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = context.queue()
        self._quotas = context.informer("resourcequotas")
        self._quotas.add_handler(self._changed, self._updated)
        self._discovery = Discovery(context.client)
        self._followed: dict[str, Informer] = {}
        self._follow(resource("pods"), "pods").add_handler(None, self._pod_updated, None)
        self._follow(resource("services"), "services").add_handler(None, self._service_updated, None)
        self._follow(resource("persistentvolumeclaims"), "persistentvolumeclaims")

    def _follow(self, res: Resource, name: str) -> Informer:
        """What is deleted of `res` is free again. The garbage collector follows everything: mostly one watch more is
        not even needed."""
        informer = self._followed[name] = self._context.informers.informer(res)
        informer.add_handler(None, None, self._freed)
        return informer

    def _changed(self, quota: Obj) -> None:
        self._queue.add(key_of(quota))

    def _updated(self, old: Obj, new: Obj) -> None:
        if old["spec"] != new["spec"]:
            self._changed(new)

    def _freed(self, obj: Obj) -> None:
        for quota in self._quotas.store.by_index("namespace", meta.namespace(obj)):
            self._queue.add(key_of(quota))

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        if pods.is_finished(new) and not pods.is_finished(old):
            self._freed(new)

    def _service_updated(self, old: Obj, new: Obj) -> None:
        if old["spec"].get("type") != new["spec"].get("type"):
            self._freed(new)

    async def run(self) -> None:
        await self._context.controller(self._queue, self.sync, self._context.options.workers("resource-quota")).run()

    async def sync(self, key: Key) -> float | None:
        quota = self._quotas.store.get(key)
        if quota is None:
            return None
        hard = quota["spec"].get("hard") or {}
        names = {name.removeprefix("count/") for name in hard if name.startswith("count/") or name in COUNTED}
        objects = {
            name.split(".")[0]: await self._objects(name, key.namespace)
            for name in names | {"pods", "services", "persistentvolumeclaims"}
        }
        status = {"hard": hard, "used": usage(quota, objects)}
        await update_status(self._client, QUOTAS, quota, status)
        return RESYNC

    async def _objects(self, name: str, namespace: str) -> list[Obj]:
        """Those of a kind in the namespace; none of a kind that the server does not serve."""
        informer = self._followed.get(name) or await self._begin_to_follow(name)
        if informer is None:
            return []
        await informer.synced.wait()
        return informer.store.by_index("namespace", namespace)

    async def _begin_to_follow(self, name: str) -> Informer | None:
        try:
            found = await self._discovery.resources()
        except DiscoveryFailed as error:
            found = error.found
        served = {r.group_resource: r for r in found if r.namespaced}
        res = served.get(name)
        if res is None or not {"list", "watch"} <= set(res.verbs):
            return None
        informer = self._follow(res, name)
        self._context.informers.start()
        return informer
