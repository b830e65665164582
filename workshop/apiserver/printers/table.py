"""Objects as a `meta.k8s.io/v1` Table."""

from __future__ import annotations

import json
from functools import cache
from pkgutil import get_data
from typing import Any

from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.apiserver.printers import custom
from workshop.apiserver.printers.cells import PRINTERS

DEFAULT_COLUMNS = [["Name", "string", "name", 0], ["Created At", "date", "", 0]]


@cache
def _columns() -> dict[str, list[list[Any]]]:
    text = get_data("workshop.apiserver.printers", "columns.json") or b"{}"
    found: dict[str, list[list[Any]]] = json.loads(text)["columns"]
    return found


def _default_cells(obj: Obj, now: float) -> list[Any]:
    return [obj["metadata"].get("name", ""), obj["metadata"].get("creationTimestamp", "")]


def table(
    resource: Resource, objects: list[Obj], now: float, include_object: str = "Metadata", columns: bool = True
) -> Obj:
    """The Table of `objects`. `include_object` is the query parameter: None, Metadata or Object. The caller sets the
    list's metadata. A watch sends the columns with its first row only (`columns=False` leaves them out)."""
    if resource.definition is not None:
        return custom.table(resource.definition, objects, now, include_object, columns)
    definitions = _columns().get(f"{resource.group_resource}/{resource.version}")
    cells = PRINTERS.get(resource.group_resource)
    if definitions is None or cells is None:
        definitions, cells = DEFAULT_COLUMNS, _default_cells
    made = [
        {"name": name, "type": kind, "format": format, "description": "", "priority": priority}
        for name, kind, format, priority in definitions
    ]
    rows = [
        {"cells": cells(obj, now), **_conditions(obj), **custom.shown_object(obj, include_object)} for obj in objects
    ]
    head: Obj = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}}
    return {**head, "columnDefinitions": made if columns else None, "rows": rows}


def _conditions(obj: Obj) -> Obj:
    """Pods that are done are marked, so that clients may hide them."""
    phase = (obj.get("status") or {}).get("phase") if "containers" in (obj.get("spec") or {}) else ""
    if phase not in ("Succeeded", "Failed"):
        return {}
    message = "The pod has completed successfully." if phase == "Succeeded" else "The pod failed."
    return {"conditions": [{"type": "Completed", "status": "True", "reason": phase, "message": message}]}
