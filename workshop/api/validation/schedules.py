"""Schedules of CronJobs and time zones, refused in the words of upstream's parser. Upstream:
vendor/github.com/robfig/cron/v3/parser.go (v3.0.1), pkg/apis/batch/validation."""

from __future__ import annotations

import re
from functools import cache
from zoneinfo import available_timezones

from workshop.api.errors import quote
from workshop.api.validation.field import ErrorList

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTHS = {name: number for number, name in enumerate(_MONTHS, 1)}
DAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}), (0, 23, {}), (1, 31, {}), (1, 12, MONTHS), (0, 6, DAYS),
)  # fmt: skip
NAMED = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
DURATION = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*|0")


class Unreadable(ValueError):
    """The text is what the parser says."""


def schedule(errors: ErrorList, path: str, text: str, zone: str | None, zone_was_in_it: bool) -> None:
    try:
        parse(text)
    except Unreadable as why:
        errors.invalid(path, text, str(why))
    if "TZ" in text:
        if not zone_was_in_it:
            errors.invalid(path, text, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
        elif zone is not None:
            errors.invalid(path, text, "cannot use both timeZone field and TZ or CRON_TZ in schedule")


def parse(text: str) -> None:
    """Raises Unreadable."""
    if text.startswith(("TZ=", "CRON_TZ=")):
        head, blank, rest = text.partition(" ")
        if not blank:
            raise Unreadable("invalid schedule format: runtime error: slice bounds out of range [:-1]")
        zone = head.partition("=")[2]
        if zone not in known_zones():
            raise Unreadable(f"provided bad location {zone}: unknown time zone {zone}")
        text = rest.strip()
    if text.startswith("@"):
        _descriptor(text)
        return
    fields = text.split()
    if len(fields) != len(FIELDS):
        raise Unreadable(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    for field, (low, high, names) in zip(fields, FIELDS, strict=True):
        for expression in filter(None, field.split(",")):
            _range(expression, low, high, names)


def _descriptor(text: str) -> None:
    if text in NAMED:
        return
    if not text.startswith("@every "):
        raise Unreadable(f"unrecognized descriptor: {text}")
    if not DURATION.fullmatch(duration := text.removeprefix("@every ")):
        raise Unreadable(f"failed to parse duration {text}: time: invalid duration {quote(duration)}")


def _range(expression: str, low: int, high: int, names: dict[str, int]) -> None:
    parts = expression.split("/")
    ends = parts[0].split("-")
    if ends[0] in ("*", "?"):
        start, end = low, high
    else:
        start = end = _number(ends[0], names)
        if len(ends) == 2:
            end = _number(ends[1], names)
        elif len(ends) > 2:
            raise Unreadable(f"too many hyphens: {expression}")
    step = 1
    if len(parts) == 2:
        step = _number(parts[1], {})
        if len(ends) == 1:
            end = high
    elif len(parts) > 2:
        raise Unreadable(f"too many slashes: {expression}")
    if start < low:
        raise Unreadable(f"beginning of range ({start}) below minimum ({low}): {expression}")
    if end > high:
        raise Unreadable(f"end of range ({end}) above maximum ({high}): {expression}")
    if start > end:
        raise Unreadable(f"beginning of range ({start}) beyond end of range ({end}): {expression}")
    if step == 0:
        raise Unreadable(f"step of range should be a positive number: {expression}")


def _number(text: str, names: dict[str, int]) -> int:
    if (named := names.get(text.lower())) is not None:
        return named
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise Unreadable(f"failed to parse int from {text}: strconv.Atoi: parsing {quote(text)}: invalid syntax")
    if not -(2**63) <= int(text) < 2**63:
        raise Unreadable(f"failed to parse int from {text}: strconv.Atoi: parsing {quote(text)}: value out of range")
    if int(text) < 0:
        raise Unreadable(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)


@cache
def known_zones() -> frozenset[str]:
    return frozenset({*available_timezones(), "UTC", "Local", ""})


ZONE_PART = re.compile(r"[A-Za-z.\-_0-9+]{1,14}")


def time_zone(errors: ErrorList, path: str, zone: str) -> None:
    if not zone:
        errors.invalid(path, zone, "timeZone must be nil or non-empty string")
        return
    for part in zone.split("/"):
        if part in (".", "..") or part.startswith("-") or not ZONE_PART.fullmatch(part):
            errors.invalid(path, zone, f"unknown time zone {zone}")
            return
    if zone.lower() == "local":
        said = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        errors.invalid(path, zone, said)
    if zone not in known_zones():
        errors.invalid(path, zone, f"unknown time zone {zone}")
