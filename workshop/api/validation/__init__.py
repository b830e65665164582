"""What an object must be beyond its shape. `validate` and `validate_update` return causes; none means it is well."""

from __future__ import annotations

from workshop.api.errors import cause
from workshop.api.meta import Obj
from workshop.api.resources import Resource


def validate(resource: Resource, obj: Obj) -> list[dict[str, str]]:
    """The problems of a new object."""
    name = obj["metadata"].get("name", "")
    if not name:
        return [cause("FieldValueRequired", "Required value: name or generateName is required", "metadata.name")]
    return []


def validate_update(resource: Resource, new: Obj, old: Obj, subresource: str = "") -> list[dict[str, str]]:
    """The problems of a changed object."""
    return []
