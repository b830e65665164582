"""The verbs of every kind: get, list, watch, create, update, patch, delete, deletecollection."""

from __future__ import annotations

from typing import Any

from workshop import trace
from workshop.api import codec, decode, errors, json_syntax, protobuf
from workshop.api.meta import Obj
from workshop.api.patch.request import check_options
from workshop.api.patch.request import kind_of as patch_kind
from workshop.api.patch.request import read as read_patch
from workshop.api.resources import Resource
from workshop.apiserver.registry.deletion import Deleter
from workshop.apiserver.registry.options import delete_options, list_options, selection, write_options
from workshop.apiserver.registry.reader import Reader, served, served_obj
from workshop.apiserver.registry.writer import Writer
from workshop.apiserver.server.http import Request, Response, json_response
from workshop.apiserver.server.negotiate import JSON, PROTOBUF, YAML, accepted, body_type
from workshop.clock import Clock

from . import forms, patches
from .watch import Watches


class Resources:
    """All kinds alike. `handle` is reached with `request.info` filled in and everything allowed."""

    def __init__(self, reader: Reader, writer: Writer, deleter: Deleter, watches: Watches, clock: Clock) -> None:
        self.reader, self.writer, self.deleter, self.watches, self.clock = reader, writer, deleter, watches, clock

    async def handle(self, request: Request, resource: Resource) -> Response:
        verb = request.info.verb
        on_collection = verb in ("create", "list", "watch", "deletecollection")
        named = bool(request.info.name) and verb not in ("list", "watch")
        if verb not in resource.verbs or (named is on_collection and verb not in ("list", "watch")):
            raise errors.not_allowed()
        match verb:
            case "get":
                return await self.get(request, resource)
            case "list":
                return await self.list(request, resource)
            case "watch":
                form = accepted(request.header("accept"), streams=True)
                return await self.watches.serve(request, selection(request, resource), form)
            case "create":
                return await self.create(request, resource)
            case "update":
                return await self.update(request, resource)
            case "patch":
                return await self.patch(request, resource)
            case "delete":
                return await self.delete(request, resource)
            case "deletecollection":
                return await self.delete_collection(request, resource)
        raise errors.method_not_supported(resource, verb)

    async def get(self, request: Request, resource: Resource) -> Response:
        form = accepted(request.header("accept"))
        info = request.info
        with trace.step("apiserver.link", link="read") as told:
            stored = await self.reader.get(resource, info.namespace, info.name, request.option("resourceVersion"))
            told["revision"], told["bytes"] = stored.revision, len(stored.raw)
        if not form.form:
            return json_response(served(resource, stored))
        return forms.one(request, resource, served_obj(resource, stored), form, self.clock.now())

    async def list(self, request: Request, resource: Resource) -> Response:
        form = accepted(request.header("accept"), streams=True)
        with trace.step("apiserver.link", link="read") as told:
            page = await self.reader.list(selection(request, resource), list_options(request))
            told["revision"], told["objects"] = page.revision, len(page.items)
        return forms.many(request, resource, page, form, self.clock.now())

    async def create(self, request: Request, resource: Resource) -> Response:
        form, media = accepted(request.header("accept")), request.header("content-type")
        if resource.namespaced and not request.info.namespace:
            raise errors.not_allowed()
        body_type(media, taken(resource))
        raw, options = await request.body(), write_options(request)
        obj, warnings = read_object(resource, raw, media, options.field_validation)
        request.warnings.extend(warnings)
        request.sent(obj)
        made = await self.writer.create(resource, request.info.namespace, obj, options)
        return forms.one(request, resource, made.obj, form, self.clock.now(), 201)

    async def update(self, request: Request, resource: Resource, subresource: str = "") -> Response:
        form, info, raw = accepted(request.header("accept")), request.info, await request.body()
        options = write_options(request)
        body, warnings = read_object(resource, raw, request.header("content-type"), options.field_validation)
        request.warnings.extend(warnings)
        request.sent(body)
        if not body.get("metadata", {}).get("name"):
            raise errors.bad_request(errors.unnamed(info.name))
        name, version = body["metadata"]["name"], body["metadata"].get("resourceVersion") or "0"
        if name != info.name:
            raise errors.bad_request(
                f"the name of the object ({name}) does not match the name on the URL ({info.name})"
            )
        if not (version.isascii() and version.isdigit()):
            why = f"strconv.ParseUint: parsing {errors.quote(version)}: invalid syntax"
            raise errors.failure(500, "", why)

        async def replaced(old: Obj | None) -> Obj:
            return {**body, "metadata": {**body["metadata"]}}

        written = await self.writer.update(
            resource, info.namespace, info.name, replaced, options, subresource,
            create_if_missing=self.writer.strategies.of(resource).allows_create_on_update,
            uid=body["metadata"].get("uid") or None,
        )  # fmt: skip
        status = 201 if written.created else 200
        return forms.one(request, resource, written.obj, form, self.clock.now(), status)

    async def patch(self, request: Request, resource: Resource, subresource: str = "") -> Response:
        form, info, media = accepted(request.header("accept")), request.info, request.header("content-type")
        patch_kind(media, resource.custom)
        raw, options = await request.body(), write_options(request)
        patch = read_patch(media, raw, custom=resource.custom, field_validation=options.field_validation)
        request.sent(patch.body)
        check_options(
            patch, options.manager if options.explicit_manager else "",
            request.flag("force") if "force" in request.query else None,
        )  # fmt: skip
        applying = patch.kind == "apply"
        if applying:
            change = patches.applied(patch, resource, options, self.clock, subresource, info.name)
        else:
            change = patches.change(patch, resource, options, info.name)
        written = await self.writer.update(
            resource, info.namespace, info.name, change, options, subresource,
            create_if_missing=applying, applying=applying,
        )  # fmt: skip
        status = 201 if written.created else 200
        return forms.one(request, resource, written.obj, form, self.clock.now(), status)

    async def delete(self, request: Request, resource: Resource) -> Response:
        form, info = accepted(request.header("accept")), request.info
        options = await delete_options(request)
        if resource.group_resource == "jobs.batch" and options.propagation is None and options.orphan is None:
            request.warnings.append(JOBS_ORPHAN)
        obj, gone = await self.deleter.delete(resource, info.namespace, info.name, options, request.user)
        if not gone or self.writer.strategies.of(resource).returns_deleted_object():
            return forms.one(request, resource, obj, form, self.clock.now())
        return json_response(success(resource, obj))

    async def delete_collection(self, request: Request, resource: Resource) -> Response:
        form = accepted(request.header("accept"))
        options = await delete_options(request)
        page = await self.reader.list(selection(request, resource), list_options(request))
        await self.deleter.delete_all(resource, page.items, options, request.user)
        return forms.many(request, resource, page, form, self.clock.now())


