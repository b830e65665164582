"""`Object{spec: Object.spec{replicas: 3}}` as plain maps: `{"spec": {"replicas": 3}}`.

The types of a mutating policy's objects are made up as they are written; CEL's library has no such types, and a map
says the same. Upstream: apiserver/pkg/cel/mutation.

>>> as_maps('Object{spec: Object.spec{?paused: optional.of(true), "x": [JSONPatch{op: "add"}]}}')
'{"spec": {?"paused": optional.of(true), "x": [{"op": "add"}]}}'
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from workshop.api.cel import library, standard, texts, values
from workshop.api.cel.complaints import place
from workshop.api.cel.syntax import Call, Expr, Fold, ListOf, Literal, MapOf, Select, Tree
from workshop.api.cel.values import EvaluationError

Types = Mapping[int, tuple[Any, ...]]
_TOKEN = re.compile(
    r"""(?P<text>[rRbB]{0,2}(?:'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"))|(?P<literal>(?<![\w.])(?:Object(?:\s*\.\s*\w+)*|JSONPatch)\s*\{)|(?P<name>\w+)(?=\s*:(?!:))|(?P<other>.)""",
    re.DOTALL,
)  # fmt: skip


def as_maps(text: str) -> str:
    """The expression with its object literals as map literals."""
    return "".join(piece for piece, _ in _pieces(text))


def told_of(error: str, text: str) -> str:
    """The checker's complaint about `as_maps(text)` as one about `text`, where that is one line."""
    places = [at for piece, at in _pieces(text) for _ in piece] + [len(text)]
    if "\n" in text:
        return error

    def moved(found: re.Match[str]) -> str:
        at = places[min(int(found[1]), len(places)) - 1]
        return f"ERROR: <input>:1:{at + 1}: {found[2]}\n | {text}\n | {'.' * at}^"

    return re.sub(r"ERROR: <input>:1:(\d+): ([^\n]*)\n \| [^\n]*\n \| \.*\^", moved, error)


def _pieces(text: str) -> Iterator[tuple[str, int]]:
    """What stands in the place of each token, and where that token stood."""
    brackets: list[tuple[bool, bool]] = [(False, False)]  # of each open one: is it an object's? comes a name next?
    for token in _TOKEN.finditer(text):
        piece = token[0]
        of_object, name_next = brackets[-1]
        if token["literal"]:
            brackets.append((True, True))
            piece = "{"
        elif token["name"] and name_next:
            brackets[-1] = (True, False)
            piece = f'"{token["name"]}"'
        elif piece in ("{", "[", "("):
            brackets.append((False, False))
        elif piece in ("}", "]", ")") and len(brackets) > 1:
            brackets.pop()
        elif piece == "," and of_object:
            brackets[-1] = (True, True)
        yield piece, token.start()


# --- literals that cannot be right -----------------------------------------------------------------------------------


def wrong(tree: Tree, text: str, strict: bool = True) -> str:
    """The complaints about texts that are no duration, no time or no pattern, and about lists and maps of several
    types (if `strict`); "" if there are none. Upstream: cel-go cel/validator.go."""
    found = [place(text, tree.places.get(id, 0), why) for id, why in _wrong(tree.root, tree.types, strict)]
    return "\n".join(found)


def _wrong(e: Expr, types: Types, strict: bool = True) -> Iterator[tuple[int, str]]:
    """`strict` is not what `format` is given: there lists hold what they like."""
    match e:
        case Call():
            yield from _wrong_call(e)
            inside = strict and e.function != "format"
            for each in (e.target, *e.args):
                if each is not None:
                    yield from _wrong(each, types, inside)
        case Select():
            yield from _wrong(e.operand, types, strict)
        case ListOf():
            if strict:
                yield from _mixed([item for at, item in enumerate(e.items) if at not in e.optional], types)
            for item in e.items:
                yield from _wrong(item, types, strict)
        case MapOf():
            if strict and not e.message:
                yield from _mixed([key for key, _, _ in e.entries], types)
                yield from _mixed([value for _, value, maybe in e.entries if not maybe], types)
            for key, value, _ in e.entries:
                yield from _wrong(key, types, strict)
                yield from _wrong(value, types, strict)
        case Fold():
            for part in (e.over, e.start, e.condition, e.step, e.result):
                yield from _wrong(part, types, strict)


def _wrong_call(e: Call) -> Iterator[tuple[int, str]]:
    if e.function == "format" and isinstance(e.target, Literal) and len(e.args) == 1:
        yield from _wrong_format(e.id, e.target.value, e.args[0])
    argument = e.args[-1] if e.args else None
    if not isinstance(argument, Literal) or not isinstance(argument.value, str) or len(e.args) != 1:
        return
    read = {"duration": standard.to_duration, "timestamp": standard.to_timestamp}.get(e.function)
    try:
        if e.target is None and read is not None:
            read(argument.value)
        elif e.function == "matches":
            library.matches("", argument.value)
    except EvaluationError:
        yield argument.id, f"invalid {e.function} argument"


def _wrong_format(call: int, text: str, given: Expr) -> Iterator[tuple[int, str]]:
    if not isinstance(given, ListOf) or given.optional:
        return
    for at, (verb, precision) in enumerate(texts.clauses(text)):
        if at >= len(given.items):
            yield call, f"index {at} out of range"
            return
        item = given.items[at]
        try:
            if isinstance(item, Literal):
                texts.formatted(item.value, verb, precision)
        except ValueError as error:
            yield (call if "unrecognized" in str(error) else item.id), str(error)
            return


def _mixed(items: list[Expr], types: Types) -> Iterator[tuple[int, str]]:
    """Elements of two types in one list; what may be anything fits."""
    names = [(each.id, _type_name(each, types)) for each in items]
    known = [(id, name) for id, name in names if name != "dyn"]
    for id, name in known[1:]:
        if name != known[0][1]:
            yield id, f"expected type '{known[0][1]}' but found '{name}'"
            return


def _type_name(e: Expr, types: Types) -> str:
    if isinstance(e, Literal):
        return values.kind(e.value)
    return said(types.get(e.id, ("dyn",)))


AT_RUN_TIME = {"any": "google.protobuf.Any", "null": "null_type"}


def said(of: tuple[Any, ...], otherwise: Mapping[str, str] = {}) -> str:
    """A type as cel-go's checker names it; `otherwise` are other names for some of them, such as those AT_RUN_TIME."""
    if of[0] in otherwise:
        return otherwise[of[0]]
    inner = [said(each, otherwise) for each in of[1:] if isinstance(each, tuple)]
    match of[0]:
        case "list" | "map" | "type":
            return f"{of[0]}({', '.join(inner)})"
        case "opaque" | "message":
            return str(of[1]) + (f"({', '.join(inner)})" if inner else "")
        case "timestamp" | "duration":
            return f"google.protobuf.{of[0].capitalize()}"
    return str(of[0]) if of[0] != "parameter" else "dyn"
