"""PURE: what the board shows, as rows by key, and how one picture becomes the next.

A batch carries only what changed. It has a sequence number and the number that it builds on (`base`); a front end that
has missed one asks for a whole picture again (`base` 0, `full`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from workshop.cluster.board import World, rows

Picture = dict[str, dict[str, Any]]


def picture(world: World, processes: Iterable[Mapping[str, Any]], *, can_observe: bool = True) -> Picture:
    """Rows by key: `process/NAME` and `workload/NAMESPACE/KIND/NAME`. Nothing observable: `observed` is None."""
    found: Picture = {}
    for process in processes:
        found[f"process/{process['name']}"] = {
            "type": "process",
            "name": process["name"],
            "pid": process["pid"],
            "state": process["state"],
            "restarts": process["restarts"] or 0,
        }
    for row in rows(world):
        shown = {"type": "workload", **asdict(row)}
        if not can_observe:
            shown["observed"] = None
            # without processes to look at, only the API's two truths can be compared
            shown["next"] = "" if row.desired == row.reported else "unknown: the processes cannot be seen from here"
        found[f"workload/{row.namespace}/{row.kind}/{row.name}"] = shown
    return found


def delta(old: Picture, new: Picture) -> dict[str, Any] | None:
    """What to put and what to drop to get from `old` to `new`; None when they are equal."""
    put = {key: row for key, row in new.items() if old.get(key) != row}
    drop = [key for key in old if key not in new]
    return {"put": put, "drop": drop} if put or drop else None


def apply(old: Picture, change: Mapping[str, Any]) -> Picture:
    """What the front end does with a delta."""
    kept = {key: row for key, row in old.items() if key not in change["drop"]}
    return {**kept, **change["put"]}
