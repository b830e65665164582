"""What a mutation makes: `Object{spec: Object.spec{replicas: 3}}`, or a list of `JSONPatch{…}`.

The types of a mutating policy's objects are made up as they are written; CEL's library has no such types, and a map
says the same, so the checker is given maps. What they are called is read off the literals.

>>> as_maps('Object{spec: Object.spec{?paused: optional.of(true), "x": [JSONPatch{op: "add"}]}}')
'{"spec": {?"paused": optional.of(true), "x": [{"op": "add"}]}}'
>>> from workshop.api.cel.syntax import parsed
>>> made(parsed("[JSONPatch{op: 'remove', path: '/a'}]").root)
'list(JSONPatch)'

Upstream: apiserver/pkg/cel/mutation, apiserver/pkg/admission/plugin/policy/mutating.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from workshop.api.cel.complaints import place
from workshop.api.cel.syntax import Call, Expr, Fold, ListOf, Literal, MapOf, Tree, every
from workshop.api.cel.values import kind

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


# --- what is made -----------------------------------------------------------------------------------------------------

PATCH = ("op", "path", "from")
"""Fields of a JSONPatch that are texts; its value may be anything."""


def made(e: Expr) -> str:
    """The type of what an expression writes out, `Object` or `list(JSONPatch)`; "" for what is none of these."""
    match e:
        case MapOf():
            return e.message
        case ListOf():
            inner = next(filter(None, map(made, e.items)), "")
            return f"list({inner})" if inner else ""
        case Call(function="_?_:_" | "_+_"):
            return made(e.args[-2]) or made(e.args[-1])
        case Fold(step=Call(function="_+_", args=(_, ListOf() as item))):
            return made(item)
    return ""


def wrong(tree: Tree, text: str) -> str:
    """Fields of a JSONPatch that are none, or no texts; something else in a list of patches."""
    found = [place(text, at, why) for at, why in sorted(_wrong(tree, text))]
    return "\n".join(found)


def _wrong(tree: Tree, text: str) -> Iterator[tuple[int, str]]:
    for e in every(tree.root):
        if isinstance(e, MapOf) and e.message == "JSONPatch":
            for key, value, _ in e.entries:
                name = key.value if isinstance(key, Literal) else ""
                of = kind(value.value) if isinstance(value, Literal) else ""
                wanted = "string" if name in PATCH else ""
                if name != "value" and of and of != wanted:
                    at = text.rfind(":", 0, tree.places.get(value.id, 0))
                    yield at, f"expected type of field '{name}' is '{wanted}' but provided type is '{of}'"
        elif isinstance(e, ListOf) and (name := made(e).removeprefix("list(").removesuffix(")")):
            for item in e.items:
                if isinstance(item, Literal):
                    yield tree.places.get(item.id, 0), f"expected type '{name}' but found '{kind(item.value)}'"
