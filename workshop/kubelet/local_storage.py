"""Pods that write more to the node's disk than they may: they are evicted, as upstream's kubelet does every 10 seconds.

Only pods that name a limit are measured: `emptyDir.sizeLimit`, or `ephemeral-storage` among a container's limits.
Upstream: `pkg/kubelet/eviction/eviction_manager.go` (`localStorageEviction`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from workshop.api import quantity
from workshop.api.scheduling.pod_resources import of_pod
from workshop.clock import to_beat
from workshop.kubelet import admission, cri, pods
from workshop.kubelet.pod_parts import Parts
from workshop.kubelet.pod_worker import PodWorkers
from workshop.kubelet.pods import Obj

PERIOD, GRACE = 10.0, 1.0
STORAGE = "ephemeral-storage"


@dataclass(frozen=True)
class Usage:
    """Bytes on disk: of the emptyDirs by name, and of each container's log and own files."""

    volumes: Mapping[str, int] = field(default_factory=dict)
    containers: Mapping[str, int] = field(default_factory=dict)


def limited(pod: Obj) -> bool:
    """Whether there is anything to measure."""
    volumes = pod["spec"].get("volumes") or ()
    return STORAGE in of_pod(pod, "limits") or any(
        (volume.get("emptyDir") or {}).get("sizeLimit") for volume in volumes
    )


def excess(pod: Obj, used: Usage) -> str:
    """What the pod is evicted for, in upstream's words; "" while it keeps to its limits.

    >>> pod = {"spec": {"containers": [], "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Ki"}}]}}
    >>> excess(pod, Usage({"v": 2000}))
    'Usage of EmptyDir volume "v" exceeds the limit "1Ki". '
    """
    for volume in pod["spec"].get("volumes") or ():
        size = (volume.get("emptyDir") or {}).get("sizeLimit")
        if size and 0 < quantity.parse(size).value() < used.volumes.get(volume["name"], 0):
            return f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{quantity.canonical(size)}". '
    whole = of_pod(pod, "limits").get(STORAGE)
    if whole is None:
        return ""
    if sum(used.volumes.values()) + sum(used.containers.values()) > whole.value():
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {whole}. "
    for container in pods.containers(pod):
        limit = ((container.get("resources") or {}).get("limits") or {}).get(STORAGE)
        if limit and 0 < quantity.parse(limit).value() < used.containers.get(container["name"], 0):
            shown = quantity.canonical(limit)
            return f'Container {container["name"]} exceeded its local ephemeral storage limit "{shown}". '
    return ""


def size(path: str) -> int:
    """Bytes on disk below `path`, or of the file; what vanishes meanwhile does not count."""
    total, todo = 0, [path]
    while todo:
        here = todo.pop()
        try:
            told = os.lstat(here)
            total += told.st_blocks * 512
            if os.path.isdir(here) and not os.path.islink(here):
                todo += [entry.path for entry in os.scandir(here)]
        except OSError:
            continue
    return total


class LocalStorage:
    """The loop over a node's pods."""

    def __init__(self, parts: Parts, workers: PodWorkers) -> None:
        self._parts, self._workers = parts, workers

    async def run(self) -> None:
        while True:
            await self._parts.clock.sleep(to_beat(self._parts.clock.now(), PERIOD))
            await self.look()

    async def look(self) -> None:
        """Once."""
        for pod in [pod for pod in self._workers.alive() if limited(pod) and not admission.is_critical(pod)]:
            if why := excess(pod, await self._measured(pod)):
                self._parts.event(pod, "Warning", "Evicted", why, "")
                self._workers.end(pod["metadata"]["uid"], "Evicted", why, "", grace=GRACE)

    async def _measured(self, pod: Obj) -> Usage:
        """In a thread of its own: there may be many files."""
        uid = pod["metadata"]["uid"]
        running = [c for c in await self._parts.runtime.list_containers(uid) if c.state == cri.RUNNING]
        layers = {container.name: container.layer for container in running if container.layer}
        empty = os.path.join(self._parts.volumes.directory(uid), "volumes", "kubernetes.io~empty-dir")
        logs, names = self._workers.log_directory(pod), pods.names(pods.containers(pod))
        kept = pods.names(pod["spec"].get("volumes") or ())

        def walk() -> Usage:
            volumes = {name: size(os.path.join(empty, name)) for name in kept}
            layer = {name: size(path) for name, path in layers.items()}
            return Usage(volumes, {name: size(os.path.join(logs, name)) + layer.get(name, 0) for name in names})

        return await asyncio.to_thread(walk)
