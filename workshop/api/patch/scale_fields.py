"""managedFields of a scale subresource: a Scale shows who manages the replicas, and what becomes of them there is
carried back into the workload.

    Deployment: kubectl-create {f:replicas, …}   ⇄   Scale: kubectl-create {f:replicas}
    somebody scales: the Scale's entry becomes his   →   Deployment: kubectl-create {…}, he {f:replicas} through `scale`

Upstream: `apimachinery/pkg/util/managedfields/scalehandler.go`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workshop.api.patch import fieldset
from workshop.api.patch import managed_fields as mf
from workshop.api.patch.managed_fields import Entry, Managed

VERSION = "autoscaling/v1"
REPLICAS = ("spec", "replicas")

Entries = Iterable[dict[str, Any]]


def _has(entry: Entry, path: tuple[str, ...]) -> bool:
    return fieldset.has(entry.fields, tuple(f"f:{name}" for name in path))


def to_scale(parent: Entries, path: tuple[str, ...]) -> list[dict[str, Any]]:
    """The entries of a Scale. `path` leads to the workload's replicas; raises ValueError for entries without sense."""
    return mf.encode(
        {
            manager: Entry(fieldset.of(REPLICAS), VERSION, entry.time)
            for manager, entry in mf.decode(parent).items()
            if _has(entry, path)
        }
    )


def to_parent(parent: Entries, scale: Entries, path: tuple[str, ...], version: str) -> list[dict[str, Any]]:
    """The workload's entries after a write through its Scale, whose entries are now `scale`."""
    mine, result = mf.decode(scale), Managed()
    for manager, entry in mf.decode(parent).items():
        if not _has(entry, path) or manager in mine:
            result[manager] = entry
            mine.pop(manager, None)
        elif left := fieldset.difference(entry.fields, fieldset.of(path)):
            result[manager] = Entry(left, entry.api_version, entry.time)
    for manager, entry in mine.items():
        if _has(entry, REPLICAS):
            result[manager] = Entry(fieldset.of(path), version)  # without a time, as upstream forgets it
    return mf.encode(result)
