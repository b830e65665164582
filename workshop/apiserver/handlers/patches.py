"""PATCH as a change: from the object as it stands to what it shall be. What a patch is: `api/patch/request.py`.

Upstream: apiserver/pkg/endpoints/handlers/patch.go.
"""

from __future__ import annotations

from workshop.api import decode, errors, schema
from workshop.api.custom.kind import CustomKind
from workshop.api.meta import Obj
from workshop.api.patch import apply, converted, managed_fields, request, resets, typed
from workshop.api.patch.request import Patch
from workshop.api.resources import Resource
from workshop.api.schema import Schema
from workshop.apiserver.registry.options import WriteOptions
from workshop.apiserver.registry.writer import Change
from workshop.clock import Clock


def change(patch: Patch, resource: Resource, options: WriteOptions, name: str) -> Change:
    """The change that JSON, merge and strategic patches make; unknown fields as `fieldValidation` says."""
    types = typed.types_of(resource)

    async def patched(old: Obj | None) -> Obj:
        if old is None:
            raise errors.not_found(resource, name)
        changed = request.change(patch, old, types if isinstance(types, Schema) else None)
        if patch.kind == "strategic":  # of which kind an object is, the struct says into which it is read back
            changed = {**changed, "kind": resource.kind, "apiVersion": resource.api_version}
        if resource.definition is not None:
            return _custom(patch, resource.definition, changed, options)
        shared = old if patch.kind in ("merge", "strategic") else None  # these leave alone what they do not change
        return read(patch, changed, resource.api_version, resource.kind, options, shared)

    return patched


def read(patch: Patch, new: Obj, api_version: str, kind: str, options: WriteOptions, shared: Obj | None = None) -> Obj:
    """The patched object read by its schema; warnings once, not once a try. Raises ApiError 422."""
    strict = options.field_validation == "Strict"
    try:
        validation = "Warn" if strict else options.field_validation
        obj, unknown = decode.decode_value(api_version, kind, new, validation, known=shared)
    except errors.ApiError as error:
        lead = f" cannot be handled as a {kind}: "
        said = error.message.partition(lead)[2] or error.message
        types = schema.for_kind(api_version, kind) if patch.kind == "strategic" else None
        try:
            cut = new if types is None else converted.of_struct(types, new)
        except converted.Unconvertible as unfit:
            raise request.refused(patch, new, str(unfit)) from None
        if cut == new:
            raise request.refused(patch, new, said) from None
        return read(patch, cut, api_version, kind, options)
    complaints = [*patch.twice, *unknown]
    if strict and complaints:
        raise request.refused(patch, new, "strict decoding error: " + ", ".join(complaints))
    options.warnings.extend(c for c in complaints if c not in options.warnings)
    return obj


def _custom(patch: Patch, kind: CustomKind, new: Obj, options: WriteOptions) -> Obj:
    """The patched custom resource, read by its definition."""
    try:
        obj, unknown = kind.decode(new, "Warn")
    except errors.ApiError as error:
        lead = f" cannot be handled as a {kind.kind}: "
        raise request.refused(patch, new, error.message.partition(lead)[2] or error.message) from None
    complaints = [*patch.twice, *unknown]
    if options.field_validation == "Strict" and complaints:
        raise request.refused(patch, new, "strict decoding error: " + ", ".join(complaints))
    if options.field_validation != "Ignore":
        options.warnings.extend(c for c in complaints if c not in options.warnings)
    return obj


def _decoded(resource: Resource, value: Obj, field_validation: str) -> tuple[Obj, list[str]]:
    if resource.definition is not None:
        return resource.definition.decode(value, field_validation)
    return decode.decode_value(resource.api_version, resource.kind, value, field_validation)


def applied(
    patch: Patch, resource: Resource, options: WriteOptions, clock: Clock, subresource: str, name: str
) -> Change:
    """Server-side apply: fields that `options.manager` names are his, and what he no longer names goes."""
    types = typed.types_of(resource)
    request.check_applied(patch.body, resource.api_version, resource.kind, name)
    apply.check(patch.body, managed_fields.root_of(types))  # before fields that nobody knows are dropped
    body = patch.body
    try:
        _, warnings = _decoded(resource, body, options.field_validation)
    except errors.ApiError:
        if not isinstance(types, Schema):
            raise
        try:
            body = converted.of_struct(types, body)
        except converted.Unconvertible as unfit:
            raise apply.unconvertible(body, str(unfit)) from None
        _, warnings = _decoded(resource, body, options.field_validation)
    if patch.twice and options.field_validation == "Strict":
        lead = "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:"
        raise errors.bad_request(lead + "".join(f"\n  {each}" for each in patch.twice))
    options.warnings.extend([*patch.twice, *warnings])
    reset = resets.of_resource(resource, subresource)

    async def merged(old: Obj | None) -> Obj:
        if old is None and (uid := (patch.body.get("metadata") or {}).get("uid")):
            gone = f"the provided object specified uid {uid}, and no existing object was found"
            raise errors.conflict(resource, name, f"uid mismatch: {gone}")
        # The patch as it was sent: read by its schema it would also say the zero values that Go writes out.
        new = apply.apply(old, body, options.manager, options.force, types, clock.now(), subresource, reset)
        return _decoded(resource, new, "Ignore")[0]

    return merged
