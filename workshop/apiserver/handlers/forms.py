"""How objects leave: whole, as a Table with the server's columns, or as metadata only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from workshop.api import errors
from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.apiserver import printers
from workshop.apiserver.registry.convert import same_store
from workshop.apiserver.registry.reader import Page, served_obj
from workshop.apiserver.server.http import Request, Response, json_response
from workshop.apiserver.server.negotiate import Accepted
from workshop.apiserver.shelf import Stored
from workshop.serving.exchange import PIECE

SLACK = 4096  # so that most pieces leave in one write
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
    if resource.custom and not form.form:
        more.setdefault("continue", "")  # as upstream's lists of no type have it
    metadata = encode({"resourceVersion": version, **more})
    if form.form == "PartialObjectMetadata":
        why = f"you requested {form.form}, but the requested object is a list (*{_go_type(resource)}List)"
        raise errors.failure(406, "NotAcceptable", why)
    if form.form:
        kind, api_version = "PartialObjectMetadataList", "meta.k8s.io/v1"
        elements = [encode(partial(s.obj)) for s in page.items]
        common = 0
    else:
        kind, api_version = f"{resource.kind}List", resource.api_version
        elements, common = _elements(resource, page.items)
    if form.form and not elements:  # Go's nil, where other lists have an empty one
        return json_response(
            b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":null}'
            % (kind.encode(), api_version.encode(), metadata)
        )
    head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (kind.encode(), api_version.encode(), metadata)
    return joined(head, elements, common, b"]}\n")


def _elements(resource: Resource, items: Sequence[Stored]) -> tuple[list[bytes], int]:
    """Objects as a list tells them: without kind and apiVersion, which are the list's to tell; custom ones have theirs.
    The bytes of the cache, and how many of them to leave out at the beginning of each, but for the brace."""
    if resource.definition is not None:
        return [stored.raw for stored in items], 0
    head = b'{"kind":"%b","apiVersion":"%b",' % (resource.kind.encode(), resource.api_version.encode())
    whole = [stored.raw for stored in items]
    if same_store(resource) and all(raw.startswith(head) for raw in whole):
        return whole, len(head) - 1
    return [_element(served_obj(resource, stored)) for stored in items], 0


def joined(head: bytes, elements: Sequence[bytes], common: int, tail: bytes) -> Response:
    """`head`, the elements with commas between them, `tail`; each element is cut by its first `common` bytes and gets
    its brace back.

    >>> b"".join(joined(b"[", [b'{"a":1}', b'{"b":2}'], 0, b"]").pieces)
    b'[{"a":1},{"b":2}]'
    """
    length = len(head) + len(tail) + sum(map(len, elements)) - common * len(elements) + max(0, len(elements) - 1)

    def pieces() -> Iterator[bytes]:
        gathered, size = [head], len(head)
        for number, element in enumerate(elements):
            if number:
                gathered.append(b",")
            if common:
                gathered += (b"{", element[common + 1 :])
            else:
                gathered.append(element)
            size += len(element)
            if size >= PIECE - SLACK:
                yield b"".join(gathered)
                gathered, size = [], 0
        gathered.append(tail)
        yield b"".join(gathered)

    return Response(pieces=pieces(), length=length)


def _element(obj: Obj) -> bytes:
    return encode({key: value for key, value in obj.items() if key not in ("kind", "apiVersion")})
