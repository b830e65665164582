"""Expressions inside `with quickly():` may cost so much together and no more; who needs longer is told.

with quickly():
    rule.run(values)        raises NotQuick instead of taking its second
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

QUICK = 20_000
"""In the units of `costs.py`: some ten milliseconds."""


class NotQuick(Exception):
    """Is no verdict on an expression, and so no EvaluationError."""


class Moment:
    def __init__(self) -> None:
        self.left = QUICK


MOMENT: ContextVar[Moment | None] = ContextVar("moment", default=None)


@contextmanager
def quickly() -> Iterator[None]:
    token = MOMENT.set(Moment())
    try:
        yield
    finally:
        MOMENT.reset(token)
