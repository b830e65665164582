"""Validation errors with their field paths, in upstream's words.

>>> errors = ErrorList()
>>> errors.invalid("spec.replicas", -1, "must be greater than or equal to 0")
>>> errors[0].path, errors[0].message
('spec.replicas', 'Invalid value: -1: must be greater than or equal to 0')

Upstream: apimachinery/pkg/util/validation/field/errors.go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from workshop.api.errors import quote

NOT_NEGATIVE = "must be greater than or equal to 0"
POSITIVE = "must be greater than zero"
IMMUTABLE = "field is immutable"


@dataclass(frozen=True, slots=True)
class FieldError:
    path: str
    reason: str
    message: str


class ErrorList(list[FieldError]):
    """`allow_loopback` relaxes the one rule that a cluster in mode plain breaks: endpoints in 127/8."""

    allow_loopback = False

    def add(self, path: str, reason: str, message: str) -> None:
        self.append(FieldError(path, "FieldValue" + reason, message))

    def invalid(self, path: str, value: Any, detail: str) -> None:
        self.add(path, "Invalid", f"Invalid value: {shown(value)}" + (f": {detail}" if detail else ""))

    def required(self, path: str, detail: str = "") -> None:
        self.add(path, "Required", "Required value" + (f": {detail}" if detail else ""))

    def duplicate(self, path: str, value: Any, detail: str = "") -> None:
        self.add(path, "Duplicate", f"Duplicate value: {shown(value)}" + (f": {detail}" if detail else ""))

    def not_found(self, path: str, value: Any, detail: str = "") -> None:
        self.add(path, "NotFound", f"Not found: {shown(value)}" + (f": {detail}" if detail else ""))

    def forbidden(self, path: str, detail: str) -> None:
        self.add(path, "Forbidden", f"Forbidden: {detail}")

    def not_supported(self, path: str, value: Any, known: Iterable[str]) -> None:
        listed = ", ".join(quote(each) for each in known)
        told = f": supported values: {listed}" if listed else ""
        self.add(path, "NotSupported", f"Unsupported value: {shown(value)}{told}")

    def too_long(self, path: str, most: int) -> None:
        self.add(path, "TooLong", f"Too long: may not be more than {most} byte{'' if most == 1 else 's'}")

    def too_many(self, path: str, found: int, most: int) -> None:
        self.add(path, "TooMany", f"Too many: {found}: must have at most {most} items")

    def internal(self, path: str, detail: str) -> None:
        self.append(FieldError(path, "InternalError", f"Internal error: {detail}"))

    def each(self, path: str, value: Any, sentences: Iterable[str]) -> None:
        """An invalid value for each complaint of a name's check."""
        for sentence in sentences:
            self.invalid(path, value, sentence)

    def not_negative(self, obj: dict[str, Any], path: str, *names: str) -> None:
        for name in names:
            if (value := obj.get(name)) is not None and value < 0:
                self.invalid(f"{path}.{name}", value, NOT_NEGATIVE)

    def within(self, path: str, value: int | None, low: int, high: int) -> None:
        if value is not None and not low <= value <= high:
            self.invalid(path, value, f"must be between {low} and {high}, inclusive")

    def one_of(self, path: str, value: Any, known: Iterable[str], detail: str = "") -> None:
        """One of `known`; nothing at all is a missing value, with `detail`."""
        known = tuple(known)
        if not value:
            self.required(path, detail)
        elif value not in known:
            self.not_supported(path, value, known)

    def among(self, path: str, value: Any, known: Iterable[str]) -> None:
        """One of `known`, and nothing at all is as unsupported as anything else."""
        if value not in (known := tuple(known)):
            self.not_supported(path, value or "", known)

    def needed(self, obj: dict[str, Any], path: str, *names: str) -> None:
        for name in names:
            if not obj.get(name):
                self.required(f"{path}.{name}")

    def immutable(self, path: str, new: Any, old: Any) -> None:
        if new != old:
            self.invalid(path, new, IMMUTABLE)

    def causes(self) -> list[dict[str, str]]:
        """As `errors.invalid` takes them."""
        return [{"reason": e.reason, "message": e.message, "field": e.path} for e in self]


def shown(value: Any) -> str:
    """A value as Go's errors print it: strings quoted, all else as its JSON (which escapes <, > and &)."""
    if isinstance(value, str):
        return quote(value)
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
