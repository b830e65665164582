"""Is the schema of a definition one that can be served? It must be structural (what is there is said once, outside of
allOf, anyOf, oneOf and not), without what OpenAPI knows and Kubernetes does not, and with defaults that fit.

Upstream: apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go,
pkg/apiserver/schema/{validation,complete}.go, pkg/apiserver/schema/defaulting/validation.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from workshop.api.custom import structural, values
from workshop.api.custom.structural import EMBEDDED, INT_OR_STRING, NOTHING, PRESERVE, Schema
from workshop.api.meta import Obj, copy
from workshop.api.validation.field import ErrorList

TYPES = ("array", "boolean", "integer", "number", "object", "string")
JUNCTORS = ("allOf", "anyOf", "oneOf")
RULES, LIST_TYPE, LIST_KEYS, MAP_TYPE = (
    f"x-kubernetes-{name}" for name in ("validations", "list-type", "list-map-keys", "map-type")
)
REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_AT_STATUS_ROOT = (
    "Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern "
    "MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields "
    "XValidations"
)
_INTERNAL = {PRESERVE: "XPreserveUnknownFields", RULES: "XValidations"}
_NOT_SUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_NESTED = (  # what may stand only outside of the junctors, and how that is told
    ("type", "must be empty to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    (PRESERVE, "must be false to be structural"),
    (EMBEDDED, "must be false to be structural"),
    (INT_OR_STRING, "must be false to be structural"),
    (LIST_KEYS, "must be empty to be structural"),
    (LIST_TYPE, "must be undefined to be structural"),
    (MAP_TYPE, "must be undefined to be structural"),
    (RULES, "must be empty to be structural"),
)


def check(errors: ErrorList, path: str, schema: Obj, has_status: bool, old: Obj | None = None) -> None:
    """`path` is where the schema's holder stands (`spec.validation`), `old` what an update puts it in the place of."""
    at = f"{path}.openAPIV3Schema"
    if has_status:
        _status_root(errors, at, schema)
    if schema.get("nullable"):
        errors.forbidden(f"{at}.nullable", "nullable cannot be true at the root")
    found = ErrorList()
    if not unsupported_parts(schema):
        structural_errors(found, at, schema)
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
    inner += [each for name in JUNCTORS for each in schema.get(name) or ()]
    return any(map(unsupported_parts, [*inner, *(schema.get("properties") or {}).values()]))


# --- structural ------------------------------------------------------------------------------------------------------


def structural_errors(errors: ErrorList, at: str, schema: Schema) -> None:
    found = ErrorList()
    _structure(found, at, schema, "root")
    for junctor, index, nested in _nested(schema):
        _complete(found, at, schema, f"{at}.{junctor}" + ("" if index is None else f"[{index}]"), nested)
    errors.extend(sorted(found, key=lambda error: f"{error.path}: {error.message}"))


def _nested(schema: Schema) -> Iterator[tuple[str, int | None, Schema]]:
    for name in JUNCTORS:
        for index, each in enumerate(schema.get(name) or ()):
            yield name, index, each
    if schema.get("not") is not None:
        yield "not", None, schema["not"]


_EMPTY = {"root": "at the root", "item": "for specified array items", "field": "for specified object fields"}


