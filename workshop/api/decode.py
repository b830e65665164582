"""JSON in, object out, exactly as a Go API server reads it: the types checked, unknown and doubled fields told,
the rest brought to the form in which the server would answer it (canonical quantities and times, no empty optional
fields, fields in Go's order).

>>> deployment = schema.for_kind("apps/v1", "Deployment")
>>> convert(deployment, {"kind": "Deployment", "spec": {"replicas": 1, "foo": 2}}).strict
['unknown field "spec.foo"']
>>> convert(deployment, {"spec": 5})
Traceback (most recent call last):
workshop.api.decode.DecodeError: json: cannot unmarshal number into Go struct field Deployment.spec of type ...

Upstream: staging/src/k8s.io/apimachinery/pkg/runtime/serializer/json, sigs.k8s.io/json, encoding/json.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from workshop.api import codec, errors, json_syntax, schema
from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.api.schema import Field, Schema, Type
from workshop.api.self_reading import SELF_READING
from workshop.api.self_reading import DecodeError as DecodeError
from workshop.api.self_reading import word as word

MOST_ERRORS = 100
"""Strict errors beyond these are not collected (sigs.k8s.io/json)."""
STILL_TAKEN = {("policy/v1beta1", "Eviction"): "policy/v1"}
"""Versions of old that are read as those of today."""
LIMITS = {"int32": 1 << 31, "int64": 1 << 63}


class Doubled(dict[str, Any]):
    """An object of JSON in which a name stood twice: `pairs` has all of them, the dict the last of each."""

    pairs: list[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Converted:
    obj: Obj
    strict: list[str]
    """`unknown field "spec.foo"`, `duplicate field "spec.replicas"`, in the order of the body."""


def loads(body: bytes | str, written: bool = False) -> Any:
    """JSON as `json.loads`, but objects with doubled names come as `Doubled`. ValueError when it is no JSON.

    `written` keeps the texts of odd numbers, for errors to tell; such a value is not to be stored."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) != len(items):
            made = Doubled(made)
            made.pairs = items
        return made

    text = body if isinstance(body, str) else body.decode("utf-8", "replace")
    odd: dict[str, Any] = {"parse_float": Written, "parse_int": _integer} if written else {}
    value = json.loads(text, object_pairs_hook=pairs, parse_constant=_no_constant, **odd)
    codec.check_depth(body, value)
    return codec.without_surrogates(value) if codec.may_have_surrogates(body) else value


class Written(float):
    """A number of JSON with a point or an exponent, which errors tell as it was written."""

    def __new__(cls, text: str) -> Written:
        made = super().__new__(cls, text)
        made.text = text
        return made

    text: str


def _integer(text: str) -> int | Written:
    return int(text) if len(text) < LONGEST_NUMBER else Written(text)


LONGEST_NUMBER = 400
"""Digits; longer ones are no number of any kind of ours, and Python refuses to read them."""


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def decode(resource: Resource, body: bytes | str, field_validation: str = "Warn") -> tuple[Obj, list[str]]:
    """A request body as an object of `resource`'s kind, and the warnings to send with the answer.

    Raises ApiError 400 in upstream's words. `field_validation` is the query parameter of that name.
    """
    return decode_kind(resource.api_version, resource.kind, body, field_validation)


def decode_kind(
    api_version: str, kind: str, body: bytes | str, field_validation: str = "Warn"
) -> tuple[Obj, list[str]]:
    """`decode` for a kind that is not a resource's own, such as a subresource's Eviction or Scale."""
    try:
        value = loads(body)
    except (ValueError, RecursionError) as error:
        if why := json_syntax.complaint(body):
            raise _unrecognized(kind, f"couldn't get version/kind; json parse error: {why}", body) from error
        deep = isinstance(error, RecursionError)
        value = codec.loads(body) if deep else loads(body, written=True)
    try:
        return decode_value(api_version, kind, value, field_validation, body)
    except errors.ApiError as error:
        if "cannot unmarshal number " in error.message:  # once more, for the number's own text
            return decode_value(api_version, kind, loads(body, written=True), field_validation, body)
        raise


def decode_value(
    api_version: str,
    kind: str,
    value: Any,
    field_validation: str = "Warn",
    body: bytes | str = "{}",
    doubled: Sequence[str] = (),
    known: Obj | None = None,
) -> tuple[Obj, list[str]]:
    """`decode_kind` for a `body` that is parsed already (out of YAML or protobuf); `doubled` are keys given twice. What
    `value` shares with `known`, an object that was read before, is not read again."""
    value = {} if value is None else value
    _check_head(kind, value, body)
    given_kind, given_version = value.get("kind") or kind, value.get("apiVersion") or api_version
    given_version = STILL_TAKEN.get((given_version, given_kind), given_version)
    if (given_kind, given_version) != (kind, api_version):
        internal = f"{_package(api_version)}.{kind}"
        raise errors.bad_request(
            _cannot(given_kind, given_version, kind, _why_not(given_kind, given_version, internal))
        )
    found = schema.for_kind(api_version, kind)
    if found is None:
        raise errors.bad_request(f'no kind "{kind}" is registered for version "{api_version}"')
    try:
        converted = convert(found, value, known)
    except DecodeError as error:
        raise errors.bad_request(_cannot(kind, api_version, kind, str(error))) from error
    if (converted.strict or doubled) and field_validation == "Strict":
        twice = ["yaml: unmarshal errors:" + "".join(f"\n  {each}" for each in doubled)] if doubled else []
        said = "strict decoding error: " + ", ".join([*twice, *converted.strict])
        raise errors.bad_request(_cannot(kind, api_version, kind, said))
    head = {"kind": kind, "apiVersion": api_version}
    return {**head, **converted.obj, **head}, [*doubled, *converted.strict] if field_validation == "Warn" else []


