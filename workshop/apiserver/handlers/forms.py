"""How objects leave: whole, as a Table with the server's columns, or as metadata only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from workshop.api import errors
from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.apiserver import printers
from workshop.apiserver.cacher import Stored
from workshop.apiserver.registry.reader import Page, served, served_obj
from workshop.apiserver.server.http import Request, Response, json_response
from workshop.apiserver.server.negotiate import Accepted

encode = msgspec.json.encode
encode_sorted = msgspec.json.Encoder(order="sorted").encode
"""Custom resources are maps in upstream, and Go writes those by name."""


def partial(obj: Obj) -> Obj:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def one(request: Request, resource: Resource, obj: Obj, form: Accepted, now: float, status: int = 200) -> Response:
    """One object as the client wants it."""
    if form.form == "Table":
        return json_response(table(request, resource, [obj], now, obj["metadata"].get("resourceVersion", "")), status)
    if form.form == "PartialObjectMetadata":
        return json_response(partial(obj), status)
    if form.form:
        why = f"you requested {form.form}, but the requested object is not a list (*{_go_type(resource)})"
        raise errors.failure(406, "NotAcceptable", why)
    return json_response(encode_sorted(obj) if resource.custom else obj, status)


def _go_type(resource: Resource) -> str:
    """Upstream's internal type: `core.ConfigMap`, `rbac.Role`."""
    return f"{resource.storage_group.partition('.')[0] or 'core'}.{resource.kind}"


def table(request: Request, resource: Resource, objects: Sequence[Obj], now: float, version: str, **more: Any) -> Obj:
    include = request.option("includeObject") or "Metadata"
    if include not in ("None", "Metadata", "Object"):
        raise errors.bad_request(f'unrecognized includeObject value: "{include}"')
    made = printers.table(resource, list(objects), now, include)
    made["metadata"] = {"resourceVersion": version, **more}
    return made


def many(request: Request, resource: Resource, page: Page, form: Accepted, now: float) -> Response:
    """A list. Whole objects are joined from the bytes that the cache holds; nothing is encoded again."""
    more: dict[str, Any] = {}
    if page.token:
        more["continue"] = page.token
    if page.remaining is not None:
        more["remainingItemCount"] = page.remaining
    version = str(page.revision)
    if form.form == "Table":
        return json_response(
            table(request, resource, [served_obj(resource, s) for s in page.items], now, version, **more)
        )
    metadata = encode({"resourceVersion": version, **more})
    if form.form == "PartialObjectMetadata":
        why = f"you requested {form.form}, but the requested object is a list (*{_go_type(resource)}List)"
        raise errors.failure(406, "NotAcceptable", why)
    if form.form:
        kind, api_version = "PartialObjectMetadataList", "meta.k8s.io/v1"
        items = [encode(partial(s.obj)) for s in page.items]
    else:
        kind, api_version = f"{resource.kind}List", resource.api_version
        items = [_element(served(resource, stored)) for stored in page.items]
    head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (kind.encode(), api_version.encode(), metadata)
    return Response(body=head + b",".join(items) + b"]}\n")


def _element(whole: bytes) -> bytes:
    """An object as an element of a list, where kind and apiVersion are the list's to tell."""
    at = whole.find(b'"metadata":', 0, 200)
    return b"{" + whole[at:] if at > 0 else whole


def event(resource: Resource, type: str, stored: Stored) -> bytes:
    """One watch event of a whole object."""
    return b'{"type":"%b","object":%b}\n' % (type.encode(), served(resource, stored))
