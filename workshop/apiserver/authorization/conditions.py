"""The matchConditions of an authorization webhook: what their expressions may name."""

from __future__ import annotations

from functools import cache
from typing import Any

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}


@cache
def environment() -> Any:
    """`request` is the review's spec."""
    from workshop.api.cel.environment import Environment
    from workshop.api.cel.types import Declared

    def requirements() -> dict[str, Any]:
        fields = {"key": _TEXT, "operator": _TEXT, "values": _TEXTS}
        each = {"type": "object", "properties": fields}
        return {
            "type": "object",
            "properties": {"rawSelector": _TEXT, "requirements": {"type": "array", "items": each}},
        }

    resource = dict.fromkeys(("namespace", "verb", "group", "version", "resource", "subresource", "name"), _TEXT)
    resource_fields = {**resource, "fieldSelector": requirements(), "labelSelector": requirements()}
    fields = {
        "resourceAttributes": {"type": "object", "properties": resource_fields},
        "nonResourceAttributes": {"type": "object", "properties": {"path": _TEXT, "verb": _TEXT}},
        "user": _TEXT, "uid": _TEXT, "groups": _TEXTS, "extra": {"type": "object", "additionalProperties": _TEXTS},
    }  # fmt: skip
    return Environment({"request": Declared({"type": "object", "properties": fields})})
