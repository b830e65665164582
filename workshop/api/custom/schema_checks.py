"""Is the schema of a definition one that can be served? It must be structural (`structural_checks.py`), without what
OpenAPI knows and Kubernetes does not, with extensions (`extension_checks.py`) and defaults that fit.

Upstream: apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go,
pkg/apiserver/schema/defaulting/validation.go.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from workshop.api.custom import extension_checks, structural, structural_checks, values
from workshop.api.custom.structural import EMBEDDED, NOTHING, PRESERVE, RULES, Schema
from workshop.api.meta import Obj, copy
from workshop.api.validation.field import ErrorList

TYPES = ("array", "boolean", "integer", "number", "object", "string")
_AT_STATUS_ROOT = (
    "Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern "
    "MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields "
    "XValidations"
)
_INTERNAL = {PRESERVE: "XPreserveUnknownFields", RULES: "XValidations"}
_NOT_SUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")


def check(errors: ErrorList, path: str, schema: Obj, has_status: bool, old: Obj | None = None) -> None:
    """`path` is where the schema's holder stands (`spec.validation`), `old` what an update puts it in the place of."""
    at = f"{path}.openAPIV3Schema"
    if has_status:
        _status_root(errors, at, schema)
    if schema.get("nullable"):
        errors.forbidden(f"{at}.nullable", "nullable cannot be true at the root")
    found = ErrorList()
    if not unsupported_parts(schema):
        structural_checks.check(found, at, schema)
        if not found:
            _defaults(found, at, structural.as_root(schema), root=True)
    errors.extend(found)
    openapi = ErrorList()
    _openapi(openapi, at, schema, _Where(), root=True)
    errors.extend(openapi)
    if not found and not openapi and has_rules(schema):
        from workshop.api.custom import rules  # CEL is loaded by who needs it

        rules.check_schema(errors, at, schema, unchanged=old == schema)


def has_rules(schema: Any) -> bool:
    """Whether there are any at any level."""
    if isinstance(schema, dict):
        return bool(schema.get(RULES)) or any(has_rules(each) for each in schema.values())
    return isinstance(schema, list) and any(has_rules(each) for each in schema)


def _status_root(errors: ErrorList, at: str, schema: Obj) -> None:
    allowed = _AT_STATUS_ROOT.split()
    if schema.get("type") != "object" and "type" in schema:
        text = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
        errors.invalid(f"{at}.type", schema.get("type") or "", text)
    for field in schema:
        if _INTERNAL.get(field, field[:1].upper() + field[1:]) not in allowed:
            text = f"only [{_AT_STATUS_ROOT}] fields are allowed at the root of the schema"
            errors.invalid(at, schema, f"{text} if the status subresource is enabled")
            break


def unsupported_parts(schema: Any) -> bool:
    """Whether the schema cannot be read as a structural one at all; what is wrong is told by `_openapi`."""
    if not isinstance(schema, dict):
        return False
    if any(schema.get(name) for name in _NOT_SUPPORTED) or isinstance(schema.get("items"), list):
        return True
    if schema.get(PRESERVE) is False:
        return True
    inner = [schema.get("items"), schema.get("not"), schema.get("additionalProperties")]
    inner += [each for name in structural_checks.JUNCTORS for each in schema.get(name) or ()]
    return any(map(unsupported_parts, [*inner, *(schema.get("properties") or {}).values()]))


# --- defaults --------------------------------------------------------------------------------------------------------


def _defaults(errors: ErrorList, at: str, schema: Schema, root: bool = False, in_meta: bool = False) -> None:
    """A default has to be an object of its schema, without fields that would be pruned."""
    if schema.get(EMBEDDED):
        in_meta = False
    given = schema.get("default")
    if given is not None and not in_meta:
        here = f"{at}.default"
        pruned = copy(given) if isinstance(given, dict | list) else given
        known = structural.as_root(schema) if schema.get(EMBEDDED) else schema
        structural.prune(pruned, known)
        if not values.same(pruned, given):
            errors.invalid(here, given, "must not have unknown fields")
        errors.extend(values.check(given, schema, here))
    if isinstance(schema.get("items"), dict):
        _defaults(errors, f"{at}.items", schema["items"], in_meta=in_meta)
    for name, each in (schema.get("properties") or NOTHING).items():
        meta = in_meta or bool(schema.get(EMBEDDED) and name in structural.META)
        _defaults(errors, f"{at}.properties[{name}]", each, in_meta=meta)


# --- OpenAPI as Kubernetes has it ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Where:
    no_defaults: str | None = None
    """Why there may be no defaults here; None where there may."""
    in_meta: bool = False


def _openapi(errors: ErrorList, at: str, schema: Any, where: _Where, root: bool = False) -> None:
    if not isinstance(schema, dict):
        return
    _supported(errors, at, schema, where)
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.forbidden(f"{at}.uniqueItems", text)
    properties, more = schema.get("properties") or {}, schema.get("additionalProperties")
    if more is not None:
        if properties and (more is False or isinstance(more, dict)):
            text = "additionalProperties and properties are mutual exclusive"
            errors.forbidden(f"{at}.additionalProperties", text)
        inner = where
        if where.in_meta:
            inner = replace(where, no_defaults="inside additionalProperties applying to object metadata")
        _openapi(errors, f"{at}.additionalProperties", more, inner)
    for name, each in properties.items():
        inner = where
        if (root or schema.get(EMBEDDED)) and name in structural.META:
            inner = replace(where, in_meta=True)
            if root:
                inner = replace(inner, no_defaults=f"in top-level {name}")
        _openapi(errors, f"{at}.properties[{name}]", each, inner)
    for junctor in structural_checks.nested(schema):
        _openapi(errors, f"{at}.{junctor.at}", junctor.schema, where)
    for name, each in (schema.get("definitions") or {}).items():
        _openapi(errors, f"{at}.definitions[{name}]", each, where)
    items = schema.get("items")
    if isinstance(items, list):
        for index, each in enumerate(items):
            _openapi(errors, f"{at}.items[{index}]", each, where)
    else:
        _openapi(errors, f"{at}.items", items, where)
    if schema.get(PRESERVE) is False:
        errors.invalid(f"{at}.{PRESERVE}", False, "must be true or undefined")
    extension_checks.maps_and_lists(errors, at, schema)
    extension_checks.rules(errors, at, schema)


def _supported(errors: ErrorList, at: str, schema: Obj, where: _Where) -> None:
    kind = schema.get("type") or ""
    if kind and kind not in TYPES:
        errors.not_supported(f"{at}.type", kind, TYPES)
    if schema.get("default") is not None and where.no_defaults is not None:
        errors.forbidden(f"{at}.default", f"must not be set {where.no_defaults}")
    for name in _NOT_SUPPORTED:
        if schema.get(name):
            errors.forbidden(f"{at}.{name}", f"{name} is not supported")
    if kind == "null":
        errors.forbidden(f"{at}.type", "type cannot be set to null, use nullable as an alternative")
    if isinstance(schema.get("items"), list):
        errors.forbidden(f"{at}.items", "items must be a schema object and not an array")
    if where.in_meta and schema.get(EMBEDDED):
        errors.forbidden(f"{at}.{EMBEDDED}", "must not be used inside of resource meta")
