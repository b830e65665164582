"""Is a value what its schema asks for? In the words of kube-openapi's validator.

>>> errors = check({"size": "x"}, {"properties": {"size": {"type": "integer"}}})
>>> errors[0].path, errors[0].message
('size', 'Invalid value: "string": size in body must be of type integer: "string"')

An update does not judge anew what it leaves as it was (`old`): a rule that came later does not lock objects out
(ratcheting, KEP-4008).

Upstream: k8s.io/kube-openapi/pkg/validation/validate, apiextensions-apiserver/pkg/apiserver/validation.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from workshop.api.custom import formats
from workshop.api.custom.structural import INT_OR_STRING, LIST_KEYS, LIST_TYPE, NOTHING, Schema
from workshop.api.validation.field import ErrorList, shown

MISSING: Any = object()
NOWHERE = "<nil>"
"""Where Go prints a path that is nil."""
_RANGES = {
    "int32": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "float": (-3.4028234663852886e38, 3.4028234663852886e38),
}


def check(value: Any, schema: Schema, path: str = "", old: Any = MISSING) -> ErrorList:
    """Everything that is wrong with `value`. Paths begin at `path`; messages name fields from the schema's root."""
    found = ErrorList()
    judge = _Judge(found, path)
    judge.value("", value, schema, old)
    return found


class _Judge:
    def __init__(self, errors: ErrorList, lead: str = "") -> None:
        self.errors, self.lead = errors, lead
        self.matched = 0
        """How many checks were made: of several alternatives the one that got furthest is told."""

    def at(self, name: str) -> str:
        name = name.removeprefix(".")
        return ".".join(part for part in (self.lead, name) if part) or NOWHERE

    def invalid(self, name: str, value: Any, text: str) -> None:
        self.errors.invalid(self.at(name), value, f"{name} in body {text}")

    def nowhere(self, text: str) -> None:
        self.errors.invalid(self.lead or NOWHERE, "", text)

    def wrong_type(self, name: str, wanted: str, value: Any) -> None:
        text = f"{name} in body must be of type {wanted}: {shown(value)}"
        self.errors.add(self.at(name), "TypeInvalid", f"Invalid value: {shown(value)}: {text}")

    def value(self, name: str, value: Any, schema: Schema, old: Any = MISSING) -> None:
        if old is not MISSING and same(value, old):
            return
        types = ("integer", "string") if schema.get(INT_OR_STRING) else (schema["type"],) if schema.get("type") else ()
        single = types[0] if len(types) == 1 else ""
        format = schema.get("format") or ""
        format = format if format and formats.supported(single, format) else ""
        self.matched += 1
        if value is None:
            if types and not schema.get("nullable"):
                self.wrong_type(name, ",".join(types), "null")
            self.enum(name, value, schema)
            return
        self.type(name, value, types, format)
        self.alternatives(name, value, schema)
        if isinstance(value, str):
            self.string(name, value, schema, format)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            self.number(name, value, schema, single, format)
        elif isinstance(value, list):
            self.array(name, value, schema, old)
        self.enum(name, value, schema)
        if isinstance(value, dict):
            self.object(name, value, schema, old)

    def type(self, name: str, value: Any, types: tuple[str, ...], format: str) -> None:
        given = type_of(value)
        fits = not types or given in types or (given == "integer" and "number" in types)
        fits = fits or (given == "number" and "integer" in types and float(value).is_integer())
        fits = fits or bool(format and given in ("string", "array") and not {"integer", "number"} & {*types})
        if fits:
            self.matched += 1
        else:
            self.wrong_type(name, ",".join(types), given)

    def enum(self, name: str, value: Any, schema: Schema) -> None:
        allowed = schema.get("enum")
        if allowed is not None and not any(same(value, each) for each in allowed):
            known = [each if isinstance(each, str) else _json(each) for each in allowed]
            self.errors.not_supported(self.at(name), value, known)

    def string(self, name: str, value: str, schema: Schema, format: str) -> None:
        if (most := schema.get("maxLength")) is not None and len(value) > most:
            self.errors.too_long(self.at(name), most)
        elif (least := schema.get("minLength")) is not None and len(value) < least:
            self.invalid(name, value, f"should be at least {least} chars long")
        elif (pattern := schema.get("pattern")) and not go_pattern(pattern).search(value):
            self.invalid(name, value, f"should match '{pattern}'")
        if format and schema.get("type") in (None, "", "string") and not formats.holds(format, value):
            self.wrong_type(name, schema["format"], value)

    def number(self, name: str, value: float, schema: Schema, kind: str, format: str) -> None:
        if kind == "integer" and isinstance(value, float) and not value.is_integer():
            self.nowhere(f"Checked value must be of type integer (default format) in {name}")
        elif format in _RANGES and not _RANGES[format][0] <= value <= _RANGES[format][1]:
            self.nowhere(f"Checked value must be of type {kind} with format {format} in {name}")
        if (step := schema.get("multipleOf")) is not None and not _multiple(value, step):
            self.invalid(name, value, f"should be a multiple of {go_number(step)}")
        if (most := schema.get("maximum")) is not None:
            exclusive = schema.get("exclusiveMaximum")
            if value > most or (exclusive and value == most):
                self.invalid(name, value, f"should be less than {'' if exclusive else 'or equal to '}{go_number(most)}")
        if (least := schema.get("minimum")) is not None:
            exclusive = schema.get("exclusiveMinimum")
            if value < least or (exclusive and value == least):
                self.invalid(
                    name, value, f"should be greater than {'' if exclusive else 'or equal to '}{go_number(least)}"
                )

    def array(self, name: str, value: list[Any], schema: Schema, old: Any) -> None:
        of = schema.get("items")
        if of is not None:
            before = correlated(schema, old)
            for index, each in enumerate(value):
                self.value(f"{name}[{index}]", each, of, before(each))
        if (least := schema.get("minItems")) is not None and len(value) < least:
            self.errors.invalid(self.at(name), len(value), f"{name} in body should have at least {least} items")
        if (most := schema.get("maxItems")) is not None and len(value) > most:
            self.too_many(name, len(value), most)
        if schema.get("uniqueItems") and any(same(a, b) for i, a in enumerate(value) for b in value[:i]):
            self.invalid(name, value, "shouldn't contain duplicates")

    def too_many(self, name: str, count: int, most: int) -> None:
        self.errors.add(self.at(name), "TooMany", f"Too many: {count}: must have at most {most} items")

    def object(self, name: str, value: dict[str, Any], schema: Schema, old: Any) -> None:
        before = old if isinstance(old, dict) else NOTHING
        if (least := schema.get("minProperties")) is not None and len(value) < least:
            self.errors.invalid(self.at(name), len(value), f"{name} in body should have at least {least} properties")
        if (most := schema.get("maxProperties")) is not None and len(value) > most:
            self.too_many(name, len(value), most)
        known, rest = schema.get("properties") or NOTHING, schema.get("additionalProperties")
        for key, each in value.items():
            if key not in known:
                if rest is False:
                    self.errors.invalid(self.at(name), "", f"{name}.{key} in body is a forbidden property")
                elif isinstance(rest, dict):
                    self.value(f"{name}.{key}", each, rest, before.get(key, MISSING))
        for key, of in known.items():
            if key in value:
                self.value(f"{name}.{key}" if name else key, value[key], of, before.get(key, MISSING))
        for key in schema.get("required") or ():
            if key not in value:
                self.errors.required(self.at(f"{name}.{key}"))

    # --- anyOf, oneOf, allOf, not

    def alternatives(self, name: str, value: Any, schema: Schema) -> None:
        self.matched += 1
        if schemas := schema.get("anyOf"):
            tried = list(self._tried(name, value, schemas))
            if not any(not each.errors for each in tried):
                self.nowhere(f'"{name}" must validate at least one schema (anyOf)')
                self._tell(max(tried, key=lambda each: each.matched))
        if schemas := schema.get("oneOf"):
            tried = list(self._tried(name, value, schemas))
            count = sum(not each.errors for each in tried)
            if count != 1:
                said = f"Found {count} valid alternatives" if count else "Found none valid"
                self.nowhere(f'"{name}" must validate one and only one schema (oneOf). {said}')
                if not count:
                    self._tell(max(tried, key=lambda each: each.matched))
        if schemas := schema.get("allOf"):
            tried = list(self._tried(name, value, schemas))
            for each in tried:
                self._tell(each)
            failed = sum(bool(each.errors) for each in tried)
            if failed:
                none = ". None validated" if failed == len(tried) else ""
                self.nowhere(f'"{name}" must validate all the schemas (allOf){none}')
        if (refused := schema.get("not")) is not None and not next(self._tried(name, value, [refused])).errors:
            self.nowhere(f'"{name}" must not validate the schema (not)')

    def _tried(self, name: str, value: Any, schemas: list[Schema]) -> Iterator[_Judge]:
        for schema in schemas:
            judge = _Judge(ErrorList(), self.lead)
            judge.value(name, value, schema)
            yield judge

    def _tell(self, judge: _Judge) -> None:
        self.errors.extend(judge.errors)
        self.matched += judge.matched


