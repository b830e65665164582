"""Is a schema structural? What there is of a type, its fields and its items is said once, outside of allOf, anyOf,
oneOf and not: these only narrow down what is there.

Upstream: apiextensions-apiserver/pkg/apiserver/schema/{validation,complete}.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from workshop.api.custom import structural, values
from workshop.api.custom.structural import (
    EMBEDDED,
    INT_OR_STRING,
    LIST_KEYS,
    LIST_TYPE,
    MAP_TYPE,
    PRESERVE,
    RULES,
    Schema,
)  # fmt: skip
from workshop.api.validation.field import ErrorList

JUNCTORS = ("allOf", "anyOf", "oneOf")
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
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


class Nested(NamedTuple):
    """A schema inside of a junctor; `at` is its place: `anyOf[1]`, `not`."""

    junctor: str
    at: str
    schema: Schema


def nested(schema: Schema) -> Iterator[Nested]:
    for name in JUNCTORS:
        for index, each in enumerate(schema.get(name) or ()):
            yield Nested(name, f"{name}[{index}]", each)
    if schema.get("not") is not None:
        yield Nested("not", "not", schema["not"])


def check(errors: ErrorList, at: str, schema: Schema) -> None:
    """Problems in the order of their texts, as upstream sorts them."""
    found = ErrorList()
    _structure(found, at, schema, "root")
    for inner in nested(schema):
        _complete(found, at, schema, f"{at}.{inner.at}", inner.schema)
    errors.extend(sorted(found, key=lambda error: f"{error.path}: {error.message}"))


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
    for inner in nested(schema):
        if inner.junctor == "anyOf" and skip_any and (in_all_of or schema.get(INT_OR_STRING)):
            continue
        first = inner.at == "allOf[0]" and inner.schema.get("anyOf") == _INT_OR_STRING
        _nested_schema(errors, f"{at}.{inner.at}", inner.schema, first)
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


def _complete(errors: ErrorList, at: str, schema: Schema | None, told: str, inner: Schema) -> None:
    """What a junctor at the root speaks of must be described outside of it too."""
    if schema is None:
        errors.required(at, f"because it is defined in {told}")
        return
    for deeper in nested(inner):
        _complete(errors, at, schema, f"{told}.{deeper.at}", deeper.schema)
    if isinstance(inner.get("items"), dict):
        _complete(errors, f"{at}.items", structural.items(schema), f"{told}.items", inner["items"])
    known = schema.get("properties") or {}
    for name, each in (inner.get("properties") or {}).items():
        if name not in known:
            errors.required(f"{at}.properties[{name}]", f"because it is defined in {told}.properties[{name}]")
        else:
            _complete(errors, f"{at}.properties[{name}]", known[name], f"{told}.properties[{name}]", each)
