"""What a write left behind: the object as it is served, and a trace line for whoever listens."""

from __future__ import annotations

from dataclasses import dataclass

from workshop import trace
from workshop.api.meta import Obj
from workshop.apiserver.interfaces import UserInfo


@dataclass(frozen=True, slots=True)
class Written:
    """The object as served. `created` is false for an update."""

    obj: Obj
    created: bool = False


def versioned(obj: Obj, revision: int) -> Obj:
    """The object as it is served once etcd has taken it: with that revision, which is stored nowhere in it."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    return {**obj, "metadata": {**metadata, "resourceVersion": str(revision)}}


def tell(verb: str, obj: Obj, subresource: str, user: UserInfo, manager: str = "") -> None:
    """A trace line for a write that etcd has taken: who, what, and the version that it made."""
    if trace.enabled():
        metadata = obj["metadata"]
        trace.emit(
            "apiserver.write",
            verb=verb,
            kind=obj.get("kind", ""),
            namespace=metadata.get("namespace", ""),
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            subresource=subresource,
            version=metadata.get("resourceVersion", ""),
            user=user.name,
            manager=manager,
        )