def type_of(value: Any) -> str:
    """JSON's word for a value, as Go sees it: 1.0 is a number, 1 an integer."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def same(a: Any, b: Any) -> bool:
    """Equal as JSON: Python's True is no 1."""
    if isinstance(a, bool) is not isinstance(b, bool):
        return False
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def correlated(schema: Schema, old: Any) -> Any:
    """A function from an element of a list to its counterpart in the old list: only keyed lists have any."""
    keys = schema.get(LIST_KEYS) if schema.get(LIST_TYPE) == "map" else None
    if not keys or not isinstance(old, list):
        return lambda each: MISSING
    by_key = {_key(each, keys): each for each in old}
    return lambda each: by_key.get(_key(each, keys), MISSING)


def _key(item: Any, keys: list[str]) -> str:
    return _json([item.get(key) if isinstance(item, dict) else None for key in keys])


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)


def _multiple(value: float, step: float) -> bool:
    if isinstance(value, int) and float(step).is_integer():
        return value % int(step) == 0
    ratio = value / step if step >= 1 else 1 / step * value
    return math.isfinite(ratio) and abs(ratio - round(ratio)) < 1e-9 * max(1.0, abs(ratio))


def go_number(value: float) -> str:
    """Go's `%v` of a number of a schema (a float64): 10, 0.5, 1e+06."""
    if isinstance(value, int) or float(value).is_integer():
        return str(int(value)) if abs(value) < 1e21 else f"{value:e}"
    return repr(float(value))


@lru_cache(maxsize=1024)
def go_pattern(text: str) -> re.Pattern[str]:
    r"""Go's regular expression as one of Python's: `$` and `\z` are the very end of the text. Raises re.error."""
    made, inside, at = [], False, 0
    while at < len(text):
        two = text[at : at + 2]
        if two[:1] == "\\":
            made.append(r"\Z" if two == r"\z" and not inside else two)
            at += 2
            continue
        if two[:1] == "[" and not inside:
            inside = True
        elif two[:1] == "]":
            inside = False
        made.append(r"\Z" if two[:1] == "$" and not inside else two[:1])
        at += 1
    return re.compile("".join(made))
