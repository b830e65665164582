"""Static pods: manifests in a directory of the node (`--pod-manifest-path`), run without the API server.

Each is shown there by a mirror pod, which is made anew when somebody deletes it, and carries the status.
Upstream: `pkg/kubelet/config/file.go`, `pkg/kubelet/pod/mirror_client.go`.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workshop.api import errors
from workshop.api.errors import ApiError
from workshop.api.resources import resource
from workshop.client.rest import Client
from workshop.client.transport import Unreachable
from workshop.clock import Clock
from workshop.kubelet.pods import Obj

log = logging.getLogger(__name__)

PODS = resource("pods")
SOURCE, HASH, MIRROR = "kubernetes.io/config.source", "kubernetes.io/config.hash", "kubernetes.io/config.mirror"
CHECK_SECONDS = 1.0
"""How often the directory is looked at (upstream watches it, and looks every 20 seconds beside that)."""


def is_mirror(pod: Obj) -> bool:
    """Whether an object of the API server only shows a static pod."""
    return MIRROR in (pod["metadata"].get("annotations") or {})


def static_uid(pod: Obj) -> str:
    """Under which uid the runtime knows a pod of the API server: a mirror's is that of its static pod."""
    meta = pod["metadata"]
    return str((meta.get("annotations") or {}).get(HASH) if is_mirror(pod) else meta["uid"])


def static_pod(manifest: Obj, node: str) -> Obj:
    """The pod of a manifest, named after its node, with a uid that changes with the content. Raises ValueError."""
    if manifest.get("kind") != "Pod" or not (manifest.get("spec") or {}).get("containers"):
        raise ValueError("not a Pod with containers")
    meta = manifest.get("metadata") or {}
    digest = hashlib.md5(
        repr((sorted(meta.items()), manifest["spec"], node)).encode(), usedforsecurity=False
    ).hexdigest()
    annotations = {**(meta.get("annotations") or {}), SOURCE: "file", HASH: digest}
    metadata = {**meta, "name": f"{meta['name']}-{node}", "namespace": meta.get("namespace") or "default"}
    spec: dict[str, Any] = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": False,
        **manifest["spec"],
        "nodeName": node,
        "automountServiceAccountToken": False,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**metadata, "uid": digest, "annotations": annotations},
        "spec": spec,
    }


def mirror_of(pod: Obj, owner: Obj) -> Obj:
    """What is shown at the API server, owned by the Node."""
    meta = {key: value for key, value in pod["metadata"].items() if key != "uid"}
    digest = pod["metadata"]["annotations"][HASH]
    node = owner["metadata"]
    reference = {"apiVersion": "v1", "kind": "Node", "name": node["name"], "uid": node["uid"], "controller": True}
    meta["annotations"] = {**meta["annotations"], MIRROR: digest}
    return {**pod, "metadata": {**meta, "ownerReferences": [reference]}}


def read(directory: str, node: str) -> dict[str, Obj]:
    """{uid: pod} of all manifests that can be read; the others are logged."""
    import yaml

    found: dict[str, Obj] = {}
    for path in sorted(Path(directory).glob("*")):
        if path.name.startswith(".") or path.suffix not in (".yaml", ".yml", ".json"):
            continue
        try:
            pod = static_pod(yaml.safe_load(path.read_text()) or {}, node)
        except (OSError, ValueError, KeyError, yaml.YAMLError) as problem:
            log.error("could not process manifest file %s: %s", path, problem)
            continue
        found[pod["metadata"]["uid"]] = pod
    return found


class StaticPods:
    """Watches the directory and keeps the mirrors."""

    def __init__(
        self, client: Client, directory: str, node: Callable[[], Obj], clock: Clock,
        update: Callable[[Obj], None], removed: Callable[[Obj], None], mirrored: Callable[[Obj], None],
    ) -> None:  # fmt: skip
        self._client, self._directory, self._node, self._clock = client, directory, node, clock
        self._update, self._removed, self._told = update, removed, mirrored
        self._pods: dict[str, Obj] = {}
        self._mirrored: dict[str, str] = {}
        self._ending: dict[str, Obj] = {}
        self._seen: list[tuple[str, int, int]] = []

    def knows(self, uid: str) -> bool:
        return uid in self._pods

    def mirror_uid(self, uid: str) -> str | None:
        """The uid at the API server of a static pod; None while there is no mirror."""
        return self._mirrored.get(uid)

    def mirror_removed(self, mirror: Obj) -> None:
        """Somebody deleted it: the next pass makes it anew."""
        for uid in [uid for uid, other in self._mirrored.items() if other == mirror["metadata"]["uid"]]:
            del self._mirrored[uid]

    def mirror_ends(self, mirror: Obj) -> None:
        """Somebody asked for its end: it has nothing to wait for, goes at once, and comes again."""
        self._ending[mirror["metadata"]["uid"]] = mirror

    def _changed(self) -> bool:
        """Whether a file of the directory is another one than when this was asked last."""
        now = []
        for path in sorted(Path(self._directory).glob("*")):
            with contextlib.suppress(FileNotFoundError):
                told = path.stat()
                now.append((path.name, told.st_mtime_ns, told.st_ino))
        before, self._seen = self._seen, now
        return before != now

    def load(self) -> dict[str, Obj]:
        """Read the directory, and begin what is new."""
        found = read(self._directory, self._node()["metadata"]["name"])
        for uid, pod in found.items():
            if uid not in self._pods:
                self._pods[uid] = pod
                self._update(pod)
        return found

    async def run(self) -> None:
        """Follow the directory, and have each pod mirrored."""
        while True:
            if self._changed():
                found = self.load()
                for uid in [uid for uid in self._pods if uid not in found]:
                    await self._drop(self._pods.pop(uid))
            for uid in list(self._ending):
                await self._delete(self._ending.pop(uid), uid)
            for uid, pod in self._pods.items():
                if uid not in self._mirrored:
                    await self._mirror(pod)
            await self._clock.sleep(CHECK_SECONDS)

    async def _mirror(self, pod: Obj) -> bool:
        meta = pod["metadata"]
        try:
            try:
                made = await self._client.create(PODS, mirror_of(pod, self._node()), meta["namespace"])
            except ApiError as problem:
                if not errors.is_already_exists(problem):
                    raise
                made = await self._client.get(PODS, meta["name"], meta["namespace"])
                if made["metadata"]["annotations"].get(MIRROR) != meta["annotations"][HASH]:
                    await self._client.delete(PODS, meta["name"], meta["namespace"], grace_period_seconds=0)
                    return False
        except (ApiError, Unreachable) as problem:
            log.warning("Failed creating a mirror pod for %s: %s", meta["name"], problem)
            return False
        self._mirrored[meta["uid"]] = made["metadata"]["uid"]
        self._told(pod)
        return True

    async def _drop(self, pod: Obj) -> None:
        self._removed(pod)
        await self._delete(pod, self._mirrored.pop(pod["metadata"]["uid"], None))

    async def _delete(self, pod: Obj, uid: str | None) -> None:
        meta = pod["metadata"]
        try:
            await self._client.delete(PODS, meta["name"], meta["namespace"], grace_period_seconds=0, uid=uid)
        except (ApiError, Unreachable) as problem:
            log.info("mirror pod %s: %s", meta["name"], problem)
