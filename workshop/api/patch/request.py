"""A PATCH request, from its content type and bytes to the changed object: what a handler needs, without its I/O.

    patch = request.read(content_type, body, custom=False, field_validation="Warn")
    changed = request.change(patch, live, schema)       # JSON, merge and strategic merge patches
    …or, for patch.kind == "apply": apply.apply(live, patch.body, manager, force, …)

What follows in a handler (decode strictly, default, `managed_fields.track_update`, admission, validation) is not done
here; `refused` words what decoding finds wrong. Upstream: `apiserver/pkg/endpoints/handlers/patch.go`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workshop.api import codec, errors, meta
from workshop.api.meta import Obj
from workshop.api.patch import json_patch, merge, strategic

TYPES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}
CUSTOM = tuple(content_type for content_type, kind in TYPES.items() if kind != "strategic")
"""A custom resource's fields have no merge keys."""


@dataclass(frozen=True, slots=True)
class Patch:
    """`kind` is json, merge, strategic or apply. `twice` are complaints about keys given more than once: errors when
    fieldValidation is Strict, warnings when it is Warn."""

    kind: str
    body: Any
    twice: tuple[str, ...] = ()


def kind_of(content_type: str, custom: bool = False) -> str:
    """Raises ApiError 415 for a type that is not known (`custom`: of custom resources)."""
    kind = TYPES.get(content_type.partition(";")[0].strip(), "")
    if custom and kind in ("", "strategic"):
        raise errors.unsupported_media_type(CUSTOM)
    if not kind:
        raise errors.failure(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    return kind


def read(content_type: str, data: bytes, *, custom: bool = False, field_validation: str = "Warn") -> Patch:
    """Raises ApiError: 415 as `kind_of`, 400 for a bad body."""
    kind = kind_of(content_type, custom)
    if kind == "apply":
        return _applied(data, field_validation)
    lax = field_validation == "Ignore"
    try:
        body = codec.loads(data)
    except ValueError as error:
        if kind == "merge" and lax:
            raise errors.bad_request("Invalid JSON Patch") from None
        raise errors.bad_request(_decoding(kind, lax, str(error))) from None
    _check_shape(kind, body, lax)
    if lax:
        return Patch(kind, body)
    prefix = "json patch " if kind == "json" else ""
    return Patch(kind, body, tuple(f'{prefix}duplicate field "{path}"' for path in codec.duplicates(data)))


def _decoding(kind: str, lax: bool, text: str) -> str:
    return text if kind == "strategic" or lax else f"error decoding patch: {text}"


def _go_kind(value: Any) -> str:
    return {dict: "object", list: "array", str: "string", bool: "bool"}.get(type(value), "number")


def _check_shape(kind: str, body: Any, lax: bool) -> None:
    wrong = ""
    if kind == "json":
        whole, one = (
            ("jsonpatch.Patch", "jsonpatch.Operation") if lax else ("[]handlers.jsonPatchOp", "handlers.jsonPatchOp")
        )
        if body is not None and not isinstance(body, list):
            wrong = f"json: cannot unmarshal {_go_kind(body)} into Go value of type {whole}"
        elif body is not None and None in body:
            why = "the server rejected our request due to an error in our request"
            raise errors.failure(422, "Invalid", why, {})
        elif odd := [item for item in body or () if not isinstance(item, dict)]:
            wrong = f"json: cannot unmarshal {_go_kind(odd[0])} into Go value of type {one}"
    elif kind == "merge" and (body is None or (lax and not isinstance(body, dict))):
        raise errors.bad_request("Invalid JSON Patch")
    elif body is not None and not isinstance(body, dict):
        wrong = f"json: cannot unmarshal {_go_kind(body)} into Go value of type map[string]interface {{}}"
    if wrong:
        raise errors.bad_request(_decoding(kind, lax, wrong))


def _applied(data: bytes, field_validation: str) -> Patch:
    doubled: list[str] = []
    try:
        body = codec.load_yaml(data, doubled=doubled)
    except ValueError as error:
        raise errors.bad_request(f"error decoding YAML: {error}") from None
    if body is not None and not isinstance(body, dict):
        text = f"json: cannot unmarshal {_go_kind(body)} into Go value of type map[string]interface {{}}"
        raise errors.bad_request(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {text}")
    if doubled and field_validation == "Strict":
        told = "".join(f"\n  {each}" for each in doubled)
        raise errors.bad_request(
            f"error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:{told}"
        )
    return Patch("apply", body or {}, () if field_validation == "Ignore" else tuple(doubled))


def change(patch: Patch, live: Obj, schema: strategic.SchemaFacts | None) -> Obj:
    """The changed object. `live` is as its readers see it, in the version of the request. Raises ApiError."""
    if patch.kind == "json":
        changed: Obj = json_patch.apply(live, patch.body or [])
        return changed
    if patch.kind == "merge":
        return dict(merge.apply(live, patch.body))
    return strategic.apply(schema, live, patch.body or {})


def check_options(patch: Patch, field_manager: str, force: bool | None) -> None:
    """Raise ApiError 422 for query parameters that do not go with the kind of patch."""
    causes = []
    if patch.kind == "apply" and not field_manager:
        causes.append(errors.cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager"))
    if patch.kind != "apply" and force is not None:
        causes.append(
            errors.cause("FieldValueForbidden", "Forbidden: may not be specified for non-apply patch", "force")
        )
    if causes:
        raise errors.invalid("PatchOptions.meta.k8s.io", "", causes)


def check_applied(applied: Obj, api_version: str, kind: str, name: str) -> None:
    """Raise ApiError 400 for a configuration of another kind or name than the URL's."""
    found = [value if isinstance(value := applied.get(name), str) else "" for name in ("apiVersion", "kind")]
    if found != [api_version, kind]:
        given = found[0] or "/"
        given = given if "/" in given else f"/{given}"
        raise errors.bad_request(f"invalid object type: {given}, Kind={found[1]}")
    if not isinstance(applied.get("metadata") or {}, dict):
        group = api_version if "/" in api_version else f"/{api_version}"
        said = f".metadata: expected map, got &{{{_go_value(applied['metadata'])}}}"
        raise errors.failure(500, "", f"failed to create typed patch object (/; {group}, Kind={kind}): {said}")
    if meta.name(applied) not in ("", name):
        text = f"the name of the object ({meta.name(applied)}) does not match the name on the URL ({name})"
        raise errors.bad_request(text)


def _go_value(value: Any) -> str:
    """As Go's %v prints what is no object."""
    return f"[{' '.join(map(_go_value, value))}]" if isinstance(value, list) else str(value)


_METADATA = (
    "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp",
    "deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers",
    "managedFields",
)  # fmt: skip


def _place(field: str) -> int:
    """Where Go writes a field of the metadata."""
    return _METADATA.index(field) if field in _METADATA else len(_METADATA)


def refused(patch: Patch, changed: Obj, why: str) -> errors.ApiError:
    """422 for a changed object that does not decode: `why` as decoding words it (`strict decoding error: …`)."""
    shown = (
        strategic.go_text(patch.body) if patch.kind == "strategic" else codec.dumps(_in_order(patch, changed)).decode()
    )
    return errors.invalid(
        "", "", [errors.cause("FieldValueInvalid", f"Invalid value: {errors.quote(shown)}: {why}", "patch")]
    )


Touched = dict[str, "Touched"]
"""Which members of an object a patch has opened. Go writes those by name; what it left alone stays as it was."""


def _in_order(patch: Patch, changed: Obj) -> Obj:
    touched = _opened(patch.body) if patch.kind == "merge" else _reached(patch.body)
    if "metadata" not in touched and isinstance(metadata := changed.get("metadata"), dict):
        changed = {**changed, "metadata": {key: metadata[key] for key in sorted(metadata, key=_place)}}
    shown: Obj = _sorted(changed, touched)
    return shown


def _opened(body: Any) -> Touched:
    return {key: _opened(value) for key, value in body.items() if isinstance(value, dict)} if body else {}


def _reached(operations: Any) -> Touched:
    found: Touched = {}
    for operation in operations or ():
        for pointer in (operation.get("path"), operation.get("from")):
            at = found
            for step in str(pointer or "").split("/")[1:-1]:
                at = at.setdefault(step.replace("~1", "/").replace("~0", "~"), {})
    return found


def _sorted(value: Any, touched: Touched) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _sorted(value[key], touched[key]) if key in touched else value[key] for key in sorted(value)}
