"""Cron schedules: pure. Upstream: robfig/cron's standard parser, as CronJob uses it.

>>> from datetime import datetime, UTC
>>> Schedule.parse("*/15 9-17 * * mon-fri").next(datetime(2026, 1, 30, 17, 50, tzinfo=UTC)).isoformat()
'2026-02-02T09:00:00+00:00'
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True)
class Schedule:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool
    every: float = 0.0
    """seconds, for `@every 1h30m`; the fields are not used then"""

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Raises ValueError."""
        text = text.strip()
        if text.startswith("@every "):
            from workshop.component import parse_duration

            empty: frozenset[int] = frozenset()
            return cls(empty, empty, empty, empty, empty, True, True, max(1.0, parse_duration(text[7:])))
        fields = MACROS.get(text, text).split()
        if len(fields) != 5:
            raise ValueError(f"expected exactly 5 fields, found {len(fields)}: [{text}]")
        minute, hour, day, month, weekday = fields
        weekdays = {d % 7 for d in _field(weekday, 0, 7, DAYS)}
        return cls(
            frozenset(_field(minute, 0, 59)),
            frozenset(_field(hour, 0, 23)),
            frozenset(_field(day, 1, 31)),
            frozenset(_field(month, 1, 12, MONTHS, 1)),
            frozenset(weekdays),
            day.startswith(("*", "?")),
            weekday.startswith(("*", "?")),
        )

    def next(self, after: datetime) -> datetime | None:
        """The first moment after `after` (in its time zone); None if there is none within five years (30 February)."""
        if self.every:
            return after + timedelta(seconds=self.every - after.microsecond / 1e6)
        moment = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
        limit = after.year + 5
        while moment.year <= limit:
            if moment.month not in self.months:
                moment = (moment.replace(day=1, hour=0, minute=0) + timedelta(days=32)).replace(day=1)
            elif not self._on_day(moment):
                moment = moment.replace(hour=0, minute=0) + timedelta(days=1)
            elif moment.hour not in self.hours:
                moment = moment.replace(minute=0) + timedelta(hours=1)
            elif moment.minute not in self.minutes:
                moment += timedelta(minutes=1)
            else:
                return moment
        return None

    def _on_day(self, moment: datetime) -> bool:
        by_day = moment.day in self.days
        by_weekday = moment.isoweekday() % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return by_day and by_weekday
        return by_day or by_weekday  # cron's old rule: both given means either


def _field(text: str, low: int, high: int, names: list[str] | None = None, base: int = 0) -> set[int]:
    result: set[int] = set()
    for part in text.split(","):
        span, _, step_text = part.partition("/")
        first, dash, last = span.partition("-")
        step = int(step_text) if step_text else 1
        if span in ("*", "?"):
            start, end = low, high
        else:
            start = _number(first, names, base)
            end = _number(last, names, base) if dash else (high if step_text else start)
        if step <= 0 or start < low or end > high or start > end:
            raise ValueError(f"invalid cron field: {text}")
        result.update(range(start, end + 1, step))
    return result


def _number(text: str, names: list[str] | None, base: int) -> int:
    if names is not None and text.lower() in names:
        return names.index(text.lower()) + base
    if not text.isdigit():
        raise ValueError(f"failed to parse number: {text}")
    return int(text)
