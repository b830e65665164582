"""What is wrong with a JSON text, in the words of Go's `encoding/json`, which clients see in the server's answers.

Called only after a quick parser has refused the text. Upstream:
`sigs.k8s.io/json/internal/golang/encoding/json/scanner.go`.

>>> complaint('{"a":1,}')
"invalid character '}' looking for beginning of object key string"
>>> complaint('{"a":[1')
'unexpected end of JSON input'
"""

from __future__ import annotations

import re

_SPACE = " \t\r\n"
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*')
_AFTER = {"{": "after object key:value pair", "[": "after array element", ":": "after object key"}
_INSIDE = ("in literal", "in numeric", "in exponent", "in string escape", "in \\u", "after decimal")
_BEGIN = "looking for beginning of value"
MAX_DEPTH = 10_000
"""Levels of objects and lists that may stand in one another."""
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\"}


class _Wrong(Exception):
    def __init__(self, at: int, context: str) -> None:
        self.at, self.context = at, context


def complaint(body: bytes | str) -> str:
    """The sentence about the first error in `body`; "" when it is well formed. Go looks at bytes, so do we."""
    text = (body.encode(errors="replace") if isinstance(body, str) else body).decode("latin-1")
    try:
        _value_list(text)
    except _Wrong as wrong:
        if wrong.at >= len(text):  # Go steps on with a blank, to see whether a number or a word ends here
            inside = wrong.context.startswith(_INSIDE)
            return f"invalid character ' ' {wrong.context}" if inside else "unexpected end of JSON input"
        return f"invalid character {_quoted(text[wrong.at])} {wrong.context}"
    return ""


def _quoted(char: str) -> str:
    if char in "'\"":
        return r"'\''" if char == "'" else "'\"'"
    if char < " " or char == "\x7f":
        return f"'{_ESCAPES.get(char, f'{chr(92)}x{ord(char):02x}')}'"
    return f"'{_ESCAPES.get(char, char)}'"


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _value_list(text: str) -> None:
    """A loop with a stack of the open brackets: depth must not cost Python's."""
    stack: list[str] = []
    at = _skip(text, 0)
    while True:
        char = text[at : at + 1]
        if char in ("{", "["):
            if len(stack) >= MAX_DEPTH:
                raise _Wrong(at, "exceeded max depth")
            stack.append(char)
            at = _skip(text, at + 1)
            if text[at : at + 1] != ("}" if char == "{" else "]"):
                at = _key(text, at) if char == "{" else at
                continue
        else:
            at = _scalar(text, at)
        while True:  # a value ended: what follows it?
            at = _skip(text, at)
            char = text[at : at + 1]
            if not stack:
                if char:
                    raise _Wrong(at, "after top-level value")
                return
            if char == ("}" if stack[-1] == "{" else "]"):
                stack.pop()
                at += 1
                continue
            if char != ",":
                raise _Wrong(at, _AFTER[stack[-1]])
            at = _skip(text, at + 1)
            at = _key(text, at) if stack[-1] == "{" else at
            break


def _key(text: str, at: int) -> int:
    """Past `"key" :`, to the value."""
    if text[at : at + 1] != '"':
        raise _Wrong(at, "looking for beginning of object key string")
    at = _skip(text, _string(text, at))
    if text[at : at + 1] != ":":
        raise _Wrong(at, _AFTER[":"])
    return _skip(text, at + 1)


def _string(text: str, at: int) -> int:
    found = _STRING.match(text, at)
    assert found is not None
    end = found.end()
    if text[end : end + 1] == '"':
        return end + 1
    if text[end : end + 1] != "\\":
        raise _Wrong(end, "in string literal")
    if text[end + 1 : end + 2] != "u":
        raise _Wrong(end + 1, "in string escape code")
    digits = re.compile("[0-9a-fA-F]*").match(text, end + 2)
    assert digits is not None
    raise _Wrong(digits.end(), "in \\u hexadecimal character escape")


def _scalar(text: str, at: int) -> int:
    char = text[at : at + 1]
    if char == '"':
        return _string(text, at)
    for word in ("true", "false", "null"):
        if char == word[0]:
            for i, letter in enumerate(word):
                if text[at + i : at + i + 1] != letter:
                    raise _Wrong(at + i, f"in literal {word} (expecting '{letter}')")
            return at + len(word)
    if not char or char not in "-0123456789":
        raise _Wrong(at, _BEGIN)
    found = _NUMBER.match(text, at)
    if found is None:
        raise _Wrong(at + 1, "in numeric literal")
    end = found.end()
    if text[end : end + 1] == "." and found.group(2) is None:
        raise _Wrong(end + 1, "after decimal point in numeric literal")
    if text[end : end + 1] in ("e", "E") and found.group(3) is None:
        end += 1 + (text[end + 1 : end + 2] in ("+", "-"))
        raise _Wrong(end, "in exponent of numeric literal")
    return end
