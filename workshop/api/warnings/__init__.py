"""What a server takes but warns of, in upstream's words: deprecated volumes, a port told twice, an old node label.

pods.py         a pod or a template: volumes, ports, variables, affinity, annotations of old
paths.py        files of a volume that would lie on top of each other
node_labels.py  labels of nodes under their old names
addresses.py    addresses and ranges in another form than the canonical one
key_pairs.py    a TLS Secret whose key is not its certificate's
kinds.py        what each kind has besides

Upstream: pkg/api/{pod,job,node,service,storage,persistentvolume,persistentvolumeclaim}, WarningsOnCreate and
WarningsOnUpdate in the strategy.go of each kind, v1.36.2.
"""

from __future__ import annotations

from collections.abc import Iterator

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.resources import Resource

from . import kinds, pods

TEMPLATES = {
    "deployments.apps": "spec.template.",
    "replicasets.apps": "spec.template.",
    "statefulsets.apps": "spec.template.",
    "daemonsets.apps": "spec.template.",
    "replicationcontrollers": "spec.template.",
    "jobs.batch": "spec.template.",
    "cronjobs.batch": "spec.jobTemplate.spec.template.",
    "podtemplates": "template.",
}
NAMES_PODS = ("deployments.apps", "replicasets.apps", "replicationcontrollers", "jobs.batch", "cronjobs.batch")
HOSTNAMES = "which can result in surprising behavior; a DNS label is recommended: "


def of(resource: Resource, new: Obj, old: Obj | None, subresource: str = "") -> list[str]:
    """Warnings of an object that is right; `old` is what it replaces, `subresource` the door it came through."""
    kind = resource.group_resource
    if subresource and subresource != "scale":  # which writes the whole object
        return list(kinds.status(kind, new)) if subresource == "status" else []
    return [*_name(kind, new, old), *_pods(kind, new, old), *kinds.of(kind, new, old)]


def _name(kind: str, new: Obj, old: Obj | None) -> Iterator[str]:
    wrong = names.dns1123_label(new["metadata"].get("name", "")) if old is None else []
    if wrong and kind in ("pods", *NAMES_PODS):
        where = "the Pod's hostname" if kind == "pods" else "Pod names and hostnames"
        yield f"metadata.name: this is used in {where}, {HOSTNAMES}[{' '.join(wrong)}]"


def _pods(kind: str, new: Obj, old: Obj | None) -> Iterator[str]:
    """A pod is warned of once, when it is made; a template each time that its object counts a generation."""
    if kind == "pods":
        if old is None:
            yield from pods.pod("", new)
    elif (at := TEMPLATES.get(kind)) is not None:
        if old is None:
            yield from pods.pod(at, _at(new, at))
        elif _count(kind, new) != _count(kind, old):
            # Upstream looks at the replaced template here, of this one kind.
            yield from pods.pod(at, _at(old if kind == "replicationcontrollers" else new, at))


def _count(kind: str, obj: Obj) -> object:
    if kind == "daemonsets.apps":
        return (obj["metadata"].get("annotations") or {}).get("deprecated.daemonset.template.generation")
    return obj["metadata"].get("generation")


def _at(obj: Obj, path: str) -> Obj:
    for name in path.strip(".").split("."):
        obj = obj.get(name) or {}
    return obj
