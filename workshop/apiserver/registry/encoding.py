"""Objects as bytes in the store: JSON in upstream's order, without the resourceVersion, which is the key's own.

b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web-0",…},"spec":…}'
"""

from __future__ import annotations

from typing import Any

import msgspec

from workshop.api.meta import Obj
from workshop.api.resources import Resource

from .convert import convert

_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


def key_of(resource: Resource, obj: Obj) -> str:
    """Where it is stored: `/registry/pods/default/web-0`."""
    return resource.storage_key(obj["metadata"].get("namespace") or None, obj["metadata"]["name"])


def to_storage(resource: Resource, obj: Obj) -> bytes:
    """The bytes to store: in the storage version, kind first."""
    if resource.definition is not None:  # presented in its storage version already; in the order of Go's maps
        return _encode_sorted({**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k != "resourceVersion"}})
    obj = convert(obj, resource.storage_api_version)
    metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    ordered: dict[str, Any] = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": metadata}
    for key, value in obj.items():
        if key not in ordered:
            ordered[key] = value
    return _encode(ordered)
