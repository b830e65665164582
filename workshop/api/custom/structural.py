"""What becomes of a body before it is judged: embedded metadata read by its type, unknown fields pruned, nulls that
mean nothing dropped, defaults filled in. Values are changed in place: they are the request's own copy.

>>> schema = {"type": "object", "properties": {"size": {"type": "integer", "default": 3}}}
>>> value = {"colour": "red"}
>>> prune(value, schema), default(value, schema), value
(['colour'], None, {'size': 3})

Upstream: apiextensions-apiserver/pkg/apiserver/schema/{pruning,defaulting,objectmeta}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workshop.api import errors
from workshop.api.meta import copy
from workshop.api.reading import convert
from workshop.api.schema import load
from workshop.api.self_reading import DecodeError, word
from workshop.api.validation.field import shown

Schema = Mapping[str, Any]
META = ("apiVersion", "kind", "metadata")
EMBEDDED, PRESERVE = "x-kubernetes-embedded-resource", "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING, RULES = "x-kubernetes-int-or-string", "x-kubernetes-validations"
LIST_TYPE, LIST_KEYS, MAP_TYPE = "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"
NOTHING: Schema = {}


def more(schema: Schema) -> Schema | None:
    """The schema of the values of a map; `additionalProperties: true` says nothing of them."""
    found = schema.get("additionalProperties")
    if isinstance(found, Mapping):
        return found
    return NOTHING if found else None


def child(schema: Schema | None, name: str) -> Schema | None:
    """The schema of a field or of a map's value; None if there is none."""
    if schema is None:
        return None
    found: Schema | None = (schema.get("properties") or NOTHING).get(name)
    return found if found is not None else more(schema)


def items(schema: Schema | None) -> Schema | None:
    found = schema.get("items") if schema is not None else None
    return found if isinstance(found, Mapping) else None


def as_root(schema: Schema | None) -> Schema:
    """A kind's schema: apiVersion, kind and metadata are known without being named."""
    return {**(schema or NOTHING), EMBEDDED: True}


def join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


# --- pruning ---------------------------------------------------------------------------------------------------------


def prune(value: Any, schema: Schema | None, path: str = "") -> list[str]:
    """Takes out what the schema does not know; the paths of that, sorted."""
    gone: list[str] = []
    _prune(value, schema, path, gone)
    return sorted(gone)


def _prune(value: Any, schema: Schema | None, path: str, gone: list[str]) -> None:
    if schema is not None and schema.get(PRESERVE):
        _keep(value, schema, path, gone)
    elif isinstance(value, dict):
        for name in list(value):
            if schema is not None and schema.get(EMBEDDED) and name in META:
                continue
            known = child(schema, name)
            if known is not None:
                _prune(value[name], known or None if known is NOTHING else known, join(path, name), gone)
            else:
                if path or name not in META:
                    gone.append(join(path, name))
                del value[name]
    elif isinstance(value, list):
        for index, each in enumerate(value):
            _prune(each, items(schema), f"{path}[{index}]", gone)


def _keep(value: Any, schema: Schema | None, path: str, gone: list[str]) -> None:
    """Below `preserve-unknown-fields` only what is described is pruned again."""
    if schema is None:
        return
    if isinstance(value, dict):
        for name in value:
            known = child(schema, name)
            if known is not None and not (schema.get(EMBEDDED) and name in META):
                _prune(value[name], known or None if known is NOTHING else known, join(path, name), gone)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            _keep(each, items(schema), f"{path}[{index}]", gone)


# --- nulls and defaults ----------------------------------------------------------------------------------------------


def drop_nulls(value: Any, schema: Schema | None) -> None:
    """Nulls that are neither allowed nor replaced by a default go."""
    if isinstance(value, dict):
        for name in list(value):
            known = child(schema, name)
            if value[name] is None and known is not None and not known.get("nullable") and known.get("default") is None:
                del value[name]
            else:
                drop_nulls(value[name], known)
    elif isinstance(value, list):
        for each in value:
            drop_nulls(each, items(schema))


def default(value: Any, schema: Schema | None) -> None:
    """Fills in defaults, those inside defaults included."""
    if schema is None:
        return
    if isinstance(value, dict):
        for name, known in (schema.get("properties") or NOTHING).items():
            given = known.get("default")
            if given is not None and (name not in value or _null(value[name], known)):
                value[name] = copy(given) if isinstance(given, dict | list) else given
        for name in value:
            known = child(schema, name)
            if known is not None:
                if _null(value[name], known) and name not in (schema.get("properties") or NOTHING):
                    value[name] = known.get("default")
                default(value[name], known)
    elif isinstance(value, list):
        known = items(schema)
        for index, each in enumerate(value):
            if known is not None and _null(each, known):
                value[index] = known.get("default")
            default(value[index], known)


def _null(value: Any, schema: Schema) -> bool:
    return value is None and not schema.get("nullable")


# --- metadata --------------------------------------------------------------------------------------------------------


class Malformed(ValueError):
    """`at` is the path of the field, "" at the root."""

    def __init__(self, text: str, at: str = "", value: Any = None) -> None:
        super().__init__(f"{at}: Invalid value: {shown(value)}: {text}" if at else text)


def read_metadata(value: Any, schema: Schema | None, lenient: bool = False) -> list[str]:
    """Reads the metadata of the object and of those embedded in it by its type; the paths of unknown fields in it.

    Raises Malformed, unless `lenient` (what the store holds is taken as it is)."""
    unknown: list[str] = []
    _coerce(value, schema, "", unknown, lenient)
    return sorted(unknown)


def _coerce(value: Any, schema: Schema | None, path: str, unknown: list[str], lenient: bool) -> None:
    if schema is None:
        return
    if isinstance(value, dict):
        if schema.get(EMBEDDED):
            _type_meta(value, path, lenient)
            if "metadata" in value:
                _object_meta(value, path, unknown, lenient)
        for name in value:
            known = child(schema, name)
            if known:
                _coerce(value[name], known, join(path, name), unknown, lenient)
    elif isinstance(value, list):
        known = items(schema)
        for index, each in enumerate(value):
            _coerce(each, known, f"{path}[{index}]", unknown, lenient)


def _type_meta(value: dict[str, Any], path: str, lenient: bool) -> None:
    for name in ("apiVersion", "kind"):
        if name in value and not isinstance(value[name], str):
            if not lenient:
                raise Malformed("must be a string", join(path, name), value[name])
            del value[name]


def _object_meta(value: dict[str, Any], path: str, unknown: list[str], lenient: bool) -> None:
    of = load("meta.v1", "ObjectMeta")
    assert of is not None
    given = value["metadata"]
    if given is None:
        value["metadata"] = {}
        return
    if not isinstance(given, dict):
        if lenient:
            return
        kind = word(given)
        text = f"json: cannot unmarshal {kind} into Go value of type v1.ObjectMeta"
        raise Malformed(text, join(path, "metadata") if path else "", given)
    try:
        read = convert(of, given)
    except DecodeError as error:
        if lenient:
            return
        raise Malformed(str(error), join(path, "metadata") if path else "", given) from None
    lead = join(path, "metadata")
    for complaint in read.strict:
        what, _, rest = complaint.partition(' field "')
        if what == "unknown":
            unknown.append(f"{lead}.{rest.rstrip(chr(34))}")
    value["metadata"] = read.obj
    if value["metadata"].get("creationTimestamp") is None:
        value["metadata"].pop("creationTimestamp", None)


def bad_request(api_version: str, kind: str, why: str) -> errors.ApiError:
    """400 in the words for a body that cannot be read as its kind."""
    version = api_version.rpartition("/")[2]
    return errors.bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')
