"""The library's complaints about an expression in the words of cel-go, whose users know those.

>>> print(cleaned("ERROR: <input>:1:4: undeclared reference to 'a.b.c' (in container '')\\n | a.b.c\\n | ...^"))
ERROR: <input>:1:1: undeclared reference to 'a' (in container '')
 | a.b.c
 | ^

Upstream: cel-go checker/errors.go, common/errors.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from workshop.api.cel import syntax
from workshop.api.cel.syntax import Call, Tree

_NUMBERS = r"'_[<>]=?_' applied to '\((?:int|uint|double), (?:int|uint|double)\)'"
_STATUS = re.compile(r" ?\[[A-Z_]+\]$")
_WORDS = [
    (re.compile(r"undefined field '([^']*)' not found in struct '[^']*'"), r"undefined field '\1'"),
    (re.compile(r"\bkubernetes\.Type\d+\b"), "object"),
    (re.compile(r"expression of type '([^']*)' cannot be the operand of a select operation"),
     r"type '\1' does not support field selection"),
    (re.compile(r"cannot be the range of a comprehension"), "cannot be range of a comprehension"),
    (re.compile(r"\bnull_type\b"), "null"),
    (re.compile(r"\bgoogle\.protobuf\.Timestamp\b"), "timestamp"),
    (re.compile(r"\bgoogle\.protobuf\.Duration\b"), "duration"),
    (re.compile(r"cel\.bind\(\) variable name must be a simple identifier"),
     "cel.bind() variable names must be simple identifiers"),
    (re.compile(r"\b(?:all|exists|exists_one|existsOne|map|filter)\(\) variable name must be a simple identifier"),
     "argument must be a simple name"),
    (re.compile(r"(?<=token recognition error at: ')(.*)\\n(?='\n)"), r"\1\n"),
    (re.compile(r"<input>:1:1: Syntax error: mismatched input '<EOF>'(?! expecting [^\n]*\n)"),
     "<input>:1:0: Syntax error: mismatched input '<EOF>'"),
    (re.compile(r"'\\u003F'"), "'?'"),
    (re.compile(r"<input>:4294967295:0: Exceeded max recursion depth of \d+ when parsing\."),
     "<input>:-1:0: max recursion depth exceeded"),
    (re.compile(r"CANCELLED: Expression recursion limit exceeded\. limit: (\d+)"),
     r"ERROR: <input>:-1:0: expression recursion limit exceeded: \1"),
    (re.compile(r"has\(\) argument must be a field selection"), "invalid argument to has() macro"),
]  # fmt: skip
_MEMBER = re.compile(
    r"(\d+: found no matching overload for '(\w+)' applied to ')\((.*)\)('\n \| ([^\n]*)\n \| (\.*)\^)"
)


def cleaned(text: str) -> str:
    """The checker's words as cel-go's."""
    text = _STATUS.sub("", text).removeprefix("INVALID_ARGUMENT: ")
    for pattern, words in _WORDS:
        text = pattern.sub(words, text)
    text = _UNDECLARED.sub(_by_first_part, _MEMBER.sub(_as_member, text))
    each = [part.rstrip("\n") for part in _STARTS.split(text) if part]
    return "\n".join(sorted(dict.fromkeys(each), key=_position)) + ("\n" if text.endswith("\n") else "")


_STARTS = re.compile(r"(?=^ERROR: )", re.MULTILINE)


def _position(complaint: str) -> tuple[int, ...]:
    found = re.match(r"ERROR: <input>:(-?\d+):(\d+)", complaint)
    return tuple(map(int, found.groups())) if found is not None else ()


def _as_member(found: re.Match[str]) -> str:
    """A member's target stands before the others: `string.(int)`."""
    before = found[5].encode()[: len(found[6])].decode("utf-8", "ignore").rstrip()
    if not re.search(rf"\.\s*{found[2]}$", before):
        return found[0]
    target, *others = _types(found[3])
    return f"{found[1]}{target}.({', '.join(others)}){found[4]}"


def _types(text: str) -> list[str]:
    made, depth = [""], 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and not depth:
            made.append("")
        else:
            made[-1] += char
    return [each.strip() for each in made]


_UNDECLARED = re.compile(
    r"(<input>:\d+:)\d+(: undeclared reference to ')(\w+)((?:\.\w+)*)(' \(in container ''\)\n \| )"
    r"([^\n]*)(\n \| )(\.*)\^"
)


def _by_first_part(found: re.Match[str]) -> str:
    """A name that is not known is told of by its first part, and there; that of a message where its fields begin."""
    lead, told, first, rest, container, line, mark, dots = found.groups()
    if message := re.match(rf"{re.escape(first + rest)}\s*\{{", line[len(dots) :]):
        at = len(dots) + message.end() - 1
        return f"{lead}{at + 1}{told}{first}{rest}{container}{line}{mark}{'.' * at}^"
    if not rest:
        return found[0]
    between = [first, *rest.split(".")[1:-1]]
    before = re.search(r"\s*\.\s*".join(map(re.escape, between)) + r"\s*$", line[: len(dots)])
    if before is None:
        return found[0]
    return f"{lead}{before.start() + 1}{told}{first}{container}{line}{mark}{'.' * before.start()}^"


_JOINED = re.compile(
    r"ERROR: <input>:(\d+):(\d+): found no matching overload for '(_&&_|_\|\|_)' applied to '\((.*)\)'"
)
_TRUTHS = ("bool", "dyn", "any", "error", "*error*", "wrapper(bool)")


def problems(text: str, expression: str) -> list[str]:
    """The checker's complaints but those of numbers of two kinds that are compared, which Kubernetes allows."""
    found = _STARTS.split(cleaned(text) + "\n")
    kept = [each for each in found if each.strip() and not re.search(_NUMBERS, each) and "'*error*'" not in each]
    if any(_JOINED.match(each) for each in kept):
        tree = syntax.parsed(expression)
        kept = [said for each in kept for said in _of_operands(each, expression, tree)]
    return kept


def mixed_numbers(text: str, expression: str) -> list[int]:
    """The places of comparisons between numbers of two kinds."""
    found = re.finditer(rf"<input>:(\d+):(\d+): found no matching overload for {_NUMBERS}", cleaned(text))
    return [_offset(expression, int(each[1]), int(each[2])) for each in found]


def _of_operands(complaint: str, expression: str, tree: Tree) -> Iterator[str]:
    """Of `&&` and `||`: which side is no truth."""
    found = _JOINED.match(complaint)
    at = -1 if found is None else _offset(expression, int(found[1]), int(found[2]))
    calls = [e for e in syntax.every(tree.root) if isinstance(e, Call) and tree.places.get(e.id) == at]
    named = [call for call in calls if found is not None and call.function == found[3]]
    if found is None or not named:
        yield complaint
        return
    for side, of in zip(named[0].args, _types(found[4]), strict=False):
        if of not in _TRUTHS:
            yield place(expression, tree.places.get(side.id, 0), f"expected type 'bool' but found '{of}'") + "\n"


def _offset(text: str, row: int, column: int) -> int:
    return sum(len(line) + 1 for line in text.split("\n")[: row - 1]) + column - 1


def place(text: str, at: int, why: str) -> str:
    """A complaint as the checker prints it."""
    before = text[:at].split("\n")
    row, column = len(before), len(before[-1])
    return f"ERROR: <input>:{row}:{column + 1}: {why}\n | {text.split(chr(10))[row - 1]}\n | {'.' * column}^"
