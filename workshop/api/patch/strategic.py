"""Strategic merge patch: like a merge patch, but lists with a merge key are merged element by element.

The schema's facts decide (`patch_strategy`, `merge_key`). Directives in a patch:
- `$patch: replace` in an object: it replaces the old one; in an element of a list: the list is replaced.
- `$patch: delete` in an object: it becomes empty; in an element (with its merge key): that element goes.
- `$deleteFromPrimitiveList/x: [a]`: takes `a` out of the list `x`.
- `$setElementOrder/x: [...]`: the order of the elements that the patch's author knows; others keep their places.
- `$retainKeys: [...]`: every key not named goes (a union, such as a Deployment's strategy).

Upstream: `apimachinery/pkg/util/strategicpatch/patch.go`.

>>> class Containers:  # what the schema says of a field
...     patch_strategy, merge_key, schema = ("merge",), "name", None
>>> class Spec:
...     fields = {"containers": Containers}
>>> old = {"containers": [{"name": "a", "image": "x"}, {"name": "b"}]}
>>> apply(Spec, old, {"containers": [{"name": "a", "image": "y"}, {"name": "b", "$patch": "delete"}]})
{'containers': [{'name': 'a', 'image': 'y'}]}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from workshop.api import errors, meta

DIRECTIVE = "$patch"
RETAIN = "$retainKeys"
LIST_OF_LISTS = "lists of lists are not supported"
DELETE_PRIMITIVE = "$deleteFromPrimitiveList/"
ORDER = "$setElementOrder/"


class FieldFacts(Protocol):
    """What is asked of a field (`workshop.api.schema.Field` has it)."""

    @property
    def patch_strategy(self) -> tuple[str, ...]: ...
    @property
    def merge_key(self) -> str: ...
    @property
    def schema(self) -> Any: ...


class SchemaFacts(Protocol):
    """`workshop.api.schema.Schema`; None stands for a map or for what no schema describes."""

    @property
    def fields(self) -> Mapping[str, FieldFacts]: ...


class _Bad(Exception):
    """A patch that cannot be applied."""


MALFORMED = {
    "invalid JSON document",
    "invalid patch format of primitive list",
    "invalid patch format of retainKeys",
    "invalid patch format of setElementOrder list",
}
"""Upstream answers these with 400, lists of lists with 422, and the others, as they come, with 500."""


def apply(schema: SchemaFacts | None, obj: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """The patched object. Neither argument is changed. Raises ApiError."""
    if not isinstance(patch, dict):
        raise errors.bad_request("invalid JSON document")
    try:
        return _merge_map(meta.copy(obj), meta.copy(patch), schema)
    except _Bad as bad:
        if str(bad) in MALFORMED:
            raise errors.bad_request(str(bad)) from None
        if str(bad) == LIST_OF_LISTS:
            raise errors.generic(422) from bad
        raise errors.failure(500, "", str(bad)) from None


def _facts(schema: SchemaFacts | None, key: str) -> tuple[str, str, SchemaFacts | None]:
    """(strategy, merge key, schema of the field or of its elements)."""
    field = schema.fields.get(key) if schema is not None else None
    if field is None:
        return "", "", None
    strategy = next((s for s in field.patch_strategy if s != "retainKeys"), "")
    return strategy, field.merge_key, field.schema


def go_text(value: Any) -> str:
    """A value as Go's `%v` shows it."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_text, value)) + "]"
    return (
        {True: "true", False: "false", None: "<nil>"}[value] if value is None or isinstance(value, bool) else str(value)
    )


def _as_text(value: Any) -> str:
    """As Go's %s shows it, which is for texts."""
    return value if isinstance(value, str) else f"%!s({go_type(value)}={go_text(value)})"


def go_type(value: Any) -> str:
    if isinstance(value, dict):
        return "map[string]interface {}"
    if isinstance(value, list):
        return "[]interface {}"
    names: dict[type, str] = {str: "string", bool: "bool", int: "int64", float: "float64"}
    return names.get(type(value), "%!s(<nil>)")


