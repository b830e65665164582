"""Field selectors: `metadata.name=web,status.phase!=Running`.

Only equality is known, and which fields a kind offers is the server's business. A field that the object lacks is "".
Upstream: `apimachinery/pkg/fields/selector.go`.

>>> selector = parse("spec.nodeName=,status.phase!=Failed")
>>> selector.matches({"spec.nodeName": "", "status.phase": "Pending"}), selector.exact("spec.nodeName")
(True, '')
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from workshop.api.remembered import remembered


@dataclass(frozen=True, slots=True)
class Term:
    field: str
    value: str
    equal: bool = True

    def __str__(self) -> str:
        return f"{self.field}{'=' if self.equal else '!='}{escape(self.value)}"


@dataclass(frozen=True, slots=True)
class Selector:
    terms: tuple[Term, ...] = ()

    def matches(self, fields: Mapping[str, str]) -> bool:
        for term in self.terms:  # noqa: SIM110  a thousand watchers may ask
            if (fields.get(term.field, "") == term.value) is not term.equal:
                return False
        return True

    @property
    def empty(self) -> bool:
        return not self.terms

    def exact(self, field: str) -> str | None:
        """The one value that `field` must have, or None."""
        return next((term.value for term in self.terms if term.field == field and term.equal), None)

    def transform(self, change: Callable[[str, str], tuple[str, str]]) -> Selector:
        """Each (field, value) through `change`, which raises for a field that the kind does not offer."""
        return Selector(tuple(Term(*change(term.field, term.value), term.equal) for term in self.terms))

    def __str__(self) -> str:
        return ",".join(str(term) for term in self.terms)


EVERYTHING = Selector()


def escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def _unescape(text: str) -> str:
    value, chars = "", iter(text)
    for char in chars:
        if char == "\\":
            char = next(chars, "")
            if char not in ("\\", ",", "="):
                raise ValueError(f"invalid field selector: invalid escape sequence: \\{char}")
        elif char in ",=":
            raise ValueError(f"invalid field selector: unescaped character in value: {ord(char)}")
        value += char
    return value


def _split(text: str) -> list[str]:
    """At commas without a backslash before them; backslashes are kept."""
    parts, escaped = [""], False
    for char in text:
        if char == "," and not escaped:
            parts.append("")
        else:
            parts[-1] += char
        escaped = char == "\\" and not escaped
    return parts


def _term(part: str, whole: str) -> Term:
    for i in range(len(part)):
        for operator in ("!=", "==", "="):
            if part.startswith(operator, i):
                return Term(part[:i], _unescape(part[i + len(operator) :]), operator != "!=")
    raise ValueError(f"invalid selector: '{whole}'; can't understand '{part}'")


@remembered(1024)
def parse(text: str) -> Selector:
    """The empty text matches everything. Raises ValueError in upstream's words."""
    return Selector(tuple(_term(part, text) for part in sorted(_split(text)) if part))
