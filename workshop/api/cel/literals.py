"""`Object{spec: Object.spec{replicas: 3}}` as plain maps: `{"spec": {"replicas": 3}}`.

The types of a mutating policy's objects are made up as they are written; CEL's library has no such types, and a map
says the same. Upstream: apiserver/pkg/cel/mutation.

>>> as_maps('Object{spec: Object.spec{?paused: optional.of(true), "x": [JSONPatch{op: "add"}]}}')
'{"spec": {?"paused": optional.of(true), "x": [{"op": "add"}]}}'
"""

from __future__ import annotations

import re
from collections.abc import Iterator

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
