"""Who owns which objects: controllers find theirs by label, and mark them by owner reference.

Upstream: `pkg/controller/controller_ref_manager.go`. `claim` decides:

    controlled by us, labels match       ours
    controlled by us, labels do not      release it: it becomes an orphan
    an orphan, labels match              adopt it, unless it or we are being deleted
    controlled by somebody else          not our business, whatever its labels
"""

from __future__ import annotations

from dataclasses import dataclass

from workshop.api import meta
from workshop.api.errors import ApiError
from workshop.api.labels import Selector
from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.client.rest import Client
from workshop.client.store import Store

from .base import all_of

INDEX = "controller"


def by_controller(obj: Obj) -> tuple[str]:
    """Index function: the controller's uid, or, for an orphan, `orphan/NAMESPACE`."""
    ref = meta.controller_of(obj)
    return (ref["uid"] if ref is not None else f"orphan/{meta.namespace(obj)}",)


def candidates(store: Store, owner: Obj) -> list[Obj]:
    """What `owner` controls, and the orphans of its namespace; needs the index `INDEX`."""
    return store.by_index(INDEX, meta.uid(owner)) + store.by_index(INDEX, f"orphan/{meta.namespace(owner)}")


@dataclass(frozen=True)
class Claim:
    """`owned` stays; `adopt` gets a reference to its owner, `release` loses it."""

    owned: list[Obj]
    adopt: list[Obj]
    release: list[Obj]


def claim(owner: Obj, selector: Selector, objects: list[Obj]) -> Claim:
    """Which are owned, to be released, to be adopted; a dying owner takes nobody in."""
    result = Claim([], [], [])
    dying = "deletionTimestamp" in owner["metadata"]
    for obj in objects:
        ref, matches = meta.controller_of(obj), selector.matches(meta.labels(obj))
        if ref is not None:
            if ref["uid"] != meta.uid(owner):
                continue
            if matches:
                result.owned.append(obj)
            elif not dying:
                result.release.append(obj)
        elif matches and not dying and "deletionTimestamp" not in obj["metadata"]:
            result.adopt.append(obj)
    return result


async def claimed(
    client: Client,
    owner: Obj,
    owner_res: Resource,
    selector: Selector,
    objects: list[Obj],
    res: Resource,
    finalizer: str = "",
) -> list[Obj]:
    """Adopt and release as `claim` decides; answers what `owner` owns then. `finalizer` comes and goes with it."""
    decided = claim(owner, selector, objects)
    if not decided.adopt and not decided.release:
        return decided.owned
    adopted: list[Obj] = []
    if decided.adopt:
        # Our cache may be old: an owner that is gone, or was made again under its name, must not adopt.
        fresh = await client.get(owner_res, meta.name(owner), meta.namespace(owner))
        if meta.uid(fresh) != meta.uid(owner) or "deletionTimestamp" in fresh["metadata"]:
            return decided.owned

    async def adopt(obj: Obj) -> None:
        held = {"finalizers": [finalizer]} if finalizer else {}
        patch = {"metadata": {"ownerReferences": [meta.owner_reference(owner)], "uid": meta.uid(obj), **held}}
        adopted.append(await _patch(client, res, obj, patch) or obj)

    async def release(obj: Obj) -> None:
        gone = {"$patch": "delete", "uid": meta.uid(owner)}
        free = {"$deleteFromPrimitiveList/finalizers": [finalizer]} if finalizer else {}
        await _patch(client, res, obj, {"metadata": {"ownerReferences": [gone], "uid": meta.uid(obj), **free}})

    await all_of([*map(adopt, decided.adopt), *map(release, decided.release)])
    return decided.owned + adopted


async def _patch(client: Client, res: Resource, obj: Obj, patch: Obj) -> Obj | None:
    try:
        return await client.patch(res, meta.name(obj), patch, meta.namespace(obj))
    except ApiError as error:
        if error.code in (404, 422):  # gone, or another object of its name by now
            return None
        raise
