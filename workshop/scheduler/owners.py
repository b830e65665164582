"""Which pods belong together: those of a pod's Services and of its controller.

They are spread over nodes and zones softly. Upstream: `pkg/scheduler/framework/plugins/helper/spread.go`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from workshop.api import labels, meta
from workshop.api.labels import Requirement, Selector
from workshop.api.meta import Key, Obj
from workshop.scheduler.node_info import PodInfo


class Objects(Protocol):
    """What is asked of an informer's store."""

    def get(self, key: Key) -> Obj | None: ...
    def by_index(self, name: str, value: str) -> Iterable[Obj]: ...


def default_selector(pod: PodInfo, services: Objects, controllers: Mapping[str, Objects]) -> Selector | None:
    """`controllers` is kind → store. None when the pod belongs to nothing."""
    together: dict[str, str] = {}
    for service in services.by_index("namespace", pod.key.namespace):
        wanted = (service.get("spec") or {}).get("selector") or {}
        if wanted and wanted.items() <= pod.labels.items():
            together |= wanted
    more: tuple[Requirement, ...] = ()
    owner = meta.controller_of(pod.pod)
    if owner is not None and owner["kind"] in controllers:
        found = controllers[owner["kind"]].get(Key(pod.key.namespace, owner["name"]))
        selector = ((found or {}).get("spec") or {}).get("selector") or {}
        if owner["kind"] == "ReplicationController":
            together |= selector
        elif selector:
            more = labels.from_selector(selector).requirements
    requirements = labels.from_set(together).requirements + more
    return Selector(tuple(sorted(requirements, key=lambda r: (r.key, r.operator, r.values)))) if requirements else None
