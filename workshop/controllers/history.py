"""ControllerRevisions: the past templates of StatefulSets and DaemonSets. Upstream: `pkg/controller/history`.

A revision holds the patch that puts its template back: `{"spec": {"template": {…, "$patch": "replace"}}}`.
"""

from __future__ import annotations

from typing import Any

from workshop.api import meta
from workshop.api.errors import ApiError, is_already_exists
from workshop.api.meta import Obj
from workshop.api.resources import resource
from workshop.client.rest import Client

from .base import all_of
from .hashing import template_hash

REVISIONS = resource("controllerrevisions.apps")


def in_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: in_order(value[name]) for name in sorted(value)}
    return [in_order(each) for each in value] if isinstance(value, list) else value


def data_of(owner: Obj) -> dict[str, Any]:
    """With names in order, as Go writes maps: clients compare the bytes."""
    template = in_order({**owner["spec"]["template"], "$patch": "replace"})
    return {"spec": {"template": template}}


def template_of(revision: Obj) -> dict[str, Any]:
    template = revision["data"]["spec"]["template"]
    return {k: v for k, v in template.items() if k != "$patch"}


def ordered(revisions: list[Obj]) -> list[Obj]:
    return sorted(revisions, key=lambda r: (r["revision"], meta.creation_timestamp(r), meta.name(r)))


async def current(
    client: Client, owner: Obj, revisions: list[Obj], hash_label: str, collisions: int | None
) -> tuple[Obj, list[Obj], int | None]:
    """The revision of the owner's template: found, moved to the front, or made. → (it, all, collision count)."""
    data = data_of(owner)
    past = ordered(revisions)
    newest = past[-1]["revision"] if past else 0
    same = [r for r in past if r["data"] == data]
    if same:
        found = same[-1]
        if found["revision"] != newest:
            found = await client.update(REVISIONS, {**found, "revision": newest + 1})
            past = [found if meta.uid(r) == meta.uid(found) else r for r in past]
        return found, ordered(past), collisions
    while True:
        hashed = template_hash(data, collisions)
        metadata = {
            "name": f"{meta.name(owner)}-{hashed}",
            "namespace": meta.namespace(owner),
            "labels": {**(owner["spec"]["template"]["metadata"].get("labels") or {}), hash_label: hashed},
            "ownerReferences": [meta.owner_reference(owner)],
        }
        try:
            body = {"metadata": metadata, "data": data, "revision": newest + 1}
            made = await client.create(REVISIONS, body)
        except ApiError as error:
            if not is_already_exists(error):
                raise
            there = await client.get(REVISIONS, str(metadata["name"]), meta.namespace(owner))
            if there["data"] == data and meta.is_controlled_by(there, owner):
                return there, ordered([*past, there]), collisions
            collisions = (collisions or 0) + 1
            continue
        return made, ordered([*past, made]), collisions


async def truncate(client: Client, revisions: list[Obj], live: set[str], limit: int) -> None:
    """Delete the oldest of those that no pod is of, beyond `limit`. `live`: names of revisions in use."""
    idle = [r for r in ordered(revisions) if meta.name(r) not in live]

    async def delete(revision: Obj) -> None:
        try:
            await client.delete(REVISIONS, meta.name(revision), meta.namespace(revision))
        except ApiError as error:
            if error.code != 404:
                raise

    await all_of(delete(r) for r in idle[: max(0, len(idle) - limit)])