JOBS_ORPHAN = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or "
    "set propagationPolicy=Orphan to suppress this warning"
)


def success(resource: Resource, obj: Obj) -> Obj:
    """The Status of a deletion."""
    details = {"name": obj["metadata"]["name"], "kind": resource.plural, "uid": obj["metadata"]["uid"]}
    if resource.group:
        details["group"] = resource.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def taken(resource: Resource) -> tuple[str, ...]:
    """The media types in which objects of a kind may be sent."""
    return (JSON, YAML, PROTOBUF) if resource.definition is None else (JSON, YAML)


def read_object(resource: Resource, body: bytes, content_type: str, field_validation: str) -> tuple[Obj, list[str]]:
    """A body as an object of the resource's kind, and warnings. Raises ApiError 400 and 415."""
    kind = resource.definition
    if kind is None:
        return read_body(body, content_type, resource.api_version, resource.kind, field_validation)
    media, text = body_type(content_type, taken(resource)), body.decode(errors="replace")
    doubled: list[str] = []
    try:
        value = decode.loads(body) if media == JSON else codec.load_yaml(body, doubled=doubled)
    except (ValueError, RecursionError) as error:
        parsing = f"couldn't get version/kind; json parse error: {json_syntax.complaint(text)}"
        why = parsing if media == JSON else str(error).removeprefix("error converting YAML to JSON: ")
        raise kind.unrecognized(why, text) from None
    return kind.decode(value, field_validation, text, doubled)


def read_body(
    body: bytes, content_type: str, api_version: str, kind: str, field_validation: str
) -> tuple[Obj, list[str]]:
    """A body as an object of `kind`, and warnings. Raises ApiError 400 and 415."""
    with trace.step("apiserver.link", link="decoding", type=content_type, bytes=len(body)) as told:
        obj, warnings = _read_body(body, content_type, api_version, kind, field_validation)
        told["warnings"] = warnings
    return obj, warnings


def _read_body(
    body: bytes, content_type: str, api_version: str, kind: str, field_validation: str
) -> tuple[Obj, list[str]]:
    media = body_type(content_type)
    if media == JSON:
        return decode.decode_kind(api_version, kind, body, field_validation)
    value: Any
    doubled: list[str] = []
    try:
        value = protobuf.decode(body) if media == PROTOBUF else codec.load_yaml(body, doubled=doubled)
    except ValueError as error:
        lead = f"the object provided is unrecognized (must be of type {kind})"
        why = str(error).removeprefix("error converting YAML to JSON: ")
        raise errors.bad_request(f"{lead}: {why} ({decode.summary(body)})") from None
    assert media in (PROTOBUF, YAML)
    return decode.decode_value(api_version, kind, value, field_validation, body, doubled)
