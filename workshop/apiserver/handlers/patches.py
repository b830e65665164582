"""PATCH as a change: from the object as it stands to what it shall be. What a patch is: `api/patch/request.py`.

Upstream: apiserver/pkg/endpoints/handlers/patch.go.
"""

from __future__ import annotations

from workshop.api import decode, errors, schema
from workshop.api.meta import Obj
from workshop.api.patch import apply, managed_fields, request
from workshop.api.patch.request import Patch
from workshop.api.resources import Resource
from workshop.apiserver.registry.options import WriteOptions
from workshop.apiserver.registry.writer import Change
from workshop.clock import Clock


def change(patch: Patch, resource: Resource, options: WriteOptions, name: str) -> Change:
    """The change that JSON, merge and strategic patches make; unknown fields as `fieldValidation` says."""
    types = schema.for_kind(resource.api_version, resource.kind)

    async def patched(old: Obj | None) -> Obj:
        if old is None:
            raise errors.not_found(resource, name)
        return read(patch, request.change(patch, old, types), resource.api_version, resource.kind, options)

    return patched


def read(patch: Patch, new: Obj, api_version: str, kind: str, options: WriteOptions) -> Obj:
    """The patched object read by its schema; warnings once, not once a try. Raises ApiError 422."""
    strict = options.field_validation == "Strict"
    try:
        obj, unknown = decode.decode_value(api_version, kind, new, "Warn" if strict else options.field_validation)
    except errors.ApiError as error:
        lead = f" cannot be handled as a {kind}: "
        raise request.refused(patch, new, error.message.partition(lead)[2] or error.message) from None
    complaints = [*patch.twice, *unknown]
    if strict and complaints:
        raise request.refused(patch, new, "strict decoding error: " + ", ".join(complaints))
    options.warnings.extend(c for c in complaints if c not in options.warnings)
    return obj


def applied(
    patch: Patch, resource: Resource, options: WriteOptions, clock: Clock, subresource: str, name: str
) -> Change:
    """Server-side apply: fields that `options.manager` names are his, and what he no longer names goes."""
    types = schema.for_kind(resource.api_version, resource.kind)
    request.check_applied(patch.body, resource.api_version, resource.kind, name)
    apply.check(patch.body, managed_fields.root_of(types))  # before fields that nobody knows are dropped
    _, warnings = decode.decode_value(resource.api_version, resource.kind, patch.body, options.field_validation)
    options.warnings.extend(warnings)
    reset = managed_fields.reset_fields(subresource, resource.subresource("status") is not None)

    async def merged(old: Obj | None) -> Obj:
        # The patch as it was sent: read by its schema it would also say the zero values that Go writes out.
        new = apply.apply(old, patch.body, options.manager, options.force, types, clock.now(), subresource, reset)
        return decode.decode_value(resource.api_version, resource.kind, new, "Ignore")[0]

    return merged
