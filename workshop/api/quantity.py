"""Quantities: `100m`, `1.5Gi`, `2e3`. Exact, and printed canonically as Go prints them.

A quantity is a whole number of billionths ("nano") and a format. Upstream: `apimachinery/pkg/api/resource`, v1.36.2.

>>> str(parse("1024Mi")), str(parse("0.5")), str(parse("1.5Gi") + parse("512Mi"))
('1Gi', '500m', '2Gi')
>>> parse("100m").value(), parse("1.0005").milli_value(), parse("1k") == parse("1000")
(1, 1001, True)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import total_ordering

from workshop.api.remembered import remembered

NANO = 10**9
MAX = (2**63 - 1) * NANO  # only what is written with a binary suffix is capped

DECIMAL_SI, BINARY_SI, DECIMAL_EXPONENT = "DecimalSI", "BinarySI", "DecimalExponent"
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX = {0: "", **{exponent: suffix for suffix, exponent in _BINARY.items()}}
_LARGEST_EXPONENT = 4096
"""Upstream takes any; no machine has 10^4096 of anything, and the arithmetic would never end."""

WRONG_FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
WRONG_SUFFIX = "unable to parse quantity's suffix"
_SPLIT = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)")


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """Compare with `<` and `==`, add and subtract; the format of a sum is that of the first that is not zero."""

    nano: int
    format: str = DECIMAL_SI
    text: str = field(default="", repr=False)
    """As written, where that was canonical (upstream keeps it, so `1.500` stays `1.500`)."""

    def value(self) -> int:
        """Whole units, a rest rounded away from zero."""
        return _round_away(self.nano, NANO)

    def milli_value(self) -> int:
        return _round_away(self.nano, 10**6)

    def round_up_milli(self) -> Quantity:
        """No finer than a thousandth, as resource lists are stored (upstream: SetDefaults_ResourceList)."""
        exact = self.nano % 10**6 == 0
        return self if exact else Quantity(self.milli_value() * 10**6, self.format)

    def is_zero(self) -> bool:
        return self.nano == 0

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.nano + other.nano, self.format if self.nano else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nano - other.nano, self.format if self.nano else other.format)

    def __neg__(self) -> Quantity:
        return Quantity(-self.nano, self.format)

    def __bool__(self) -> bool:
        return self.nano != 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nano == other.nano

    def __lt__(self, other: Quantity) -> bool:
        return self.nano < other.nano

    def __hash__(self) -> int:
        return hash(self.nano)

    def __str__(self) -> str:
        return self.text or _canonical(self.nano, self.format)


def of(value: int, format: str = DECIMAL_SI) -> Quantity:
    """Whole units. `of(2**30, BINARY_SI)` prints as `1Gi`."""
    return Quantity(value * NANO, format)


@remembered(4096)
def parse(text: str | int | float) -> Quantity:
    """From the wire, where plain numbers are allowed too. Raises ValueError in upstream's words."""
    text = str(text).strip()
    found = _SPLIT.fullmatch(text)
    if not text or found is None:
        raise ValueError(WRONG_FORMAT)
    sign, whole, fraction, suffix = (
        found.group(1),
        found.group(2).lstrip("0") or "0",
        found.group(3) or "",
        found.group(4),
    )
    base, exponent, format = _interpret(suffix)
    digits = int(whole + fraction)
    if base == 2:
        nano = _round_away(digits * NANO << exponent, 10 ** len(fraction))
        if nano > MAX and not _is_short_binary(whole, fraction, exponent):
            nano = MAX
        if 0 < nano < NANO:
            format = DECIMAL_SI
    else:
        power = exponent - len(fraction) + 9
        nano = digits * 10**power if power >= 0 else _round_away(digits, 10**-power)
    if sign == "-":
        nano = -nano
    kept = text if _was_canonical(whole, fraction, base, exponent, digits) else ""
    return Quantity(nano, format, "0" if text == "0" else kept)


def canonical(text: str | int | float) -> str:
    """The text that the server stores and answers. Raises ValueError."""
    return str(parse(text))


def _interpret(suffix: str) -> tuple[int, int, str]:
    """(base, exponent, format) of a suffix."""
    if suffix in _DECIMAL:
        return 10, _DECIMAL[suffix], DECIMAL_SI
    if suffix in _BINARY:
        return 2, _BINARY[suffix], BINARY_SI
    if suffix[0] in "eE" and re.fullmatch(r"[+-]?[0-9]+", suffix[1:]):
        exponent = int(suffix[1:])
        if abs(exponent) <= _LARGEST_EXPONENT:
            return 10, exponent, DECIMAL_EXPONENT
    raise ValueError(WRONG_SUFFIX)


def _round_away(number: int, by: int) -> int:
    quotient, rest = divmod(abs(number), by)
    quotient += rest > 0
    return quotient if number >= 0 else -quotient


def _is_short_binary(whole: str, fraction: str, exponent: int) -> bool:
    """Upstream's quick way, which multiplies in 64 bits and does not cap."""
    return not fraction and 15 - len(whole) - int(exponent * 3 / 10) - 1 >= 0


def _was_canonical(whole: str, fraction: str, base: int, exponent: int, digits: int) -> bool:
    """When upstream's quick way keeps the text as it was written."""
    if base == 2:
        return _is_short_binary(whole, fraction, exponent) and digits & 7 != 0
    scale, shifted = exponent - len(fraction), whole + fraction
    if 18 - len(shifted) < 0 or scale < -9:
        return False
    return scale % 3 == 0 and not shifted.endswith("000") and not shifted.startswith("0")


def _canonical(nano: int, format: str) -> str:
    """No fraction, the largest suffix that keeps it exact; a binary format falls back to decimal below 1024."""
    if nano == 0:
        return "0"
    if format == BINARY_SI and nano % NANO == 0 and abs(nano) >= 1024 * NANO:
        value, exponent = nano // NANO, 0
        while value % 1024 == 0 and exponent < 60:
            value, exponent = value // 1024, exponent + 10
        return f"{value}{_BINARY_SUFFIX[exponent]}"
    exponent = -9
    while nano % 1000 == 0 and (exponent < 18 or format == DECIMAL_EXPONENT):
        nano, exponent = nano // 1000, exponent + 3
    if format == DECIMAL_EXPONENT:
        return f"{nano}e{exponent}" if exponent else str(nano)
    return f"{nano}{_DECIMAL_SUFFIX[exponent]}"
