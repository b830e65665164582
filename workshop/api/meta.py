"""Objects as plain dicts, and the accessors of their metadata.

`Obj` is shaped like the JSON that `kubectl get -o json` shows. Accessors never fail on what is missing: they give
the empty value of the field. Upstream: `staging/src/k8s.io/apimachinery/pkg/apis/meta/v1`.

>>> pod = {"metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}}}
>>> key_of(pod), labels(pod)["app"], str(key_of(pod))
(Key(namespace='default', name='web'), 'web', 'default/web')
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from workshop.clock import parse_rfc3339

Obj = dict[str, Any]
T = TypeVar("T")
_NONE: dict[str, Any] = {}


class Key(NamedTuple):
    """Names an object among those of its kind. `namespace` is "" for cluster-scoped objects."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def metadata(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The object's metadata; an empty dict (not to be written to) when it has none."""
    return obj.get("metadata") or _NONE


def name(obj: Mapping[str, Any]) -> str:
    return metadata(obj).get("name") or ""


def namespace(obj: Mapping[str, Any]) -> str:
    """ "" for cluster-scoped objects."""
    return metadata(obj).get("namespace") or ""


def uid(obj: Mapping[str, Any]) -> str:
    return metadata(obj).get("uid") or ""


def labels(obj: Mapping[str, Any]) -> dict[str, str]:
    return metadata(obj).get("labels") or {}


def annotations(obj: Mapping[str, Any]) -> dict[str, str]:
    return metadata(obj).get("annotations") or {}


def resource_version(obj: Mapping[str, Any]) -> str:
    """Opaque: compare for equality only. Works for lists too."""
    return metadata(obj).get("resourceVersion") or ""


def generation(obj: Mapping[str, Any]) -> int:
    return metadata(obj).get("generation") or 0


def owner_references(obj: Mapping[str, Any]) -> list[dict[str, Any]]:
    return metadata(obj).get("ownerReferences") or []


def controller_of(obj: Mapping[str, Any]) -> dict[str, Any] | None:
    """The owner reference with `controller: true`, of which there is at most one."""
    return next((ref for ref in owner_references(obj) if ref.get("controller")), None)


def is_controlled_by(obj: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    """By uid: an owner that was deleted and made again under its name is another owner."""
    ref = controller_of(obj)
    return ref is not None and ref.get("uid") == uid(owner)


def owner_reference(owner: Mapping[str, Any], controller: bool = True) -> dict[str, Any]:
    """A reference to `owner`, which must carry apiVersion, kind, name and uid. A controller's also blocks its
    owner's foreground deletion, as upstream's NewControllerRef."""
    ref: dict[str, Any] = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name(owner),
        "uid": uid(owner),
    }
    if controller:
        ref["controller"] = True
        ref["blockOwnerDeletion"] = True
    return ref


def deletion_timestamp(obj: Mapping[str, Any]) -> float | None:
    """POSIX seconds; None while nobody has asked for deletion."""
    text = metadata(obj).get("deletionTimestamp")
    return parse_rfc3339(text) if text else None


def finalizers(obj: Mapping[str, Any]) -> list[str]:
    return metadata(obj).get("finalizers") or []


def creation_timestamp(obj: Mapping[str, Any]) -> float:
    """POSIX seconds; 0 for an object that was never stored."""
    text = metadata(obj).get("creationTimestamp")
    return parse_rfc3339(text) if text else 0.0


def key_of(obj: Mapping[str, Any]) -> Key:
    meta = metadata(obj)
    return Key(meta.get("namespace") or "", meta.get("name") or "")


def copy(obj: T) -> T:
    """A deep copy of JSON data. Several times quicker than `copy.deepcopy`, which has to expect cycles."""
    if isinstance(obj, dict):
        return {k: copy(v) if isinstance(v, (dict, list)) else v for k, v in obj.items()}  # type: ignore[return-value]
    if isinstance(obj, list):
        return [copy(v) if isinstance(v, (dict, list)) else v for v in obj]  # type: ignore[return-value]
    return obj