def _no_merge_key(element: Any, key: str) -> _Bad:
    return _Bad(f"map: {go_text(element)} does not contain declared merge key: {key}")


def _merge_map(old: dict[str, Any], patch: dict[str, Any], schema: SchemaFacts | None) -> dict[str, Any]:
    directive = patch.pop(DIRECTIVE, None)
    if directive == "replace":
        return patch
    if directive == "delete":
        return {}
    if directive is not None:
        raise _Bad(f"unknown patch type: {_as_text(directive)} in map: {go_text({DIRECTIVE: directive, **patch})}")
    _retain(old, patch)
    for key in [key for key in patch if key.startswith("$setElementOrder")]:
        _ordered(old, patch, key, schema)
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList"):
            _delete_primitives(old, key, value)
        elif value is None:
            old.pop(key, None)
        elif isinstance(value, dict) and isinstance(old.get(key), dict):
            strategy, _, inner = _facts(schema, key)
            old[key] = value if strategy == "replace" else _merge_map(old[key], value, inner)
        elif isinstance(value, list) and isinstance(old.get(key), list):
            strategy, merge_key, inner = _facts(schema, key)
            old[key] = _merge_list(old[key], value, merge_key, inner, key) if strategy == "merge" else value
        else:
            kept, value = _without_directives(_without_nulls(value))
            old.pop(key, None) if not kept else old.update({key: value})
    return old


def _retain(old: dict[str, Any], patch: dict[str, Any]) -> None:
    """Worked example: `$retainKeys: [type]` with `type: Recreate` drops `rollingUpdate` from the old strategy."""
    if RETAIN not in patch:
        return
    keys = patch.pop(RETAIN)
    if not isinstance(keys, list):
        raise _Bad("invalid patch format of retainKeys")
    for key, value in patch.items():
        if value is not None and not key.startswith((DELETE_PRIMITIVE, ORDER)) and key not in keys:
            raise _Bad("invalid patch format of retainKeys")
    for key in [key for key in old if key not in keys]:
        del old[key]


def _delete_primitives(old: dict[str, Any], key: str, value: Any) -> None:
    if not key.startswith(DELETE_PRIMITIVE):
        raise _Bad("invalid patch format of primitive list")
    name = key[len(DELETE_PRIMITIVE) :]
    if isinstance(old.get(name), list) and isinstance(value, list):
        old[name] = [element for element in old[name] if element not in value]


def _without_nulls(value: Any) -> Any:
    """Nulls in what is new say nothing."""
    if isinstance(value, dict):
        return {key: _without_nulls(child) for key, child in value.items() if child is not None}
    return [_without_nulls(child) for child in value] if isinstance(value, list) else value


def _without_directives(value: Any) -> tuple[bool, Any]:
    """(keep it?, what to keep) of a part that meets nothing old."""
    if isinstance(value, dict):
        if DIRECTIVE in value:
            return False, None
        pairs = ((key, _without_directives(child)) for key, child in value.items())
        return True, {key: child for key, (kept, child) in pairs if kept}
    if isinstance(value, list):
        return True, [child for kept, child in map(_without_directives, value) if kept]
    return True, value


# --- lists -----------------------------------------------------------------------------------------------------------


def _element_kind(*lists: list[Any]) -> str:
    kinds = {go_type(element) for elements in lists for element in elements}
    if "[]interface {}" in kinds:
        raise _Bad(LIST_OF_LISTS)
    if len(kinds) > 1 and kinds != {"int64", "float64"}:
        raise _Bad(f"list element types are not identical: {go_text(list(lists))}")
    return kinds.pop() if kinds else ""


def _find(elements: list[Any], key: str, value: Any) -> int:
    return next((i for i, element in enumerate(elements) if element.get(key) == value and key in element), -1)


