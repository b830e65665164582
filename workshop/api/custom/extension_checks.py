"""Do the `x-kubernetes-…` extensions of a schema fit what they stand on: list and map types, keys, rules?

Upstream: apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go
"""

from __future__ import annotations

import re

from workshop.api.custom import structural
from workshop.api.custom.structural import LIST_KEYS, LIST_TYPE, MAP_TYPE, NOTHING, RULES, Schema
from workshop.api.meta import Obj
from workshop.api.validation.field import ErrorList

REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")


def maps_and_lists(errors: ErrorList, at: str, schema: Obj) -> None:
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


def rules(errors: ErrorList, at: str, schema: Obj) -> None:
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
