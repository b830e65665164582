"""Back beyond the moment of attachment: lists at exact resourceVersions, as far as etcd has not forgotten.

A list with `resourceVersionMatch=Exact` is answered from etcd as it was at that revision; what has been compacted is
410 Gone. `edge` finds the oldest revision that is left by halving; `pictures` shows some moments between it and now.
Only done when somebody scrubs back so far. (etcd counts every write, leases too: not each revision shows a change.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from workshop.api.errors import ApiError
from workshop.api.meta import Obj
from workshop.api.resources import resource
from workshop.client.rest import Client

from .model import Model, lease_times

POINTS = 12
"""How many moments are filled in."""
LEASES = resource("leases.coordination.k8s.io")


async def edge(client: Client, newest: int) -> int:
    """The oldest revision that can still be listed, at most `newest`. Raises ApiError, Unreachable."""
    gone, there = 0, newest
    while there - gone > 1:
        middle = (gone + there) // 2
        try:
            await client.list(
                LEASES, "kube-system", limit=1, resource_version=str(middle), resource_version_match="Exact"
            )
            there = middle
        except ApiError as error:
            if error.code not in (410, 500, 504):  # a real server says 410; one that has begun meanwhile 504
                raise
            gone = middle
    return there


def moments(oldest: int, newest: int, count: int = POINTS) -> list[int]:
    """At most `count` revisions from `oldest` on, before `newest`, evenly apart.

    >>> moments(100, 200, 4), moments(5, 7)
    ([100, 125, 150, 175], [5, 6])
    """
    span = newest - oldest
    return sorted({oldest + span * place // count for place in range(count)} - {newest}) if span > 0 else []


async def picture(client: Client, kinds: Sequence[str], version: int) -> dict[str, Any]:
    """The rows as they were at `version`: {version, at (ms since 1970, 0 where nothing tells), rows}.

    Nothing was observed then, as far as the board knows: that column is empty.
    """

    async def listed(kind: str) -> list[Obj]:
        found = await client.list(resource(kind), resource_version=str(version), resource_version_match="Exact")
        items: list[Obj] = found["items"]
        return items

    lists = await asyncio.gather(*(listed(kind) for kind in kinds))
    leases = await client.list(LEASES, "kube-system", resource_version=str(version), resource_version_match="Exact")
    model = Model(observes=False)
    for items in lists:
        for obj in items:
            model.put(obj)
    model.flush(0.0)
    return {"version": version, "at": lease_times(leases["items"]) * 1000, "rows": model.rows}


async def before(client: Client, kinds: Sequence[str], attached: int) -> dict[str, Any]:
    """Everything that can be filled in before `attached`: {edge, points}. Raises ApiError, Unreachable."""
    oldest = await edge(client, attached)
    points = []
    for version in moments(oldest, attached):
        try:
            points.append(await picture(client, kinds, version))
        except ApiError as error:
            if error.code != 410:
                raise
            oldest = version + 1  # forgotten while it was asked for
    return {"edge": oldest, "points": points}