def _structure(errors: ErrorList, at: str, schema: Schema, level: str) -> None:
    kind, properties = schema.get("type") or "", schema.get("properties") or {}
    if kind == "array" and schema.get("items") is None:
        errors.required(f"{at}.items", "must be specified")
    if schema.get("items") is not None:
        _structure(errors, f"{at}.items", schema["items"], "item")
    for name, each in properties.items():
        _structure(errors, f"{at}.properties[{name}]", each, "field")
    more = schema.get("additionalProperties")
    if more is not None:
        if level == "root":
            errors.forbidden(f"{at}.additionalProperties", "must not be used at the root")
        if isinstance(more, dict):
            _structure(errors, f"{at}.additionalProperties", more, "field")
    for extension in (PRESERVE, EMBEDDED):
        if schema.get(INT_OR_STRING) and schema.get(extension):
            errors.invalid(f"{at}.{extension}", True, "must be false if x-kubernetes-int-or-string is true")
    _junctors(errors, at, schema)
    embedded = bool(schema.get(EMBEDDED))
    if embedded and kind != "object":
        must = "must be object if x-kubernetes-embedded-resource is true"
        if kind:
            errors.invalid(f"{at}.type", kind, must)
        else:
            errors.required(f"{at}.type", must)
    elif not kind and not schema.get(INT_OR_STRING) and not schema.get(PRESERVE):
        errors.required(f"{at}.type", f"must not be empty {_EMPTY[level]}")
    if embedded and more is not None:
        text = "must not be used if x-kubernetes-embedded-resource is set"
        errors.forbidden(f"{at}.additionalProperties", text)
    if level == "root" and kind and kind != "object":
        errors.invalid(f"{at}.type", kind, "must be object at the root")
    if level == "root" or embedded:
        for name in ("kind", "apiVersion"):
            if name in properties and properties[name].get("type") != "string":
                errors.invalid(f"{at}.properties[{name}].type", properties[name].get("type") or "", "must be string")
    if "metadata" in properties:
        _metadata(errors, f"{at}.properties[metadata]", properties["metadata"], level == "root" or embedded, level)
    if embedded and not schema.get(PRESERVE) and not properties:
        text = "must not be empty if x-kubernetes-embedded-resource is true without"
        errors.required(f"{at}.properties", f"{text} x-kubernetes-preserve-unknown-fields")


def _metadata(errors: ErrorList, at: str, schema: Schema, checked: bool, level: str) -> None:
    if checked and schema.get("type") != "object":
        errors.invalid(f"{at}.type", schema.get("type") or "", "must be object")
    if level == "root":
        rest = {name: value for name, value in schema.items() if name not in ("type", "default") and value}
        if set(rest.get("properties") or ()) <= {"name", "generateName"}:
            rest.pop("properties", None)
        if rest:
            text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            errors.forbidden(at, text)


def _junctors(errors: ErrorList, at: str, schema: Schema, in_all_of: bool = False) -> None:
    skip_any = schema.get("anyOf") == _INT_OR_STRING
    for name, index, each in _nested(schema):
        here = f"{at}.{name}" + ("" if index is None else f"[{index}]")
        if name == "anyOf" and skip_any and (in_all_of or schema.get(INT_OR_STRING)):
            continue
        first = name == "allOf" and index == 0 and each.get("anyOf") == _INT_OR_STRING
        _nested_schema(errors, here, each, first)
    if pattern := schema.get("pattern"):
        try:
            values.go_pattern(pattern)
        except re.error as error:
            why = f"error parsing regexp: {_go_regexp(error, pattern)}"
            errors.invalid(f"{at}.pattern", pattern, f"must be a valid regular expression, but isn't: {why}")


def _go_regexp(error: re.error, pattern: str) -> str:
    """Python's complaint in the words of Go's regexp/syntax, where the two speak of the same."""
    text = str(error.msg)
    if text.startswith("unterminated character set"):
        return f"missing closing ]: `{pattern[error.pos or 0 :]}`"
    if text.startswith(("missing ), unterminated", "missing )")):
        return f"missing closing ): `{pattern}`"
    if text.startswith("unbalanced parenthesis"):
        return f"unexpected ): `{pattern}`"
    if text.startswith("nothing to repeat"):
        return f"missing argument to repetition operator: `{pattern[error.pos or 0 : (error.pos or 0) + 1]}`"
    return f"{text}: `{pattern}`"


