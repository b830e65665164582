"""A request's body as an object of its kind, or the refusal that a Go API server answers.

    loads          JSON; names that stand twice are kept, for somebody to tell of them
    decode_value   is it of the kind that was asked for?  →  `reading.convert`: is each field?

Upstream: staging/src/k8s.io/apimachinery/pkg/runtime/serializer/json.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from workshop.api import codec, errors, json_syntax, schema
from workshop.api.meta import Obj
from workshop.api.reading import Doubled, Written, convert
from workshop.api.resources import Resource
from workshop.api.self_reading import DecodeError, word

STILL_TAKEN = {("policy/v1beta1", "Eviction"): "policy/v1"}
"""Versions of old that are read as those of today."""


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
