"""The scale subresource of a custom resource: its definition says where replicas and selector stand.

Upstream: apiextensions-apiserver/pkg/registry/customresource/etcd.go (ScaleREST).
"""

from __future__ import annotations

from workshop.api import errors
from workshop.api.custom.kind import CustomKind, nested
from workshop.api.meta import Obj

_KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def check(kind: CustomKind, obj: Obj) -> None:
    """Raises ApiError 500 where there are no replicas to tell of."""
    assert kind.scale is not None
    path = kind.scale["specReplicasPath"]
    if nested(obj, path, int)[0] is None:
        raise errors.internal(f"the spec replicas field {errors.quote(path)} does not exist")


def scale_of(kind: CustomKind, obj: Obj) -> Obj:
    """The object as an autoscaling/v1 Scale. Raises ApiError 500 for values of a wrong type."""
    assert kind.scale is not None
    wanted, is_ = (nested(obj, kind.scale[name], int) for name in ("specReplicasPath", "statusReplicasPath"))
    path = kind.scale.get("labelSelectorPath")
    selector = nested(obj, path, str) if path else (None, "")
    for _, wrong in (wanted, is_, selector):
        if wrong:
            raise errors.failure(500, "", wrong)
    metadata = obj["metadata"]
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in _KEPT if name in metadata},
        "spec": {"replicas": wanted[0]} if wanted[0] else {},
        "status": {"replicas": is_[0] or 0, **({"selector": selector[0]} if selector[0] else {})},
    }


def scaled(kind: CustomKind, obj: Obj, replicas: int) -> Obj:
    """The object with another number of replicas."""
    return _with(obj, list(path_of(kind)), replicas)


def path_of(kind: CustomKind) -> tuple[str, ...]:
    """Where the replicas stand."""
    assert kind.scale is not None
    return tuple(kind.scale["specReplicasPath"].removeprefix(".").split("."))


def _with(obj: Obj, path: list[str], value: int) -> Obj:
    name, *rest = path
    return {**obj, name: _with(obj.get(name) or {}, rest, value) if rest else value}
