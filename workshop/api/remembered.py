"""What a text means, worked out once for texts that come again and again.

A client may send any text, so only short ones are kept: `size` of them, and never a megabyte each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

LONGEST = 512
Function = TypeVar("Function", bound=Callable[..., Any])


def remembered(size: int) -> Callable[[Function], Function]:
    """`functools.lru_cache` for a function whose first argument is a text; a long one is worked out each time.

    >>> from workshop.api import labels
    >>> long = ",".join(["a=b"] * 200)
    >>> labels.parse("a=b") is labels.parse("a=b"), labels.parse(long) is labels.parse(long)
    (True, False)
    """

    def decorate(function: Function) -> Function:
        kept = lru_cache(maxsize=size)(function)

        @wraps(function)
        def found(text: Any, *more: Any, **named: Any) -> Any:
            if isinstance(text, str) and len(text) > LONGEST:
                return function(text, *more, **named)
            return kept(text, *more, **named)

        return cast(Function, found)

    return decorate
