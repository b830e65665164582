"""From a Service and its pods to addresses, shared by Endpoints and EndpointSlices. All but `ServiceQueue` is pure.

Upstream: `pkg/controller/endpoint/endpoints_controller.go`, `staging/src/k8s.io/endpointslice/utils.go`.
"""

from __future__ import annotations

from typing import Any

from workshop.api import labels, meta
from workshop.api.meta import Key, Obj, key_of
from workshop.client.informer import Informer
from workshop.client.store import Store
from workshop.client.workqueue import RateLimitingQueue

from . import pods

HEADLESS = "service.kubernetes.io/headless"


SETTLE = 0.02
"""Seconds in which the changes of several pods of one Service gather."""


class ServiceQueue:
    """Queues a Service when it changes, and when one of its pods does in a way that can change an address."""

    def __init__(self, queue: RateLimitingQueue[Any], services: Informer, pods: Informer) -> None:
        self._queue, self._services = queue, services
        services.add_handler(self.seen, lambda old, new: self.seen(new), self.seen)
        pods.add_handler(self._pod_seen, self._pod_updated, self._pod_seen)

    def seen(self, service: Obj) -> None:
        """Look at it (or at what bears its name) again."""
        self._queue.add(key_of(service))

    def _pod_seen(self, pod: Obj) -> None:
        for key in services_of(pod, self._services.store):
            self._queue.add_after(key, SETTLE)

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        if matters(old, new):
            self._pod_seen(new)
            if meta.labels(old) != meta.labels(new):
                self._pod_seen(old)


def pods_of(service: Obj, store: Store) -> list[Obj]:
    """In the order of their names, so that two looks at the same pods give the same answer."""
    selector = labels.from_set(service["spec"].get("selector") or {})
    found = [pod for pod in store.by_index("namespace", meta.namespace(service)) if selector.matches(meta.labels(pod))]
    return sorted(found, key=meta.name)


def services_of(pod: Obj, store: Store) -> list[Key]:
    """Keys of the Services that select that pod."""
    return [
        key_of(service)
        for service in store.by_index("namespace", meta.namespace(pod))
        if service["spec"].get("selector") and labels.from_set(service["spec"]["selector"]).matches(meta.labels(pod))
    ]


def matters(old: Obj, new: Obj) -> bool:
    """Whether a pod's change can change an address: not every heartbeat of 500 pods looks at every Service."""
    return _seen_by_services(old) != _seen_by_services(new)


def _seen_by_services(pod: Obj) -> tuple[Any, ...]:
    return (
        pods.is_ready(pod),
        pods.phase(pod),
        pods.is_terminating(pod),
        (pod.get("status") or {}).get("podIPs"),
        pods.node_name(pod),
        meta.labels(pod),
        pod["spec"].get("hostname"),
        pod["spec"].get("subdomain"),
    )


def has_address(pod: Obj, include_terminating: bool) -> bool:
    if pods.is_finished(pod) or not (pod.get("status") or {}).get("podIP"):
        return False
    return include_terminating or not pods.is_terminating(pod)


def port_number(pod: Obj, service_port: dict[str, Any]) -> int | None:
    """A service port's target at this pod: a number, or the container port of that name; None if it has none."""
    target = service_port.get("targetPort") or service_port["port"]
    if isinstance(target, int):
        return target
    protocol = service_port.get("protocol", "TCP")
    containers = [
        *pod["spec"].get("containers", ()),
        *(c for c in pod["spec"].get("initContainers") or () if c.get("restartPolicy") == "Always"),
    ]
    for container in containers:
        for port in container.get("ports") or ():
            if port.get("name") == target and port.get("protocol", "TCP") == protocol:
                return int(port["containerPort"])
    return None


def ports_at(pod: Obj, service: Obj) -> list[dict[str, Any]]:
    """The service's ports as this pod serves them."""
    result: list[dict[str, Any]] = []
    for port in service["spec"].get("ports") or ():
        number = port_number(pod, port)
        if number is None:
            continue
        made = {"name": port.get("name", ""), "port": number, "protocol": port.get("protocol", "TCP")}
        if port.get("appProtocol"):
            made["appProtocol"] = port["appProtocol"]
        result.append(made)
    return result


def hostname(pod: Obj, service: Obj) -> str:
    """A headless Service's DNS name for the pod itself."""
    spec = pod["spec"]
    if spec.get("hostname") and spec.get("subdomain") == meta.name(service):
        return str(spec["hostname"])
    return ""


def is_headless(service: Obj) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def target_ref(pod: Obj) -> dict[str, str]:
    return {"kind": "Pod", "namespace": meta.namespace(pod), "name": meta.name(pod), "uid": meta.uid(pod)}
