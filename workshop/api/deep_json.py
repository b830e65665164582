"""JSON that is nested deeper than Python's own stack reaches, read with a stack on the heap.

Called only for texts that the quick parsers have given up on, and that `json_syntax.complaint` finds well formed.

>>> loads('[' * 3000 + ']' * 3000) == []
False
"""

from __future__ import annotations

import json
import re
from typing import Any

_SPACE = re.compile(r"[ \t\r\n]*")
_scalar = json.JSONDecoder().raw_decode


def loads(text: str) -> Any:
    """The value of a well-formed text."""
    open_ones: list[Any] = []
    keys: list[str] = []
    at = _skip(text, 0)
    while True:
        if text[at] in "{[":
            open_ones.append({} if text[at] == "{" else [])
            at = _skip(text, at + 1)
            if text[at] not in "}]":
                at = _key(text, at, open_ones[-1], keys)
                continue
            value, at = open_ones.pop(), at + 1
        else:
            value, at = _scalar(text, at)
        while open_ones:  # a value ended: into what is around it
            inside = open_ones[-1]
            if isinstance(inside, dict):
                inside[keys.pop()] = value
            else:
                inside.append(value)
            at = _skip(text, at)
            if text[at] == ",":
                at = _key(text, _skip(text, at + 1), inside, keys)
                break
            value, at = open_ones.pop(), at + 1
        else:
            return value


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _key(text: str, at: int, inside: Any, keys: list[str]) -> int:
    """Past `"key" :` in an object; an element of a list has none."""
    if isinstance(inside, list):
        return at
    name, at = _scalar(text, at)
    keys.append(name)
    return _skip(text, _skip(text, at) + 1)