def _nested_schema(errors: ErrorList, at: str, schema: Schema, skip_any: bool = False) -> None:
    _junctors(errors, at, schema, skip_any)
    if isinstance(schema.get("items"), dict):
        _nested_schema(errors, f"{at}.items", schema["items"])
    properties = schema.get("properties") or {}
    for name, each in properties.items():
        _nested_schema(errors, f"{at}.properties[{name}]", each)
    for name, text in _NESTED:
        if schema.get(name):
            errors.forbidden(f"{at}.{name}", text)
    if schema.get("additionalProperties") is not None:
        errors.forbidden(f"{at}.additionalProperties", "must be undefined to be structural")
    if "metadata" in properties:
        errors.forbidden(f"{at}.properties[metadata]", "must not be specified in a nested context")


def _complete(errors: ErrorList, at: str, schema: Schema | None, told: str, nested: Schema) -> None:
    """What a junctor at the root speaks of must be described outside of it too."""
    if schema is None:
        errors.required(at, f"because it is defined in {told}")
        return
    for junctor, index, each in _nested(nested):
        _complete(errors, at, schema, f"{told}.{junctor}" + ("" if index is None else f"[{index}]"), each)
    if isinstance(nested.get("items"), dict):
        _complete(errors, f"{at}.items", structural.items(schema), f"{told}.items", nested["items"])
    known = schema.get("properties") or {}
    for name, each in (nested.get("properties") or {}).items():
        if name not in known:
            errors.required(f"{at}.properties[{name}]", f"because it is defined in {told}.properties[{name}]")
        else:
            _complete(errors, f"{at}.properties[{name}]", known[name], f"{told}.properties[{name}]", each)


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
    for name, index, each in _nested(schema):
        _openapi(errors, f"{at}.{name}" + ("" if index is None else f"[{index}]"), each, where)
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
    _maps_and_lists(errors, at, schema)
    _rules(errors, at, schema)


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


def _maps_and_lists(errors: ErrorList, at: str, schema: Obj) -> None:
    kind, map_type, list_type = schema.get("type") or "", schema.get(MAP_TYPE), schema.get(LIST_TYPE)
    items = schema.get("items") if isinstance(schema.get("items"), dict) else None
    if map_type is not None:
        _must_be(errors, at, kind, "object", MAP_TYPE)
        if map_type not in ("atomic", "granular"):
            errors.not_supported(f"{at}.{MAP_TYPE}", map_type, ("atomic", "granular"))
    if list_type is not None and kind != "array":
        _must_be(errors, at, kind, "array", LIST_TYPE)
    elif list_type == "set" and items is not None:
        must = "must be atomic as item of a list with x-kubernetes-list-type=set"
        if items.get("type") == "array" and items.get(LIST_TYPE) not in (None, "atomic"):
            errors.invalid(f"{at}.items.{LIST_TYPE}", items.get(LIST_TYPE), must)
        if items.get("type") == "object" and items.get(MAP_TYPE) != "atomic":
            errors.invalid(f"{at}.items.{MAP_TYPE}", items.get(LIST_TYPE), must)
    if list_type is not None and list_type not in ("atomic", "set", "map"):
        errors.not_supported(f"{at}.{LIST_TYPE}", list_type, ("atomic", "set", "map"))
    keys = schema.get(LIST_KEYS) or []
    if keys and list_type != "map":
        must = "must be map if x-kubernetes-list-map-keys is non-empty"
        if list_type is None:
            errors.required(f"{at}.{LIST_TYPE}", must)
        else:
            errors.invalid(f"{at}.{LIST_TYPE}", list_type, must)
    if list_type == "map":
        _keyed(errors, at, schema, keys, items)
    if items is not None and list_type in ("set", "map"):
        _elements(errors, at, items, list_type, keys)


def _must_be(errors: ErrorList, at: str, kind: str, wanted: str, extension: str) -> None:
    if kind == wanted:
        return
    must = f"must be {wanted} if {extension} is specified"
    if kind:
        errors.invalid(f"{at}.type", kind, must)
    else:
        errors.required(f"{at}.type", must)


