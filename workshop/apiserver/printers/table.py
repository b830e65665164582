"""Objects as a `meta.k8s.io/v1` Table."""

from __future__ import annotations

import json
from functools import cache
from pkgutil import get_data
from typing import Any

from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.apiserver.printers import custom
from workshop.apiserver.printers.cells import PRINTERS, age


@cache
def _columns() -> dict[str, list[tuple[Any, ...]]]:
    """Resource and version → (name, type, format, description, priority); "" → those of a resource without its own."""
    read = json.loads(get_data("workshop.apiserver.printers", "columns.json") or b"{}")
    texts = read["descriptions"]
    found = {
        name: [(column, kind, format, texts[text], priority) for column, kind, format, text, priority in rows]
        for name, rows in read["columns"].items()
    }
    named, aged = found["configmaps/v1"][0], found["configmaps/v1"][-1]
    return found | {"": [named, ("Created At", "date", "", aged[3], 0)]}


def _default_cells(obj: Obj, now: float) -> list[Any]:
    return [obj["metadata"].get("name", ""), obj["metadata"].get("creationTimestamp", "")]


SHOWN_PLAINLY = (
    "csistoragecapacities.storage.k8s.io", "customresourcedefinitions.apiextensions.k8s.io", "limitranges",
    "roles.rbac.authorization.k8s.io", "clusterroles.rbac.authorization.k8s.io",
)  # fmt: skip
OF_SCALES = (("Desired", "replicas is the desired number of instances for the scaled object."),
             ("Available", "replicas is the actual number of observed instances of the scaled object."))  # fmt: skip


def _scale_columns() -> list[tuple[Any, ...]]:
    """What a workload's scale is shown by, whichever workload it is."""
    rows = _columns()["configmaps/v1"]
    ends = [(name, kind, "", text, priority) for name, kind, _, text, priority in (rows[0], rows[-1])]
    return [ends[0], *((name, "integer", "", text, 0) for name, text in OF_SCALES), ends[1]]


def _scale_cells(obj: Obj, now: float) -> list[Any]:
    asked, has = ((obj.get(part) or {}).get("replicas", 0) for part in ("spec", "status"))
    return [obj["metadata"]["name"], asked, has, age(obj, now)]


def table(
    resource: Resource, objects: list[Obj], now: float, include_object: str = "Metadata", columns: bool = True
) -> Obj:
    """The Table of `objects`. `include_object` is the query parameter: None, Metadata or Object. The caller sets the
    list's metadata. A watch sends the columns with its first row only (`columns=False` leaves them out)."""
    if resource.definition is not None:
        return custom.table(resource.definition, objects, now, include_object, columns)
    definitions = _columns().get(f"{resource.group_resource}/{resource.version}")
    cells = PRINTERS.get(resource.group_resource)
    plain = resource.group_resource in SHOWN_PLAINLY
    if objects and objects[0].get("kind") == "Scale":
        definitions, cells = _scale_columns(), _scale_cells
    if definitions is None or cells is None:
        definitions, cells, plain = _columns()[""], _default_cells, True
    made = [
        {"name": name, "type": kind, "format": format, "description": text, "priority": priority}
        for name, kind, format, text, priority in definitions
    ]
    rows: list[Obj] | None = [
        {"cells": cells(obj, now), **_conditions(obj), **custom.shown_object(obj, include_object)} for obj in objects
    ]
    if plain and not rows:
        rows = None  # Go's nil: upstream's table of kinds without columns begins so
    head: Obj = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}}
    return {**head, "columnDefinitions": made if columns else None, "rows": rows}


def _conditions(obj: Obj) -> Obj:
    """Pods that are done are marked, so that clients may hide them."""
    phase = (obj.get("status") or {}).get("phase") if "containers" in (obj.get("spec") or {}) else ""
    if phase not in ("Succeeded", "Failed"):
        return {}
    message = "The pod has completed successfully." if phase == "Succeeded" else "The pod failed."
    return {"conditions": [{"type": "Completed", "status": "True", "reason": phase, "message": message}]}
