"""The formats of strings that a schema may ask for. Upstream: k8s.io/kube-openapi/pkg/validation/strfmt."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime
from urllib.parse import urlsplit

from workshop.api import names

_HEX = "[0-9a-f]"
_UUID = f"(?i){_HEX}{{8}}-?{_HEX}{{4}}-?%s{_HEX}{{3}}-?%s-?{_HEX}{{12}}"
_ANY = f"{_HEX}{{4}}"
_WORDS = (
    r"(?:nanos|nanoseconds?|nano|micros|microseconds?|micro|millis|milliseconds?|milli|seconds?|minutes?|hours?|days?"
    r"|weeks?|ns|us|ms|s|m|h|d|w)"
)


def _pattern(text: str) -> Callable[[str], bool]:
    matcher = re.compile(text)
    return lambda value: matcher.fullmatch(value) is not None


def _ip(version: int) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        try:
            return ipaddress.ip_address(value).version == version and "%" not in value
        except ValueError:
            return False

    return check


def _cidr(value: str) -> bool:
    try:
        ipaddress.ip_interface(value)
    except ValueError:
        return False
    return "/" in value


def _date(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return len(value) == 10


_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})?")


def _datetime(value: str) -> bool:
    if not _TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value[:19].upper())
    except ValueError:
        return False
    return True


def _byte(value: str) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _uri(value: str) -> bool:
    """As Go's url.ParseRequestURI: absolute, or a path."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return bool(parts.scheme and (parts.netloc or parts.path)) or value.startswith("/")


CHECKS: dict[str, Callable[[str], bool]] = {
    "uri": _uri,
    "email": _pattern(r"[^@\s<>]+@[^@\s<>]+|.*<[^@\s<>]+@[^@\s<>]+>"),
    "hostname": _pattern(
        r"(?=.{1,255}$)[a-zA-Z0-9\u00a0-\uffef]([a-zA-Z0-9\u00a0-\uffef-]{0,61}[a-zA-Z0-9\u00a0-\uffef])?(\.[a-zA-Z0-9\u00a0-\uffef]([a-zA-Z0-9\u00a0-\uffef-]{0,61}[a-zA-Z0-9\u00a0-\uffef])?)*\.?"
    ),
    "ipv4": _ip(4),
    "ipv6": _ip(6),
    "cidr": _cidr,
    "mac": _pattern(r"(?i)([0-9a-f]{2}([:-]))([0-9a-f]{2}\2){4,18}[0-9a-f]{2}|([0-9a-f]{4}\.){2,9}[0-9a-f]{4}"),
    "uuid": _pattern(f"(?i){_HEX}{{8}}-?{_ANY}-?{_ANY}-?{_ANY}-?{_HEX}{{12}}"),
    "uuid3": _pattern(_UUID % ("3", _ANY)),
    "uuid4": _pattern(_UUID % ("4", f"[89ab]{_HEX}{{3}}")),
    "uuid5": _pattern(_UUID % ("5", f"[89ab]{_HEX}{{3}}")),
    "bsonobjectid": _pattern("(?i)[0-9a-f]{24}"),
    "isbn": _pattern(r"(?:\d[- ]?){9}[\dX]|97[89][- ]?(?:\d[- ]?){9}\d"),
    "isbn10": _pattern(r"(?:\d[- ]?){9}[\dX]"),
    "isbn13": _pattern(r"97[89][- ]?(?:\d[- ]?){9}\d"),
    "creditcard": lambda value: 13 <= len(re.sub(r"\D", "", value)) <= 16,
    "ssn": _pattern(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _pattern("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _pattern(r"rgb\(\s*(\d{1,2}|1\d\d|2[0-4]\d|25[0-5])\s*(,\s*(\d{1,2}|1\d\d|2[0-4]\d|25[0-5])\s*){2}\)"),
    "byte": _byte,
    "password": lambda value: True,
    "date": _date,
    "datetime": _datetime,
    "duration": _pattern(rf"[+-]?(\d+(\.\d*)?|\.\d+)\s*{_WORDS}(\s*(\d+(\.\d*)?|\.\d+)\s*{_WORDS})*|0"),
    "k8sshortname": lambda value: not names.dns1123_label(value),
    "k8slongname": lambda value: not names.dns1123_subdomain(value),
}
NUMBERS = {"integer": ("int32", "int64"), "number": ("float", "double")}


def supported(kind: str, format: str) -> bool:
    """Whether a format of a type is looked at; others are allowed and mean nothing."""
    if kind in ("", "string"):
        return format.replace("-", "") in CHECKS
    return format in NUMBERS.get(kind, ())


def holds(format: str, value: str) -> bool:
    return CHECKS[format.replace("-", "")](value)