def _keyed(errors: ErrorList, at: str, schema: Obj, keys: list[str], items: Obj | None) -> None:
    if not keys:
        errors.required(f"{at}.{LIST_KEYS}", "must not be empty if x-kubernetes-list-type is map")
    if schema.get("items") is None:
        errors.required(f"{at}.items", "must have a schema if x-kubernetes-list-type is map")
    if items is None:
        return
    if items.get("type") != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        errors.invalid(f"{at}.items.type", items.get("type") or "", text)
        return
    known = items.get("properties") or {}
    for index, key in enumerate(keys):
        if key not in known:
            errors.invalid(f"{at}.{LIST_KEYS}", keys, "entries must all be names of item properties")
        elif known[key].get("type") in ("array", "object"):
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            errors.invalid(f"{at}.items.properties[{key}].type", items["type"], text)
        if key in keys[:index]:
            errors.invalid(f"{at}.{LIST_KEYS}", keys, "must not contain duplicate entries")


def _elements(errors: ErrorList, at: str, items: Obj, list_type: str, keys: list[str]) -> None:
    if items.get("nullable"):
        errors.forbidden(f"{at}.items.nullable", f"cannot be nullable when x-kubernetes-list-type is {list_type}")
    if list_type != "map":
        return
    required, known = items.get("required") or (), items.get("properties") or {}
    for key in keys:
        if key not in known:
            continue
        here = f"{at}.items.properties[{key}]"
        if key not in required and known[key].get("default") is None:
            text = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            errors.required(f"{here}.default", text)
        if known[key].get("nullable"):
            text = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
            errors.forbidden(f"{here}.nullable", text)


def _rules(errors: ErrorList, at: str, schema: Obj) -> None:
    """What can be said of rules without reading their CEL."""
    for index, rule in enumerate(schema.get(RULES) or ()):
        here = f"{at}.{RULES}[{index}]"
        text, message, dynamic = (rule.get(name) or "" for name in ("rule", "message", "messageExpression"))
        if not text.strip():
            errors.required(f"{here}.rule", "rule is not specified")
        elif message and not message.strip():
            errors.invalid(f"{here}.message", message, "must be non-empty if specified")
        elif _lines(message.strip()):
            errors.invalid(f"{here}.message", message, "must not contain line breaks")
        elif _lines(text.strip()) and not message.strip():
            errors.required(f"{here}.message", "message must be specified if rule contains line breaks")
        if dynamic and not dynamic.strip():
            errors.required(f"{here}.messageExpression", "messageExpression must be non-empty if specified")
        if rule.get("reason") is not None and rule["reason"] not in REASONS:
            errors.not_supported(f"{here}.reason", rule["reason"], REASONS)
        path = rule.get("fieldPath") or ""
        if path and not path.strip():
            errors.invalid(f"{here}.fieldPath", path, "must be non-empty if specified")
        if _lines(path):
            errors.invalid(f"{here}.fieldPath", path, "must not contain line breaks")
        if path and not path_is_valid(schema, path):
            errors.invalid(f"{here}.fieldPath", path, "must be a valid path")


def _lines(text: str) -> bool:
    return "\n" in text or "\r" in text


_STEP = re.compile(r"\.(?P<name>[^.\[\]]+)|\['(?P<key>(?:\\.|[^'\\])+)'\]")


def path_is_valid(schema: Schema, path: str) -> bool:
    """Whether a rule's fieldPath (`.spec.replicas`, `.labels['a.b']`) leads to a field."""
    at, found = 0, schema
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            return False
        name = step["name"] or re.sub(r"\\(.)", r"\1", step["key"])
        inner = (found.get("properties") or NOTHING).get(name)
        if inner is None and step["key"] is not None:
            inner = structural.more(found)
        if inner is None:
            return False
        found, at = inner, step.end()
    return bool(path)
