"""Macros that the checker does not know, said by those that it knows: `l.all(i, v, v > i)` and `l.sortBy(x, -x)`.

>>> [form for form, _ in forms("l.all(i, v, v > i)")]
['lists.range(l.size() + 0).all(i, [l[i]].all(v, v > i))', 'l.all(i, [l[i]].all(v, v > i))']

The first form is right if `l` is a list, the second if it is a map: the checker tries both. Only types come of it; what
runs is the tree of the expression itself (`syntax.py`). Each form tells where its characters came from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""[rRbB]{0,2}(?:'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|//[^\n]*|\w+|\s+|\.\?|.""",
    re.DOTALL,
)
_NAMES = ("all", "exists", "existsOne", "exists_one", "transformList", "transformMap", "transformMapEntry", "sortBy")
_WITH_ONE = {"existsOne": "exists_one", "transformList": "map", "transformMap": "map", "transformMapEntry": "map"}
OPENING, CLOSING = {"(": ")", "[": "]", "{": "}"}, {")", "]", "}"}
NO_LIST = "for '_[_]' applied to '(map("
"""In a complaint about the first form: it is a map, and the second form's is the one to tell."""
Piece = tuple[str, int]
"""A token, and where it began in the text."""


def pieces_of(text: str) -> list[Piece]:
    return [(found[0], found.start()) for found in _TOKEN.finditer(text)]


def forms(text: str) -> Iterator[tuple[str, list[int]]]:
    """The text as the checker may have it, with the place of each character; one form where no such macro stands."""
    pieces = pieces_of(text)
    if _next(pieces) is None:
        yield text, []
        return
    for as_list in (True, False):
        made = pieces
        while (at := _next(made)) is not None:
            made = _rewritten(made, at, as_list)
        yield "".join(piece for piece, _ in made), [place for piece, place in made for _ in piece]


def _next(pieces: list[Piece]) -> int | None:
    """Where the name of such a macro stands."""
    for at in range(1, len(pieces) - 1):
        if pieces[at][0] in _NAMES and pieces[at - 1][0] == "." and pieces[at + 1][0] == "(":
            arguments, _ = _arguments(pieces, at + 1)
            if pieces[at][0] == "sortBy" and len(arguments) == 2:
                return at
            names = ["".join(piece for piece, _ in each).strip() for each in arguments[:2]]
            if len(arguments) in (3, 4) and pieces[at][0] != "sortBy" and all(name.isidentifier() for name in names):
                if len(arguments) == 3 and pieces[at][0] in ("existsOne", "all", "exists", "exists_one"):
                    return at
                if pieces[at][0].startswith("transform"):
                    return at
    return None


def _arguments(pieces: list[Piece], at: int) -> tuple[list[list[Piece]], int]:
    """What stands between the bracket at `at` and the one that closes it, by commas; and where that is."""
    depth = 0
    found: list[list[Piece]] = [[]]
    for place in range(at, len(pieces)):
        piece = pieces[place][0]
        if piece in OPENING:
            depth += 1
        elif piece in CLOSING:
            depth -= 1
            if depth == 0:
                return found, place
        if depth == 1 and piece == ",":
            found.append([])
        elif place > at:
            found[-1].append(pieces[place])
    return [], len(pieces) - 1


def _begin(pieces: list[Piece], dot: int) -> int:
    """Where that begins whose member is asked for at `dot`."""
    at = dot - 1
    while True:
        while pieces[at][0].isspace() and at > 0:
            at -= 1
        if pieces[at][0] in CLOSING:
            depth = 0
            while at >= 0:
                depth += (pieces[at][0] in CLOSING) - (pieces[at][0] in OPENING)
                if depth == 0:
                    break
                at -= 1
            before = pieces[at - 1][0] if at > 0 else ""
            if pieces[at][0] != "{" and (re.fullmatch(r"\w+", before) or before in CLOSING):
                at -= 1
                if before in CLOSING:
                    continue
        if at > 1 and pieces[at - 1][0] in (".", ".?"):
            at -= 2
            continue
        return max(at, 0)


def _rewritten(pieces: list[Piece], at: int, as_list: bool) -> list[Piece]:
    name, place = pieces[at]
    arguments, end = _arguments(pieces, at + 1)
    begin = _begin(pieces, at - 1)
    over = pieces[begin : at - 1]

    def said(text: str) -> list[Piece]:
        return [(text, place)]

    if name == "sortBy":
        made = [
            *over,
            *said(".filter("),
            *arguments[0],
            *said(", ["),
            *arguments[1],
            *said("] == ["),
            *arguments[1],
            *said("])"),
        ]
        return pieces[:begin] + made + pieces[end + 1 :]
    key = "".join(piece for piece, _ in arguments[0]).strip()
    value = "".join(piece for piece, _ in arguments[1]).strip()
    rest = [piece for each in arguments[2:] for piece in (*said(","), *each)][1:]
    among = [*said("lists.range("), *over, *said(".size() + 0)")] if as_list else over
    one = [*said("["), *over, *said(f"[{key}]]")]
    inner = _WITH_ONE.get(name, name)
    taken = [*one, *said(f".{inner}({value},"), *rest, *said(")")]
    if name == "transformMap":
        taken = [*said("{" + key + ": "), *taken, *said("[0]}")]
    elif name.startswith("transform"):
        taken = [*taken, *said("[0]")]
    tail = "[0]" if name in ("transformMap", "transformMapEntry") else ""
    made = [*among, *said(f".{inner}({key}, "), *taken, *said(f"){tail}")]
    return pieces[:begin] + made + pieces[end + 1 :]


def moved(complaint: str, form: str, text: str, places: list[int]) -> str:
    """The checker's complaint about a form as one about the text."""
    rows, begins = text.split("\n"), [0, *(at + 1 for at, char in enumerate(form) if char == "\n")]

    def told(found: re.Match[str]) -> str:
        at = places[min(begins[int(found[1]) - 1] + int(found[2]) - 1, len(places) - 1)] if places else 0
        before = text[:at].split("\n")
        row, column = len(before), len(before[-1])
        return f"ERROR: <input>:{row}:{column + 1}: {found[3]}\n | {rows[row - 1]}\n | {'.' * column}^"

    return re.sub(r"ERROR: <input>:(\d+):(\d+): ([^\n]*)\n \| [^\n]*\n \| \.*\^", told, complaint)
