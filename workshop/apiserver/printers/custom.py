"""Tables of custom resources: the columns that their definition names, by JSON paths; Age where it names none.

Upstream: apiextensions-apiserver/pkg/registry/customresource/tableconvertor/tableconvertor.go.
"""

from __future__ import annotations

from typing import Any

from workshop.api.custom import jsonpath
from workshop.api.custom.kind import CustomKind, go_value
from workshop.api.meta import Obj
from workshop.apiserver.printers.cells import since

AGE_TEXT = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed "
    "to be set in happens-before order across separate operations. Clients may not set this value. It is represented "
    "in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "description": AGE_TEXT}
NAME = {"name": "Name", "type": "string", "format": "name", "priority": 0}
NAME_TEXT = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a "
    "client to request the generation of an appropriate name automatically. Name is primarily intended for creation "
    "idempotence and configuration definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)


def table(kind: CustomKind, objects: list[Obj], now: float, include_object: str, columns: bool) -> Obj:
    chosen = kind.columns or [AGE]
    made = [{**NAME, "description": NAME_TEXT}]
    for column in chosen:
        told = column.get("description") or (
            f"Custom resource definition column (in JSONPath format): {column['jsonPath']}"
        )  # fmt: skip
        made.append(
            {"name": column["name"], "type": column["type"], "format": column.get("format") or "",
             "description": told, "priority": column.get("priority") or 0}
        )  # fmt: skip
    rows = [
        {"cells": [obj["metadata"]["name"], *(cell(obj, column, now) for column in chosen)],
         **shown_object(obj, include_object)}
        for obj in objects
    ]  # fmt: skip
    head: Obj = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}}
    return {**head, "columnDefinitions": made if columns else None, "rows": rows}


def cell(obj: Obj, column: Obj, now: float) -> Any:
    """One value as JSON of the column's type; None where there is none, or one of another type."""
    found = jsonpath.find(obj, column["jsonPath"])
    if not found or (found[0] is None and len(found) == 1):
        return None
    value, kind = found[0], column["type"]
    if kind == "string":
        if len(found) == 1 and isinstance(value, str):
            return value
        return " ".join(each if isinstance(each, str) else go_value(each) for each in found)
    if kind == "date":
        return since(value, now) if isinstance(value, str) else "<invalid>"
    wanted = {"integer": (int, float), "number": (int, float), "boolean": (bool,)}[kind]
    if not isinstance(value, wanted) or (kind != "boolean" and isinstance(value, bool)):
        return None
    return int(value) if kind == "integer" else float(value) if kind == "number" and isinstance(value, float) else value


def shown_object(obj: Obj, include: str) -> Obj:
    """A row's `object`: what the client asked to have beside the cells."""
    if include == "None":
        return {}
    if include == "Object":
        return {"object": obj}
    head = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    return {"object": {**head, "metadata": obj["metadata"]}}
