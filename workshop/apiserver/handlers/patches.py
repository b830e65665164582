"""PATCH in its four kinds, as a function from the object as it stands to what it shall be.

Upstream: apiserver/pkg/endpoints/handlers/patch.go.
"""

from __future__ import annotations

from typing import Any

from workshop.api import codec, decode, errors, schema
from workshop.api.meta import Obj
from workshop.api.patch import apply, json_patch, managed_fields, merge, strategic
from workshop.api.resources import Resource
from workshop.apiserver.registry.options import WriteOptions
from workshop.apiserver.registry.writer import Change
from workshop.apiserver.server.negotiate import media_types
from workshop.clock import Clock

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_YAML = "application/apply-patch+yaml"
APPLY_CBOR = "application/apply-patch+cbor"


def patch_type(header: str, builtin: bool = True) -> str:
    """Which kind of patch a Content-Type names. Raises ApiError 415."""
    known = [JSON_PATCH, MERGE_PATCH, *([STRATEGIC_PATCH] if builtin else []), APPLY_YAML]
    kinds = media_types(header)
    if not kinds or kinds[0][0] not in known:
        if builtin:
            raise errors.failure(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
        raise errors.unsupported_media_type([*known, APPLY_CBOR])
    return kinds[0][0]


def parse(body: bytes, kind: str) -> Any:
    """The patch itself. Raises ApiError 400."""
    try:
        return codec.load_yaml(body) if kind == APPLY_YAML else codec.loads(body)
    except ValueError as error:
        if kind == APPLY_YAML:
            raise errors.bad_request(f"error decoding YAML: {error}") from None
        raise errors.bad_request(f"error decoding patch: {error}") from None


def change(kind: str, patch: Any, resource: Resource, options: WriteOptions, name: str) -> Change:
    """The change that JSON, merge and strategic patches make; unknown fields as `fieldValidation` says."""
    types = schema.for_kind(resource.api_version, resource.kind)

    async def patched(old: Obj | None) -> Obj:
        if old is None:
            raise errors.not_found(resource, name)
        if kind == JSON_PATCH:
            new = json_patch.apply(old, patch)
        elif kind == MERGE_PATCH:
            if not isinstance(patch, dict):
                go = "json: cannot unmarshal array into Go value of type map[string]interface {}"
                raise errors.bad_request(f"error decoding patch: {go}")
            new = merge.apply(old, patch)
        else:
            new = strategic.apply(types, old, patch)
        return _read(resource, new, options)

    return patched


def _read(resource: Resource, new: Any, options: WriteOptions) -> Obj:
    """The patched object read by its schema; warnings once, not once a try."""
    try:
        obj, warnings = decode.decode_value(resource.api_version, resource.kind, new, options.field_validation)
    except errors.ApiError as error:
        if "strict decoding error" in error.message:
            strict = error.message[error.message.index("strict decoding error") :]
            raise errors.bad_request(strict) from None
        raise errors.invalid(resource.kind, "", [errors.cause("", error.message, "patch")]) from None
    for warning in warnings:
        if warning not in options.warnings:
            options.warnings.append(warning)
    return obj


def applied(patch: Any, resource: Resource, options: WriteOptions, clock: Clock, subresource: str, name: str) -> Change:
    """Server-side apply: fields that `options.manager` names are his, and what he no longer names goes."""
    if not isinstance(patch, dict):
        raise errors.bad_request("error decoding YAML: the patch is no object")
    if not options.explicit_manager:
        cause = errors.cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
        raise errors.invalid("PatchOptions.meta.k8s.io", "", [cause])
    types = schema.for_kind(resource.api_version, resource.kind)
    said = (patch.get("apiVersion"), patch.get("kind"))
    if all(said) and said != (resource.api_version, resource.kind):
        raise errors.bad_request(f"invalid object type: {said[0]}, Kind={said[1]}")
    apply.check(patch, managed_fields.root_of(types))  # before fields that nobody knows are dropped
    config, warnings = decode.decode_value(resource.api_version, resource.kind, patch, options.field_validation)
    options.warnings.extend(warnings)
    if patch.get("apiVersion") is None or patch.get("kind") is None:
        raise errors.bad_request("invalid object type: /, Kind=")
    given = config.get("metadata", {}).get("name")
    if given and given != name:
        raise errors.bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
    reset = managed_fields.reset_fields(subresource, resource.subresource("status") is not None)

    async def merged(old: Obj | None) -> Obj:
        # The patch as it was sent: read by its schema it would also say the zero values that Go writes out.
        new = apply.apply(old, patch, options.manager, options.force, types, clock.now(), subresource, reset)
        return decode.decode_value(resource.api_version, resource.kind, new, "Ignore")[0]

    return merged
