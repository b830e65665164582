"""Numbers of two kinds that are compared, `1 < 1.5`, which Kubernetes allows and the library's checker does not: it is
told that the right side may be anything.

>>> loose("n < 1.5 && b", [2])[0]
'n < _any_(1.5) && b'

Only types and costs come of it; what runs is the tree of the expression itself.
"""

from __future__ import annotations

from workshop.api.cel.syntax import ANY
from workshop.api.cel.twofold import CLOSING, OPENING, Piece, pieces_of

_AFTER = frozenset("&|?:,<>=!") | {"in"}
"""Where a side of a comparison ends, outside of brackets."""


def loose(text: str, operators: list[int]) -> tuple[str, list[int]]:
    """`operators` are the places of the comparisons. Each character of the result has its place in `text`."""
    made = pieces_of(text)
    for at in sorted(operators, reverse=True):
        begin = next((i for i, (_, place) in enumerate(made) if place >= at), len(made))
        begin += 2 if [piece for piece, _ in made[begin + 1 : begin + 2]] == ["="] else 1
        while begin < len(made) and _blank(made[begin]):
            begin += 1
        end = _end(made, begin)
        while end > begin and _blank(made[end - 1]):
            end -= 1
        if end > begin:
            opened: Piece = (f"{ANY}(", made[begin][1])
            made = [*made[:begin], opened, *made[begin:end], (")", made[end - 1][1]), *made[end:]]
    return "".join(piece for piece, _ in made), [place for piece, place in made for _ in piece]


def _blank(piece: Piece) -> bool:
    return piece[0].isspace() or piece[0].startswith("//")


def _end(pieces: list[Piece], begin: int) -> int:
    depth = 0
    for at in range(begin, len(pieces)):
        piece = pieces[at][0]
        if depth == 0 and (piece in _AFTER or piece in CLOSING) and at > begin:
            return at
        depth += (piece in OPENING) - (piece in CLOSING)
    return len(pieces)