def _merge_list(old: list[Any], patch: list[Any], key: str, schema: SchemaFacts | None, name: str) -> list[Any]:
    if not old and not patch:
        return old
    if _element_kind(old, patch) != "map[string]interface {}":
        merged = list(dict.fromkeys(old + patch))
        return _arrange(merged, patch, old, "")
    if not key:
        raise _Bad(f"cannot merge lists without merge key for {name}")
    before = list(old)
    old, patch = _directives_of_list(old, patch, key)
    for element in patch:
        if key not in element:
            raise _no_merge_key(element, key)
        at = _find(old, key, element[key])
        if at >= 0:
            old[at] = _merge_map(old[at], element, schema)
        else:
            kept, clean = _without_directives(_without_nulls(element))
            if kept:
                old.append(clean)
    return _arrange(old, patch, before, key)


def _directives_of_list(old: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """(old elements that stay, the patch's ordinary elements)."""
    plain, replace = [], False
    for element in patch:
        directive = element.get(DIRECTIVE)
        if directive is None:
            plain.append(element)
        elif directive == "delete":
            if key not in element:
                raise _no_merge_key(element, key)
            old = [kept for kept in old if kept.get(key) != element[key]]
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise _Bad("merging lists cannot yet be specified in the patch")
        else:
            raise _Bad(f"unknown patch type: {_as_text(directive)} in map: {go_text(element)}")
    return (plain, []) if replace else (list(old), plain)


def _ordered(old: dict[str, Any], patch: dict[str, Any], directive: str, schema: SchemaFacts | None) -> None:
    """Merge the list that `$setElementOrder/x` names, and put it in that order."""
    order = patch.pop(directive)
    if not directive.startswith(ORDER):
        raise _Bad("invalid patch format of setElementOrder list")
    name = directive[len(ORDER) :]
    for given in (order, old.get(name, []), patch.get(name, [])):
        if not isinstance(given, list):
            raise _Bad(f"expected a []interface {{}}, but received a {go_type(given)}")
    _, key, inner = _facts(schema, name)
    strategy = _facts(schema, name)[0]
    _check_order(patch.get(name, []), order, key)
    if name in old and name not in patch:
        merged = old[name]
    elif name in patch and name not in old:
        merged = _without_directives(patch[name])[1]
    elif name in patch:
        merged = _merge_list(list(old[name]), patch[name], key, inner, name) if strategy == "merge" else patch[name]
    else:
        return
    _element_kind(old.get(name, []), patch.get(name, []))
    old[name] = _arrange(merged, order, old.get(name, []), key)
    patch.pop(name, None)


def _check_order(patch: list[Any], order: list[Any], key: str) -> None:
    """The patch's elements stand in the order's order, and are all named there."""
    wanted = [e for e in patch if not (isinstance(e, dict) and DIRECTIVE in e)]
    at = 0
    for element in order:
        if at < len(wanted) and _identity(wanted[at], key) == _identity(element, key):
            at += 1
    if at < len(wanted) and order:
        raise _Bad(
            f"The order in patch list:\n{go_text(patch)}\n doesn't match $setElementOrder list:\n{go_text(order)}\n"
        )


def _identity(element: Any, key: str) -> Any:
    if not key:
        return element
    if not isinstance(element, dict):
        raise _Bad(f"expected a map[string]interface {{}}, but received a {go_type(element)}")
    if key not in element:
        raise _no_merge_key(element, key)
    return element[key]


def _arrange(merged: list[Any], order: list[Any], live: list[Any], key: str) -> list[Any]:
    """Elements named in `order` stand in that order; the others keep their places among them by the `live` order.

    Worked example: order [c, a], live [a, x, b], merged [a, x, c] → [c, a, x]: x came after a before.
    """
    wanted = [_identity(element, key) for element in order]
    places: dict[str, int] = {}
    for i, element in enumerate(live):
        places.setdefault(repr(_identity(element, key)), i)

    def place(element: Any) -> int:
        return places.get(repr(_identity(element, key)), -1)

    ordered = [e for e in merged if _identity(e, key) in wanted]
    ordered.sort(key=lambda e: wanted.index(_identity(e, key)))
    others = sorted((e for e in merged if _identity(e, key) not in wanted), key=lambda e: (place(e) < 0, place(e)))
    result: list[Any] = []
    while ordered and others:
        mine, theirs = place(ordered[0]), place(others[0])
        result.append(others.pop(0) if 0 <= theirs < mine else ordered.pop(0))
    return result + ordered + others