_HEAD = r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'


def no_head(value: Any) -> str:
    """What is said of a body that is no object at all."""
    return f"{_PARSING} {word(value)} into Go value of type {_HEAD}"


_PARSING = "couldn't get version/kind; json parse error: json: cannot unmarshal"


def _check_head(kind: str, value: Any, body: bytes | str) -> None:
    """What upstream reads first of a body: an object, the texts `kind` and `apiVersion`."""
    if not isinstance(value, dict):
        raise _unrecognized(kind, no_head(value), body)
    for name in ("apiVersion", "kind"):
        if not isinstance(value.get(name, ""), str | None):
            said = f"{_PARSING} {word(value[name])} into Go struct field .{name} of type string"
            raise _unrecognized(kind, said, body)
    if (version := value.get("apiVersion") or "").count("/") > 1:
        raise _unrecognized(kind, f"unexpected GroupVersion string: {version}", body)


def _cannot(kind: str, api_version: str, wanted: str, why: str) -> str:
    return f'{kind} in version "{api_version.rpartition("/")[2]}" cannot be handled as a {wanted}: {why}'


def _why_not(kind: Any, api_version: Any, wanted: str) -> str:
    if isinstance(kind, str) and isinstance(api_version, str) and schema.for_kind(api_version, kind) is not None:
        version = api_version.rpartition("/")[2]
        return f"converting ({version}.{kind}) to ({wanted}): unknown conversion"
    what = f"no kind {errors.quote(str(kind))} is registered for version {errors.quote(str(api_version))}"
    return f'{what} in scheme "pkg/api/legacyscheme/scheme.go:30"'


def _package(api_version: str) -> str:
    """The Go package of the internal types."""
    group = api_version.rpartition("/")[0]
    return "core" if group in ("", "events.k8s.io") else group.partition(".")[0]


def _unrecognized(kind: str, why: str, body: bytes | str) -> errors.ApiError:
    return errors.bad_request(f"the object provided is unrecognized (must be of type {kind}): {why} ({summary(body)})")


SHOWN = 30
"""Bytes of a body that nobody can read which the answer shows."""


def summary(body: bytes | str) -> str:
    """The start of a body: as text where it looks like JSON, in hex otherwise."""
    raw = body.encode() if isinstance(body, str) else body
    if not raw:
        return "<empty>"
    start, more = raw[:SHOWN], " ..." if len(raw) > SHOWN else ""
    return (start.decode(errors="replace") if raw[:1] == b"{" else start.hex()) + more


def convert(root: Schema, value: dict[str, Any], known: Obj | None = None) -> Converted:
    """Reads a parsed object by its schema. Raises DecodeError; what strictness would refuse is in `.strict`."""
    reader = Reader(known=_parts(known) if known is not None else frozenset())
    obj = reader.struct(root, value, "", Where("", (), root.go))
    if reader.wrong_type:
        raise DecodeError(reader.wrong_type)
    return Converted(obj, reader.strict)


def _parts(of: Obj) -> frozenset[int]:
    """The objects and lists in the first two levels of one, by identity."""
    first = [part for part in of.values() if isinstance(part, dict | list)]
    second = [part for each in first if isinstance(each, dict) for part in each.values()]
    return frozenset(id(part) for part in (*first, *second) if isinstance(part, dict | list))


def prune(root: Schema, value: dict[str, Any]) -> Obj:
    """The object without the fields that the schema does not know."""
    return convert(root, value).obj


@dataclass(frozen=True, slots=True)
class Where:
    """What Go's errors tell of a place: the innermost struct and the JSON names that lead there."""

    struct: str
    names: tuple[str, ...]
    go: str

    def wrong(self, what: str, go: str) -> str:
        if not self.struct:
            return f"json: cannot unmarshal {what} into Go value of type {go}"
        return f"json: cannot unmarshal {what} into Go struct field {self.struct}.{'.'.join(self.names)} of type {go}"


