"""Which node may see which object: the reference graph behind the Node authorizer. Pure.

An edge points from what is read towards who may read it; a node may read what has a path to it:

    secret default/tls ──> pod default/web ──> node node-1
    secret default/csi ──> pv pv-7 ──> pvc default/data ──> pod default/web

Edges of a pod are known once it is bound (`spec.nodeName`), and do not change afterwards. A mirror pod gives its node
nothing: the node itself made it.

Upstream: `plugin/pkg/auth/authorizer/node/graph.go`.
"""

from __future__ import annotations

from collections.abc import Iterator

from workshop.api.meta import Obj

Vertex = tuple[str, str, str]
"""Kind (`secret`, `pod`, …), namespace, name."""

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"

#: The resources that feed the graph.
SOURCES = ("pods", "persistentvolumes", "volumeattachments", "resourceslices")

_OWNER = {
    "pods": "pod",
    "persistentvolumes": "persistentvolume",
    "volumeattachments": "volumeattachment",
    "resourceslices": "resourceslice",
}


class ReferenceGraph:
    """Edges by the vertex they start from; each edge belongs to the object that made it."""

    def __init__(self) -> None:
        self._out: dict[Vertex, dict[Vertex, int]] = {}
        self._made_by: dict[Vertex, list[tuple[Vertex, Vertex]]] = {}

    def put(self, plural: str, obj: Obj) -> None:
        """An object of SOURCES was created or changed."""
        owner = _vertex_of(plural, obj)
        edges = list(_edges(plural, obj, owner))
        if self._made_by.get(owner, []) == edges:
            return
        self._forget(owner)
        if edges:
            self._made_by[owner] = edges
        for start, end in edges:
            ends = self._out.setdefault(start, {})
            ends[end] = ends.get(end, 0) + 1

    def remove(self, plural: str, obj: Obj) -> None:
        """An object of SOURCES was deleted."""
        self._forget(_vertex_of(plural, obj))

    def _forget(self, owner: Vertex) -> None:
        for start, end in self._made_by.pop(owner, ()):
            ends = self._out[start]
            ends[end] -= 1
            if not ends[end]:
                del ends[end]
            if not ends:
                del self._out[start]

    def reaches(self, node: str, kind: str, namespace: str, name: str) -> bool:
        """Whether there is a path from the object to the node."""
        goal: Vertex = ("node", "", node)
        seen: set[Vertex] = set()
        todo: list[Vertex] = [(kind, namespace, name)]
        while todo:
            vertex = todo.pop()
            if vertex == goal:
                return True
            for end in self._out.get(vertex, ()):
                # another node's edge leads nowhere else
                if end not in seen and (end[0] != "node" or end == goal):
                    seen.add(end)
                    todo.append(end)
        return False


def _vertex_of(plural: str, obj: Obj) -> Vertex:
    return (_OWNER[plural], obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


def _edges(plural: str, obj: Obj, owner: Vertex) -> Iterator[tuple[Vertex, Vertex]]:
    spec = obj.get("spec") or {}
    if plural == "pods":
        if spec.get("nodeName"):
            yield owner, ("node", "", spec["nodeName"])
            if MIRROR_ANNOTATION not in (obj["metadata"].get("annotations") or {}):
                for kind, name in pod_references(obj):
                    yield (kind, owner[1], name), owner
    elif plural == "persistentvolumes":
        claim = spec.get("claimRef")
        if claim:
            yield owner, ("persistentvolumeclaim", claim.get("namespace", ""), claim["name"])
            for namespace, secret in _volume_secrets(spec, claim.get("namespace", "")):
                yield ("secret", namespace, secret), owner
    elif spec.get("nodeName"):
        yield owner, ("node", "", spec["nodeName"])


def pod_references(pod: Obj) -> Iterator[tuple[str, str]]:
    """Kind and name of what a pod refers to in its own namespace."""
    spec = pod.get("spec") or {}
    if spec.get("serviceAccountName"):
        yield "serviceaccount", spec["serviceAccountName"]
    for secret in spec.get("imagePullSecrets") or ():
        if secret.get("name"):
            yield "secret", secret["name"]
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            yield from _environment_references(container)
    for volume in spec.get("volumes") or ():
        yield from _volume_references(volume)
        if volume.get("ephemeral"):
            yield "persistentvolumeclaim", f"{pod['metadata']['name']}-{volume['name']}"
    for status in (pod.get("status") or {}).get("resourceClaimStatuses") or ():
        if status.get("resourceClaimName"):
            yield "resourceclaim", status["resourceClaimName"]
    for claim in spec.get("resourceClaims") or ():
        if claim.get("resourceClaimName"):
            yield "resourceclaim", claim["resourceClaimName"]


def _environment_references(container: Obj) -> Iterator[tuple[str, str]]:
    for source in container.get("envFrom") or ():
        for field, kind in (("secretRef", "secret"), ("configMapRef", "configmap")):
            if source.get(field):
                yield kind, source[field].get("name", "")
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        for field, kind in (("secretKeyRef", "secret"), ("configMapKeyRef", "configmap")):
            if source.get(field):
                yield kind, source[field].get("name", "")


def _volume_references(volume: Obj) -> Iterator[tuple[str, str]]:
    if volume.get("secret"):
        yield "secret", volume["secret"].get("secretName", "")
    if volume.get("configMap"):
        yield "configmap", volume["configMap"].get("name", "")
    if volume.get("persistentVolumeClaim"):
        yield "persistentvolumeclaim", volume["persistentVolumeClaim"].get("claimName", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        for field, kind in (("secret", "secret"), ("configMap", "configmap")):
            if source.get(field):
                yield kind, source[field].get("name", "")
    for plugin in ("cephfs", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"):
        reference = (volume.get(plugin) or {}).get("secretRef")
        if reference:
            yield "secret", reference.get("name", "")
    if volume.get("azureFile"):
        yield "secret", volume["azureFile"].get("secretName", "")
    reference = (volume.get("csi") or {}).get("nodePublishSecretRef")
    if reference:
        yield "secret", reference.get("name", "")


def _volume_secrets(spec: Obj, claim_namespace: str) -> Iterator[tuple[str, str]]:
    csi = spec.get("csi") or {}
    for field in ("nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"):
        if csi.get(field):
            yield csi[field].get("namespace") or claim_namespace, csi[field]["name"]
    for plugin in ("cephfs", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"):
        reference = (spec.get(plugin) or {}).get("secretRef")
        if reference:
            yield reference.get("namespace") or claim_namespace, reference.get("name", "")
    if spec.get("azureFile"):
        yield spec["azureFile"].get("secretNamespace") or claim_namespace, spec["azureFile"].get("secretName", "")