@dataclass(slots=True)
class Reader:
    """Go goes on after a wrong type and tells of the first; a type that reads itself (a quantity) stops it at once."""

    strict: list[str] = field(default_factory=list)
    wrong_type: str = ""
    known: frozenset[int] = frozenset()

    def complain(self, text: str) -> None:
        if len(self.strict) < MOST_ERRORS and text not in self.strict:
            self.strict.append(text)

    def struct(self, of: Schema, value: dict[str, Any], path: str, where: Where) -> dict[str, Any]:
        fields = of.fields
        found: dict[str, Any] = {}
        lead = path + "." if path else ""
        pairs = value.pairs if isinstance(value, Doubled) else value.items()
        for name, given in pairs:
            about = fields.get(name)
            if about is None:
                self.complain(f'unknown field "{_quoted(lead + name)}"')
                continue
            if name in found or (isinstance(value, Doubled) and self.seen(name, value, found)):
                self.complain(f'duplicate field "{lead}{name}"')
            if (type(given) is str and about.type.kind == "string") or id(given) in self.known:
                found[name] = given
            elif given is not None:
                at = Where(of.name, (*where.names, *of.embedded.get(name, ()), name), where.go)
                found[name] = self.value(about.type, given, lead + name, at)
        return tidy(of, found)

    @staticmethod
    def seen(name: str, value: Doubled, found: dict[str, Any]) -> bool:
        """Null is stored nowhere, so a name may have stood before without being in `found`."""
        del found
        marked = value.__dict__.setdefault("marked", set())
        if name in marked:
            return True
        marked.add(name)
        return False

    def value(self, kind: Type, value: Any, path: str, where: Where) -> Any:
        match kind.kind:
            case "string":
                return value if isinstance(value, str) else self.wrong(kind, value, where)
            case "struct":
                if not isinstance(value, dict):
                    return self.wrong(kind, value, where)
                known = kind.schema
                return self.struct(known, value, path, where) if known is not None else {}
            case "list":
                if not isinstance(value, list):
                    return self.wrong(kind, value, where)
                return self.list(kind, value, path, where)
            case "map":
                if not isinstance(value, dict):
                    return self.wrong(kind, value, where)
                return self.map(kind, value, path, where)
            case "bool":
                return value if isinstance(value, bool) else self.wrong(kind, value, where)
            case "int32" | "int64":
                return self.integer(kind, value, where)
            case other:
                return SELF_READING[other](self, kind, value, path, where)

    def wrong(self, kind: Type, value: Any, where: Where, what: str = "") -> Any:
        self.wrong_type = self.wrong_type or where.wrong(what or word(value), kind.go)
        return None

    def integer(self, kind: Type, value: Any, where: Where) -> Any:
        limit = LIMITS[kind.kind]
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self.wrong(kind, value, where)
        if not isinstance(value, int) or not -limit <= value < limit:
            return self.wrong(kind, value, where, f"number {_number(value)}")
        return value

    def list(self, kind: Type, value: list[Any], path: str, where: Where) -> list[Any]:
        element = kind.element
        assert element is not None
        if element.kind == "string" and all(isinstance(item, str) for item in value):
            return value
        empty = None if element.pointer else zero(element)
        return [
            empty if item is None else self.value(element, item, f"{path}[{index}]", where)
            for index, item in enumerate(value)
        ]

    def map(self, kind: Type, value: dict[str, Any], path: str, where: Where) -> dict[str, Any]:
        element = kind.element
        assert element is not None
        if isinstance(value, Doubled):
            for name, _ in value.pairs:
                if self.seen(name, value, {}):
                    self.complain(f'duplicate field "{path}.{name}"')
        return {
            name: zero(element) if item is None else self.value(element, item, f"{path}.{name}", where)
            for name, item in sorted(value.items())
        }


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _number(value: float) -> str:
    return value.text if isinstance(value, Written) else repr(value)


def zero(kind: Type) -> Any:
    """Go's zero value, as JSON shows it."""
    match kind.kind:
        case "string" | "microstring":
            return ""
        case "bool":
            return False
        case "int32" | "int64" | "double" | "int-or-string":
            return 0
        case "quantity":
            return "0"
        case "struct":
            known = kind.schema
            return tidy(known, {}) if known is not None else {}
    return None


def tidy(of: Schema, found: dict[str, Any]) -> dict[str, Any]:
    """A struct as Go writes it: fields in order; optional ones left out when empty, others written even when zero."""
    made: dict[str, Any] = {}
    fields = of.fields
    for name in sorted(found.keys() | _always(of), key=of.places.__getitem__):
        about = fields[name]
        kind = about.type
        value = found.get(name)
        if value is None:
            if _left_out(about):
                if not about.omitempty and not about.omitzero:
                    made[name] = None
                continue
            value = zero(kind)
        if about.omitzero and value in (None, {}, 0, ""):
            continue
        if about.omitempty and not kind.pointer and kind.kind in OMITTED_WHEN_EMPTY and not value:
            continue
        made[name] = value
    return made


def _left_out(about: Field) -> bool:
    """Whether Go has nothing to write for a field that was not given, or null."""
    kind = about.type
    return kind.pointer or (about.omitempty and kind.kind not in ("struct", "time", "microtime", "quantity"))


@lru_cache(maxsize=8192)
def _always(of: Schema) -> frozenset[str]:
    """Fields that may be written though they were not given."""
    return frozenset(
        name for name, about in of.fields.items() if not _left_out(about) or not (about.omitempty or about.omitzero)
    )


OMITTED_WHEN_EMPTY = {"string", "bool", "int32", "int64", "double", "bytes", "list", "map"}
